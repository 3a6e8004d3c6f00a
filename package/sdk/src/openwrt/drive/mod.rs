//! Drives an unpacked SDK: from an archive to checked packages.
//!
//! ```text
//! archive ─ unpack ─> Tree ─ Literals ── feeds ── closure, prune ── .config ── make ── check ─> packages
//!                       │       │ compared with the release                              │
//!                       └ lock  └ kernel, target, architecture                           └ by content
//! ```
//!
//! Exit codes of OpenWrt's programs are not trusted: they exit with 0 after building nothing. Every step checks its own
//! result. Facts about their behaviour come from OpenWrt's sources (`target/sdk`, `include/toplevel.mk`,
//! `include/kernel.mk`, `scripts/feeds`).

mod build_config;
mod check;
mod compare;
mod feeds;
mod linked;
mod literals;
mod make;
mod makefile;
mod metadata;
#[cfg(any(test, feature = "fixture"))]
pub mod mini;
mod opened;
mod own_feed;
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
use crate::openwrt::feed_folder::FeedFolder;
use crate::recipe::{Line, Recipes};

pub use compare::{Difference, compare};
pub(super) use feeds::NAME as FEED;
pub use feeds::Program;
pub use literals::{Expected, Literals};
pub use make::Patience;
pub(super) use own_feed::FOLDER as OWN_FEED;
pub use tree::Tree;
pub use unpack::{STAGE as UNPACK_STAGE, UNPACKED, unpack};

use check::{Good, Kernel};
use feeds::Modules;
use make::Maker;
use metadata::Metadata;
use own_feed::Listed;

/// What to build, in which SDK.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The unpacked SDK.
    pub tree: &'a Tree,
    /// The archive that it was unpacked from: after a run that did not finish, the next one unpacks it again.
    pub archive: &'a Utf8Path,
    /// The lock that allows changes: two makes in one tree were seen to hang for ten minutes.
    pub lock: &'a Lock,
    /// What its release says about it.
    pub expected: &'a Expected,
    /// The recipes to build, together with all kmods that the SDK says they need.
    pub recipes: &'a Recipes,
    /// Programs to pack.
    pub programs: &'a [Program],
    /// A feed of the user's, all packages of which are built.
    pub own: Option<&'a FeedFolder>,
    /// Time of every package, in seconds since 1970; `None` for the time at which the SDK's sources last changed.
    pub source_date_epoch: Option<u64>,
    /// Number of parallel jobs.
    pub jobs: NonZeroUsize,
    /// Deadlines of the SDK's programs.
    pub patience: Patience,
}

/// Builds kmods and programs with an SDK, checks them and copies them into the empty folder `out`.
///
/// # Errors
/// `SDK…`: every step has ids of its own, and shows what OpenWrt's programs printed.
pub fn build(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    let Request { tree, archive, lock: _held, expected, recipes, programs, own, source_date_epoch, jobs, patience } =
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
    let listed = feeds::prepare(&maker, programs, &modules, &literals.arch.0, own)?;
    let mut kmods = closure(tree, &literals, recipes)?;
    let (needed, mut others) = match own {
        Some(own) => own_feed::needs(tree, own, &listed, &build_config::kmods(&build_config::pristine(tree)?))?,
        None => Default::default(),
    };
    let all_kmods: BTreeSet<String> = kmods.union(&needed).cloned().collect();
    build_config::prune(tree, &all_kmods)?;
    let names: Vec<&str> = programs.iter().map(|program| program.package.as_str()).collect();
    let ours: Vec<&str> = names.iter().copied().chain(modules.names()).collect();
    let symbols: Vec<&str> = listed.iter().chain(&others).map(|package| package.symbol.as_str()).collect();
    let dropped = selection::select(&maker, &ours, &all_kmods, &symbols)?;

    maker.build("package/kernel/linux/compile", &[])?;
    compile(&maker, &modules, &literals)?;
    for name in &names {
        // Without NO_DEPS, each package that depends on libc would pack kernel and toolchain again. It also skips the
        // libraries that a program is linked with; ours are static and need none.
        maker.build(&feeds::goal(name), &["NO_DEPS=1"])?;
    }
    let mut theirs = Vec::new();
    if let Some(own) = own {
        theirs = own_feed::selected(&maker, own, listed, &dropped)?;
        let line = modules.line.map(|line| line.to_string()).unwrap_or_default();
        own_feed::build(&maker, own, &theirs, &line)?;
        others.retain(|package| !dropped.contains(&package.symbol));
        theirs.append(&mut others);
    }
    kmods.extend(modules.names().map(str::to_owned));
    let mut good = check_all(tree, &literals, recipes, programs, &kmods)?;
    good.extend(check_own(tree, &literals, &theirs, &needed, &kmods)?);
    let built = copy(&good, out)?;
    work.finished()?;
    Ok(built)
}

/// Compiles kmods from source, after the kernel's own; a kmod finds the symbols of those compiled before it.
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

/// The kmods of the recipes that rightly have no module in this SDK. OpenWrt's packages do not say so themselves.
///
/// # Errors
/// `IO…` when the tree cannot be read.
pub fn empty_on_purpose(tree: &Tree, literals: &Literals, recipes: &Recipes) -> Result<Vec<String>> {
    Ok(Kernel::read(tree, &literals.kernel.version)?.empty(recipes))
}

/// In a new tree, `make` first checks the host and makes a git repository of the tree.
fn first_use(maker: &Maker<'_>) -> Result<()> {
    let called = maker.call(&["make", "prepare-tmpinfo"])?;
    if called.success { Ok(()) } else { Err(called.failure("the SDK cannot be used on this host".into())) }
}

/// In-tree kmods get the date of the last change to their folder in the tree's own git repository, which is made on
/// first use, after this file.
fn date_kernel_packages(tree: &Tree, epoch: u64) -> Result<()> {
    let file = tree.path("package/kernel/linux/version.date");
    let text = format!("{epoch}\n");
    if std::fs::read_to_string(&file).ok() == Some(text.clone()) {
        Ok(())
    } else {
        aside::write(&file, text.as_bytes())
    }
}

/// The kmods to build, according to the SDK.
fn closure(tree: &Tree, literals: &Literals, recipes: &Recipes) -> Result<BTreeSet<String>> {
    let config = build_config::pristine(tree)?;
    let scanned = files::read_text(&tree.path("tmp/.packageinfo"))?;
    let line: Option<Line> = literals.kernel.version.parse().ok();
    Metadata::parse(&scanned).closure(&roots(recipes, line), &build_config::kmods(&config))
}

/// The recipes of the kernel's own modules that apply to a kernel and that no other of these needs.
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

/// Checks the packages of the user's feed, and the kernel's own kmods that they need.
fn check_own(
    tree: &Tree,
    literals: &Literals,
    theirs: &[Listed],
    needed: &BTreeSet<String>,
    known: &BTreeSet<String>,
) -> Result<Vec<Good>> {
    let kernel = Kernel::read(tree, &literals.kernel.version)?;
    let needed: Vec<&str> = needed.difference(known).map(String::as_str).collect();
    let names = theirs.iter().map(|package| package.name.as_str()).chain(needed.iter().copied());
    let mut found = check::collect(tree, literals.format, &names.collect())?;
    let mut good = Vec::new();
    for package in theirs {
        let checked = check::of_feed(&mut found, package, literals, &kernel, tree);
        good.push(checked.map_err(|failure| failure.at(&package.source))?);
    }
    for name in needed {
        good.push(check::needed(&mut found, name, literals, tree)?);
    }
    Ok(good)
}

/// Copies packages out of the tree, under the SDK's file names.
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
