//! Compiles the recipes' modules that have a source, for the stand-in's kernel.
//!
//! ```text
//! debian-build ─> build-root ─┬─> modules
//! kernel ─────────────────────┤
//! source of the recipe ───────┘
//! ```
//!
//! Headers and compiler are fetched once per kernel, when the first recipe needs them. Builds work inside the stage
//! `build-root`, as in a release's SDK: whoever compiles holds its lock.

use camino::Utf8PathBuf;
use model::{Failure, Result};
use sdk::CompiledKmods;
use sdk::local::{self, BuildRoot, Compile};
use sdk::recipe::{Kmod, Line, Source};

use super::job::Job;
use super::stages::{BUILD_ROOT, MODULES};
use super::stand_in::{StandIn, Standing};
use crate::Ctx;
use crate::stage::{Inputs, lock, stage};

/// Compiles every kmod of the job that has a source and applies to the kernel.
pub(super) fn compiled(ctx: &Ctx, stand_in: &StandIn, job: &Job) -> Result<CompiledKmods> {
    let standing = stand_in.kernel(ctx)?;
    let mut compiled = CompiledKmods::new();
    // A kernel of an unknown line is refused when the packages are planned.
    let Ok(line) = standing.kernel.id().version.parse::<Line>() else { return Ok(compiled) };
    for kmod in job.recipes().compiled(line) {
        let Some(source) = &kmod.source else { continue };
        sdk::check_options(kmod, &standing.kernel)?;
        let root = stand_in.build_root(ctx, &standing)?;
        let needs = job.recipes().dependencies_of(kmod);
        let needs: Vec<Utf8PathBuf> = needs.into_iter().filter_map(|name| compiled.get(name).cloned()).collect();
        let folder = one(ctx, &standing, &root, (kmod, source), line, &needs)?;
        compiled.insert(kmod.package.clone(), folder);
    }
    Ok(compiled)
}

fn one(
    ctx: &Ctx,
    standing: &Standing,
    root: &Utf8PathBuf,
    (kmod, source): (&Kmod, &Source),
    line: Line,
    needs: &[Utf8PathBuf],
) -> Result<Utf8PathBuf> {
    let names = kmod.modules.iter().filter(|module| module.applies_to(line)).map(|module| module.name.as_str());
    let inputs = Inputs::new(format!("{} for Linux {}", kmod.package, standing.kernel.id().version))
        .stage("kernel", &standing.folder)
        .stage("root", root)
        .text("package", &kmod.package)
        .text("source", source.digest()?)
        .text("make", format!("{:?}", source.make))
        .text("modules", names.collect::<Vec<_>>().join(" "));
    let inputs = needs.iter().fold(inputs, |inputs, folder| inputs.stage("needs", folder));
    stage(ctx, &MODULES, &inputs, |out| {
        // If the cache is a link, other runs may reach it through another path.
        let real = root.canonicalize_utf8().map_err(|error| Failure::io("open the build root", root, &error))?;
        let _worked_in = lock(ctx, BUILD_ROOT.name, &real.with_extension("lock"))?;
        let needs: Vec<_> = needs.iter().map(Utf8PathBuf::as_path).collect();
        let kernel = &standing.kernel;
        let request = Compile { kmod, kernel, root: &BuildRoot::open(root, kernel)?, needs: &needs, jobs: ctx.jobs };
        let names = local::compile(&request, out, &ctx.events, &ctx.cancel)?;
        Ok(format!("{}, by Debian's compiler", names.join(", ")))
    })
}
