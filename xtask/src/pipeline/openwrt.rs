//! Packages that a release's SDK builds.
//!
//! ```text
//! mirror ─ verified archive ─> sdk ─┬─> packages ─> lint ─> feed
//! sources ─ cargo ─> programs ──────┘       └ compare with what the release published
//! ```
//!
//! The stage `sdk` differs from others: builds work inside it, because OpenWrt's build cannot be moved. All work trees
//! share it, so whoever runs the SDK's programs holds the stage's lock.

use camino::{Utf8Path, Utf8PathBuf};
use formats::lint;
use model::{Event, Exit, Failure, Finding, KernelId, Problem, Result, Severity};
use sdk::Recipes;
use sdk::openwrt::drive::{self, Expected, Literals, Patience, Tree};
use sdk::openwrt::{Artifact, FeedFolder, Lockfile, Resolved, Role, Row};
use sdk::program::{SdkLinker, needs_linker};

use super::at_once::both;
use super::packages::Packages;
use super::programs;
use super::release::Release;
use super::stages::{PACKAGES, SDK};
use crate::lint::Allowed;
use crate::stage::{Inputs, lock, stage};
use crate::{Ctx, Outcome, upstream};

/// Builds and checks every kmod of the recipes with its dependencies, every program, and everything in the user's feed.
pub(super) fn packages(ctx: &Ctx, release: &Release, recipes: &Recipes, own: Option<&FeedFolder>) -> Result<Packages> {
    check_makefiles(ctx, recipes)?;
    let arch = &release.row.arch;
    let (obtained, programs, linker, in_use) = if needs_linker(arch, &ctx.cancel)? {
        // It is the SDK's.
        let obtained = obtained(ctx, release)?;
        let linker = linker(&obtained)?;
        let in_use = lock(ctx, drive::UNPACK_STAGE, &obtained.sdk.with_extension("lock"))?;
        let programs = programs::of_recipes(ctx, recipes, arch, linker.clone())?;
        (obtained, programs, linker, Some(in_use))
    } else {
        let of_recipes = |ctx: &Ctx| programs::of_recipes(ctx, recipes, arch, None);
        let (obtained, programs) = both(ctx, |ctx| obtained(ctx, release), of_recipes)?;
        (obtained, programs, None, None)
    };
    let Obtained { resolved, archive, sdk } = obtained;
    let programs = programs.iter().map(|program| as_feed(ctx, program)).collect::<Result<Vec<_>>>()?;
    let tree = Tree::open(&sdk)?;
    let (expected, literals) = (expected(&resolved), Literals::read(&tree)?);
    let mut inputs = Inputs::new(format!("packages for OpenWrt {} {}", resolved.release, resolved.target))
        .stage("sdk", &sdk)
        .text("kernel", &literals.kernel)
        .text("recipes", recipes.names().join(" "))
        .text("epoch", std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default());
    for folder in &ctx.recipes {
        inputs = inputs.path("recipes", folder);
    }
    let others = programs::of_others(ctx, recipes, arch, None, linker)?;
    drop(in_use);
    for made in others.values() {
        inputs = inputs.path("program", &made.file);
    }
    for file in recipes.sources(&release.row.arch) {
        inputs = inputs.path("file", file);
    }
    for source in recipes.kmods.values().filter_map(|kmod| kmod.source.as_ref()) {
        inputs = inputs.text("source", source.digest()?);
    }
    if let Some(own) = own {
        inputs = inputs.text("feed", own.digest()?);
    }
    for program in &programs {
        inputs = inputs.path("makefile", program.recipe.join("Makefile")).path("program", &program.binary);
    }
    let folder = stage(ctx, &PACKAGES, &inputs, |out| {
        let lock = lock(ctx, drive::UNPACK_STAGE, &sdk.with_extension("lock"))?;
        let request = drive::Request {
            tree: &tree,
            archive: &archive,
            lock: &lock,
            expected: &expected,
            recipes,
            programs: &programs,
            own,
            source_date_epoch: sdk::source_date_epoch()?,
            jobs: ctx.jobs,
            patience: Patience::default(),
        };
        let built = drive::build(&request, out, &ctx.events, &ctx.cancel)?;
        // OpenWrt's build is not involved in these.
        let request = sdk::PackRequest {
            recipes,
            made: &others,
            arch: &release.row.arch,
            formats: &[resolved.format],
            epoch: sdk::source_date_epoch()?.unwrap_or_default(),
            only_static: false,
        };
        let packed = sdk::pack(&request, out, &ctx.events, &ctx.cancel)?;
        let beside = if packed.is_empty() { String::new() } else { format!(", and {} packed here", packed.len()) };
        Ok(format!("{} packages as {}, by the release's own SDK{beside}", built.len(), resolved.format))
    })?;
    let allowed = allowed(&drive::empty_on_purpose(&tree, &literals, recipes)?);
    let kernel_version = literals.kernel_package_version();
    Ok(Packages { folder, kernel: sdk, kernel_version, arch: resolved.arch, allowed, brought: None })
}

