//! Drives an unpacked SDK: from an archive to checked packages.
//!
//! ```text
//! archive ─ unpack ─> Tree ─ Literals ── feeds ── closure, prune ── .config ── make ── check ─> packages
//!                       │       │ the release's word                                     │
//!                       └ lock  └ kernel, target, architecture                           └ by content
//! ```
//!
//! What OpenWrt's programs report is not believed: they exit with 0 after building nothing. Every step
//! looks at what it was to bring about. Facts about their behaviour come from OpenWrt's sources
//! (`target/sdk`, `include/toplevel.mk`, `include/kernel.mk`, `scripts/feeds`).

mod build_config;
mod check;
mod compare;
mod feeds;
mod literals;
mod make;
mod makefile;
mod metadata;
#[cfg(any(test, feature = "fixture"))]
pub mod mini;
mod opened;
mod renew;
mod selection;
mod symptoms;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use camino::Utf8Path;
use host::lock::Lock;
use host::{aside, files};
use model::{Cancel, Events, Failure, Result};

use crate::built::BuiltPackage;
use crate::recipe::{Line, Recipes};

pub use compare::{Difference, compare};
pub use feeds::Program;
pub use literals::{Expected, Literals};
pub use make::Patience;
pub use tree::Tree;
pub use unpack::{STAGE as UNPACK_STAGE, UNPACKED, unpack};

use check::{Good, Kernel};
use feeds::Modules;
use make::Maker;
use metadata::Metadata;

/// What to build, in which SDK.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The SDK.
    pub tree: &'a Tree,
    /// The archive that it came out of: where a run did not end well, the next one unpacks it again.
    pub archive: &'a Utf8Path,
    /// The right to change it: two makes in one tree were seen to hang for ten minutes.
    pub lock: &'a Lock,
    /// What its release says about it.
    pub expected: &'a Expected,
    /// The kmods to build are their roots, with all that the SDK says these need.
    pub recipes: &'a Recipes,
    /// Programs to pack.
    pub programs: &'a [Program],
    /// Time of every package, in seconds since 1970; `None`: when the SDK's sources were last changed.
    pub source_date_epoch: Option<u64>,
    /// Jobs at once.
    pub jobs: NonZeroUsize,
    /// How long the SDK's programs may take.
    pub patience: Patience,
}

/// Builds kmods and programs with an SDK, checks them and copies them into the empty folder `out`.
///
/// # Errors
/// `SDK…`: every step has its own, and says what OpenWrt's programs said.
pub fn build(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    let Request { tree, archive, lock: _held, expected, recipes, programs, source_date_epoch, jobs, patience } =
        *request;
    let literals = Literals::read(tree)?;
    literals.check(expected)?;
    let epoch = source_date_epoch.unwrap_or(literals.source_date_epoch);
    let maker = Maker { tree, epoch, jobs, patience, events, cancel };

    let work = renew::begin(tree, archive, events, cancel)?;
    files::create_folder(&tree.home())?;
    date_kernel_packages(tree, epoch)?;
    first_use(&maker)?;
    let modules = Modules::of(recipes, &literals.kernel.version);
    feeds::prepare(&maker, programs, &modules, &literals.arch.0)?;
    let mut kmods = closure(tree, &literals, recipes)?;
    build_config::prune(tree, &kmods)?;
    let names: Vec<&str> = programs.iter().map(|program| program.package.as_str()).collect();
    selection::select(&maker, &names.iter().copied().chain(modules.names()).collect::<Vec<_>>(), &kmods)?;

    maker.build("package/kernel/linux/compile", &[])?;
    compile(&maker, &modules, &literals)?;
    for name in &names {
        // Without this, everything that depends on libc has kernel and toolchain packed again. It would also leave out
        // what a program is linked with; ours are static and have no such dependency.
        maker.build(&feeds::goal(name), &["NO_DEPS=1"])?;
    }
    kmods.extend(modules.names().map(str::to_owned));
    let good = check_all(tree, &literals, recipes, programs, &kmods)?;
    let built = copy(&good, out)?;
    work.finished()?;
    Ok(built)
}

