//! Removes packages: scripts, files, and the folders that were made for them.

use std::collections::BTreeSet;

use formats::depend::Term;

use super::alternatives;
use super::config::Config;
use super::scripts::{self, Call};
use super::status::{Installed, State, Status, read_paths, remove_info};
use super::switches::Switches;
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::place;
use crate::root::{Kind, Root};

/// The packages to remove.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All of them, dependents first.
    pub(crate) order: Vec<String>,
    /// Those that the user did not name: they were installed as dependencies, and nothing needs them any more.
    pub(crate) orphans: BTreeSet<String>,
}

/// Plans the removal of the named packages, in their order, and of others if the switches ask for it. As opkg, refuses
/// if a package that is still there names one of them, even if another could take its place.
pub(crate) fn plan(status: &Status, names: &[String], switches: Switches) -> Result<Plan> {
    let mut going: BTreeSet<String> = names.iter().cloned().collect();
    if let Some(name) = going.iter().find(|name| !status.0.contains_key(*name)) {
        return Err(Error::Unknown { name: name.clone(), problem: "it is not installed".into() });
    }
    if switches.force_removal_of_dependent_packages {
        with_dependents(status, &mut going);
    }
    let mut gone = match switches.force_removal_of_dependent_packages {
        true => going.clone(),
        false => BTreeSet::new(),
    };
    for name in names.iter().chain(&going) {
        let mut dependents = match switches.force_depends {
            true => Vec::new(),
            false => dependents(status, name, &gone),
        };
        gone.insert(name.clone());
        if is_essential(status, name) {
            dependents.push("the system itself, which it is marked essential for".into());
        }
        if !dependents.is_empty() {
            return Err(Error::Needed { package: name.clone(), dependents: dependents.join(", ") });
        }
    }
    let orphans = match switches.autoremove {
        true => orphans(status, going.iter().filter_map(|name| status.0.get(name)).cloned().collect(), &going, true),
        false => BTreeSet::new(),
    };
    going.extend(orphans.iter().cloned());
    let mut order = Vec::new();
    while let Some(first) = going.first() {
        // Packages that need each other are removed in alphabetical order.
        let next = going.iter().find(|name| !is_named_by_others(name, &going, status)).unwrap_or(first).clone();
        going.remove(&next);
        order.push(next);
    }
    Ok(Plan { order, orphans })
}

/// Adds all packages that depend on the ones to remove, directly or not.
fn with_dependents(status: &Status, going: &mut BTreeSet<String>) {
    loop {
        let dependents: Vec<String> = going.iter().flat_map(|name| dependents(status, name, going)).collect();
        if dependents.is_empty() {
            return;
        }
        going.extend(dependents);
    }
}

/// Packages outside `gone` that name a package, or what it provides, in their dependencies; perhaps itself.
fn dependents(status: &Status, name: &str, gone: &BTreeSet<String>) -> Vec<String> {
    let Some(package) = status.0.get(name) else { return Vec::new() };
    let staying = status.0.values().filter(|other| other.is_usable() && !gone.contains(&other.control.package));
    staying.filter(|other| names(other, package)).map(|other| other.control.package.clone()).collect()
}

fn is_essential(status: &Status, name: &str) -> bool {
    status.0.get(name).is_some_and(|package| package.control.stanza.get("Essential") == Some("yes"))
}

/// Dependencies of upgraded packages that nothing uses any more: they were installed because of the old versions, and
/// neither the new versions (in `after`) nor any other package needs them. As with opkg, their own dependencies stay
/// unless `autoremove` is set.
pub(crate) fn outdated(after: &Status, old: &[Installed], switches: Switches) -> BTreeSet<String> {
    orphans(after, old.to_vec(), &BTreeSet::new(), switches.autoremove)
}

/// Packages that were installed because of the packages in `gone`, and that no remaining package names; with `deep`,
/// also those that were installed because of them.
fn orphans(status: &Status, mut gone: Vec<Installed>, going: &BTreeSet<String>, deep: bool) -> BTreeSet<String> {
    let mut orphans = BTreeSet::new();
    while let Some(package) = gone.pop() {
        let is_left = |other: &&Installed| {
            let other = &other.control.package;
            !going.contains(other) && !orphans.contains(other)
        };
        let staying = || status.0.values().filter(is_left);
        let is_orphan = |other: &&Installed| {
            other.came_along()
                && names(&package, other)
                && !staying().any(|user| user.control.package != other.control.package && names(user, other))
                && !is_essential(status, &other.control.package)
        };
        let found: Vec<Installed> = staying().filter(is_orphan).cloned().collect();
        orphans.extend(found.iter().map(|orphan| orphan.control.package.clone()));
        gone.extend(found.into_iter().filter(|_| deep));
    }
    orphans
}

/// Whether a package's dependencies name the other package, or a name that it provides, in any version.
fn names(package: &Installed, other: &Installed) -> bool {
    let mut terms = package.control.depends.iter().flat_map(|dependency| &dependency.alternatives);
    terms.any(|term| other.control.satisfies(&Term { name: term.name.clone(), constraint: None }))
}

/// Whether a package in `going` names `name`, or a name that it provides, in its dependencies.
fn is_named_by_others(name: &str, going: &BTreeSet<String>, status: &Status) -> bool {
    let Some(package) = status.0.get(name) else { return false };
    let others = going.iter().filter(|other| *other != name).filter_map(|other| status.0.get(other));
    others
        .flat_map(|other| &other.control.depends)
        .any(|dependency| dependency.alternatives.iter().any(|term| package.control.satisfies(term)))
}

/// Removes one package. If it is killed half-way, the package is half-installed and can be removed or installed again.
pub(crate) fn remove(
    root: &Root,
    config: &Config,
    status: &mut Status,
    name: &str,
    on: &mut dyn FnMut(Progress),
) -> Result<()> {
    on(Step::Removing { name: name.to_owned() }.into());
    let script =
        |script| scripts::run(root, config, Call { package: name, script, words: &["remove"], upgrade: false });
    let Some(package) = status.0.get_mut(name) else { return Ok(()) };
    if package.is_usable() {
        script("prerm")?;
    }
    let was_complete = package.is_usable();
    package.state = State::HalfInstalled;
    let (conffiles, links) = (package.conffiles.clone(), alternatives::links(&package.control));
    status.save(root)?;

    // No script runs before all files are gone.
    let alone = root.remembering();
    let others = status.paths_of_others(root, name, "list")?;
    let files = read_paths(root, name, "list")?;
    let kept = place::kept(&alone, files.iter().cloned(), [], others);
    for path in files.into_iter().filter(|path| !kept.contains(path)) {
        let recorded = conffiles.get(&path);
        if recorded.is_some() && alone.sha256(&path)?.is_some_and(|there| Some(&there) != recorded) {
            on(Step::ConffileNotRemoved { path }.into());
        } else if was_complete {
            alone.remove_whole(&path)?;
        } else if alone.kind(&path)? != Some(Kind::Folder) {
            alone.remove(&path)?;
        }
    }
    // Innermost folders first; one that is not empty, or that another package has, stays.
    let others = status.paths_of_others(root, name, "dirs")?;
    let folders = read_paths(root, name, "dirs")?;
    let kept = place::kept(&alone, folders.iter().cloned(), [], others);
    for folder in folders.iter().rev().filter(|folder| !kept.contains(*folder)) {
        let _not_empty = alone.remove_empty(folder);
    }
    script("postrm")?;
    remove_info(root, name, &[])?;
    status.0.remove(name);
    status.save(root)?;
    alternatives::update(root, status, &links, on)
}