/// Accepted breaches in packages that OpenWrt built: its kmods have no maintainer, and those in `empty`, whose modules
/// are built in, still name them. File names are given in both formats.
fn allowed(empty: &[String]) -> Vec<Allowed> {
    let rules = [&lint::EMPTY_KMOD, &lint::ABSENT_MODULE];
    let ends = |name: &String| ["_", "-"].map(|end| format!("/{name}{end}"));
    let places = empty.iter().flat_map(ends);
    let of_empty = places.flat_map(|place| rules.map(|rule| Allowed::at(rule, place.clone())));
    of_empty.chain([Allowed::at(&lint::NO_MAINTAINER, "/kmod-".into())]).collect()
}

/// What the release says about its SDK.
fn expected(resolved: &Resolved) -> Expected {
    Expected {
        kernel: resolved.kernel.clone(),
        target: resolved.published.clone(),
        arch: resolved.arch.clone(),
        format: resolved.format,
    }
}

/// A release, its SDK's archive, and the unpacked and checked SDK.
struct Obtained {
    resolved: Resolved,
    archive: Utf8PathBuf,
    sdk: Utf8PathBuf,
}

/// The SDK's C compiler, which links for the target's C library.
fn linker(Obtained { resolved, sdk, .. }: &Obtained) -> Result<Option<SdkLinker>> {
    Ok(Tree::open(sdk)?.c_compiler(resolved.require(Role::Sdk)?.sha256.to_string()))
}

/// Obtains the SDK; programs that are being compiled meanwhile are cancelled if it is the wrong one.
fn obtained(ctx: &Ctx, release: &Release) -> Result<Obtained> {
    let (resolved, files) = upstream::obtain(ctx, &release.wanted, &release.row, &[Role::Sdk])?;
    let archive = files.first().cloned().unwrap_or_default();
    let sdk = unpacked(ctx, &resolved, &archive)?;
    Literals::read(&Tree::open(&sdk)?)?.check(&expected(&resolved))?;
    Ok(Obtained { resolved, archive, sdk })
}

/// The SDK's tree: unpacked once for all work trees, and never moved again.
fn unpacked(ctx: &Ctx, resolved: &Resolved, archive: &Utf8Path) -> Result<Utf8PathBuf> {
    let about = format!("SDK of OpenWrt {} for {}", resolved.release, resolved.target);
    let digest = resolved.require(Role::Sdk)?.sha256;
    let inputs = Inputs::new(about).text("archive", digest);
    stage(ctx, &SDK, &inputs, |out| {
        drive::unpack(archive, out, &ctx.events, &ctx.cancel)?;
        let literals = Literals::read(&Tree::open(out)?)?;
        Ok(format!("kernel {}, {} packages for {}", literals.kernel, literals.format, literals.arch))
    })
}

/// Checks the Makefiles of this repository, with which a release's SDK packs programs.
fn check_makefiles(ctx: &Ctx, recipes: &Recipes) -> Result<()> {
    let makefile = |name: &str| ctx.root.join("package/feed").join(name).join("Makefile");
    match recipes.programs.values().find(|recipe| !makefile(&recipe.package).is_file()) {
        None => Ok(()),
        Some(recipe) => Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "SDK052",
            what: format!("{} has no Makefile for a release's SDK", recipe.package),
            why: "the stand-in packs a program with its recipe alone; a release's SDK also needs an OpenWrt Makefile",
            fix: format!(
                "write package/feed/{}/Makefile on the model of offloadctl's, or omit --release",
                recipe.package
            ),
        })
        .at(makefile(&recipe.package))),
    }
}