/// Compiles kmods from source, after the kernel's own: their symbols are known to each other by what was made before.
fn compile(maker: &Maker<'_>, modules: &Modules<'_>, literals: &Literals) -> Result<()> {
    let kernel = Kernel::read(maker.tree, &literals.kernel.version)?;
    modules.kmods.iter().try_for_each(|kmod| kernel.has_options_of(kmod))?;
    for kmod in &modules.kmods {
        let Some(source) = &kmod.source else { continue };
        let folder = maker.tree.kernel_build()?.with_file_name(format!("{}-{}", kmod.package, source.version));
        let line = modules.line.map(|line| line.to_string()).unwrap_or_default();
        maker.compile(&feeds::goal(&kmod.package), &folder, &line).map_err(|failure| failure.at(&kmod.package))?;
    }
    Ok(())
}

/// The kmods of the recipes that have no module in this SDK, and rightly so. OpenWrt's packages do not
/// say it themselves.
///
/// # Errors
/// `IO…` when the tree cannot be read.
pub fn empty_on_purpose(tree: &Tree, literals: &Literals, recipes: &Recipes) -> Result<Vec<String>> {
    Ok(Kernel::read(tree, &literals.kernel.version)?.empty(recipes))
}

/// In a tree that was never used, `make` checks the host and makes a git repository of it first.
fn first_use(maker: &Maker<'_>) -> Result<()> {
    let called = maker.call(&["make", "prepare-tmpinfo"])?;
    if called.success { Ok(()) } else { Err(called.failure("the SDK cannot be used on this host".into())) }
}

/// In-tree kmods are dated by the last change of their folder in the tree's own git repository, which
/// is that of the first use; this file comes before it.
fn date_kernel_packages(tree: &Tree, epoch: u64) -> Result<()> {
    let file = tree.path("package/kernel/linux/version.date");
    let text = format!("{epoch}\n");
    if std::fs::read_to_string(&file).ok() == Some(text.clone()) {
        Ok(())
    } else {
        aside::write(&file, text.as_bytes())
    }
}

/// The kmods to build, by the SDK's own word.
fn closure(tree: &Tree, literals: &Literals, recipes: &Recipes) -> Result<BTreeSet<String>> {
    let config = build_config::pristine(tree)?;
    let scanned = files::read_text(&tree.path("tmp/.packageinfo"))?;
    let line: Option<Line> = literals.kernel.version.parse().ok();
    Metadata::parse(&scanned).closure(&roots(recipes, line), &build_config::kmods(&config))
}

/// The recipes of the kernel's own modules that apply to a kernel and that no other of them needs.
fn roots(recipes: &Recipes, line: Option<Line>) -> Vec<&str> {
    let applies = |kmod: &&crate::recipe::Kmod| kmod.source.is_none() && line.is_none_or(|line| kmod.kernel.hold(line));
    let needed: BTreeSet<&String> = recipes.kmods.values().filter(applies).flat_map(|kmod| &kmod.depends).collect();
    let kmods = recipes.kmods.values().filter(applies).filter(|kmod| !needed.contains(&kmod.package));
    kmods.map(|kmod| kmod.package.as_str()).collect()
}

fn check_all(
    tree: &Tree,
    literals: &Literals,
    recipes: &Recipes,
    programs: &[Program],
    kmods: &BTreeSet<String>,
) -> Result<Vec<Good>> {
    let names = kmods.iter().map(String::as_str).chain(programs.iter().map(|program| program.package.as_str()));
    let mut found = check::collect(tree, literals.format, &names.collect())?;
    let kernel = Kernel::read(tree, &literals.kernel.version)?;
    let mut good = Vec::new();
    for name in kmods {
        good.push(check::kmod(&mut found, name, literals, &kernel, recipes, tree)?);
    }
    for program in programs {
        good.push(check::program(&mut found, program, literals, tree)?);
    }
    Ok(good)
}

/// Copies packages out of the tree, under the names that the SDK gave them.
fn copy(good: &[Good], out: &Utf8Path) -> Result<Vec<BuiltPackage>> {
    let copied = good.iter().map(|(package, note)| {
        let file = Utf8Path::new(&package.path);
        let place = out.join(file.file_name().unwrap_or(&package.name));
        std::fs::copy(file, &place).map_err(|error| Failure::io("copy the package", &place, &error))?;
        Ok(opened::built(package, place, note.clone()))
    });
    let mut packages = copied.collect::<Result<Vec<_>>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}