/// A program in the form that the release's SDK takes.
fn as_feed(ctx: &Ctx, program: &programs::Program) -> Result<drive::Program> {
    let recipe = program.recipe;
    Ok(drive::Program {
        package: recipe.package.clone(),
        version: program.version()?,
        release: recipe.release,
        recipe: ctx.root.join("package/feed").join(&recipe.package),
        binary: program.file(),
        install: recipe.install.clone(),
    })
}

/// Compares the kmods with those that the release published, file by file.
pub(super) fn compare(ctx: &Ctx, release: &Release, packages: &Packages) -> Result<Outcome> {
    let row = &release.row;
    let mut built = packages.files()?;
    built.retain(|file| file.file_name().is_some_and(|name| name.starts_with("kmod-")));
    let kernel = Literals::read(&Tree::open(&packages.kernel)?)?.kernel;
    let upstream = upstream::upstream(ctx, &release.wanted.source)?;
    let list = match release.wanted.locked {
        true => upstream.locked_list(row, Lockfile::load(&upstream::lock_path(ctx))?.get(row)?)?,
        false => upstream.list(row)?,
    };
    let folder = row.release.folder().join("targets").join(row.published.to_string());
    let published: Vec<Artifact> = list
        .iter()
        .filter(|(path, _)| is_published(path, &built, &kernel.config_hash))
        .map(|(path, sha256)| Artifact { role: Role::Package, path: folder.join(path), sha256, size: None })
        .collect();
    if published.is_empty() {
        return Err(nothing_published(row, &kernel));
    }
    let about = format!("published kmods of {} {}", row.release, row.target);
    let files = upstream.fetch(&about, &published.iter().collect::<Vec<_>>())?;
    let differences = drive::compare(row.format, &built, &files)?;
    for difference in &differences {
        ctx.events.emit(Event::Finding(differs(difference)));
    }
    let count = match differences.len() {
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    let told = format!("{} kmods compared with those of the release, {count}", built.len());
    let exit = if differences.is_empty() { Exit::Done } else { Exit::Failed };
    let lines = differences.iter().map(ToString::to_string).chain([told]).collect::<Vec<_>>();
    Ok(Outcome { exit, data: lines.join("\n") })
}

/// Whether a listed file is the published counterpart of one of ours: snapshots keep kmods of earlier kernels, in
/// folders named after the kernel.
fn is_published(path: &str, built: &[Utf8PathBuf], kernel_hash: &str) -> bool {
    let path = Utf8Path::new(path);
    let of_this_kernel = !path.starts_with("kmods") || path.as_str().contains(kernel_hash);
    of_this_kernel && built.iter().any(|file| file.file_name() == path.file_name())
}

fn differs(difference: &drive::Difference) -> Finding {
    let (id, why, fix) = match difference.is_unpublished {
        false => (
            "CMP001",
            "the same SDK packs the same prebuilt modules, so the published ones were built from something else",
            "check that the SDK is the release's own (`cargo xtask lock --check`); if it is, report it to the release",
        ),
        true => (
            "CMP002",
            "the release's signed list has no such file for this kernel, so there is nothing to compare with",
            "with --compare, leave your own recipes out of --recipes; a snapshot's list may be from another build: \
             try later",
        ),
    };
    Finding {
        id,
        severity: Severity::Error,
        place: difference.path.as_ref().map(|path| format!("{}: /{path}", difference.package)),
        what: format!("{}: {}", difference.package, difference.what),
        why: why.into(),
        fix: fix.into(),
    }
}

fn nothing_published(row: &Row, kernel: &KernelId) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "CMP003",
        what: format!("{} {} publishes none of these kmods for kernel {kernel}", row.release, row.target),
        why: "its signed list has no such file: a mirror may have only SDK and images, and a snapshot is replaced",
        fix: "name a mirror that has the release's `kmods` or `packages` folder with --mirror",
    })
}

#[cfg(test)]
mod tests;
