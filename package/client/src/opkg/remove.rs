//! Takes packages away again: scripts, files, and the folders that were made for them.

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

/// What is taken away.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All of it, dependents before what they need.
    pub(crate) order: Vec<String>,
    /// Those of them that nobody named: they had come along, and nobody needs them any more.
    pub(crate) orphans: BTreeSet<String>,
}

/// The named packages, with others as the switches say. Refuses when something that stays needs one.
pub(crate) fn plan(status: &Status, names: &[String], switches: Switches) -> Result<Plan> {
    let mut going: BTreeSet<String> = names.iter().cloned().collect();
    if let Some(name) = going.iter().find(|name| !status.0.contains_key(*name)) {
        return Err(Error::Unknown { name: name.clone(), problem: "it is not installed".into() });
    }
    if switches.force_removal_of_dependent_packages {
        with_dependents(status, &mut going);
    }
    for name in &going {
        let mut dependents = match switches.force_depends {
            true => Vec::new(),
            false => dependents(status, name, &going),
        };
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
        // Packages that need each other go in the order of their names.
        let next = going.iter().find(|name| !is_named_by_others(name, &going, status)).unwrap_or(first).clone();
        going.remove(&next);
        order.push(next);
    }
    Ok(Plan { order, orphans })
}

/// Adds what needs the packages that go, and what needs that.
fn with_dependents(status: &Status, going: &mut BTreeSet<String>) {
    loop {
        let dependents: Vec<String> = going.iter().flat_map(|name| dependents(status, name, going)).collect();
        if dependents.is_empty() {
            return;
        }
        going.extend(dependents);
    }
}

/// Packages that stay and need one that goes.
fn dependents(status: &Status, name: &str, going: &BTreeSet<String>) -> Vec<String> {
    let Some(package) = status.0.get(name) else { return Vec::new() };
    let staying = status.0.values().filter(|other| other.is_usable() && !going.contains(&other.control.package));
    staying.filter(|other| breaks(other, package, status, going)).map(|other| other.control.package.clone()).collect()
}

fn is_essential(status: &Status, name: &str) -> bool {
    status.0.get(name).is_some_and(|package| package.control.stanza.get("Essential") == Some("yes"))
}

/// What comes to nobody's use with versions that are upgraded: it came along because of them, and their new versions,
/// which `after` has, and all others do without it. As with opkg, what that needs itself stays without `autoremove`.
pub(crate) fn outdated(after: &Status, old: &[Installed], switches: Switches) -> BTreeSet<String> {
    orphans(after, old.to_vec(), &BTreeSet::new(), switches.autoremove)
}

/// What came along because of packages that are `gone`, and that no package that stays names; with `deep` also what came
/// along because of that.
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

/// Whether a package names another one in its dependencies, or what that provides, in whatever version.
fn names(package: &Installed, other: &Installed) -> bool {
    let mut terms = package.control.depends.iter().flat_map(|dependency| &dependency.alternatives);
    terms.any(|term| other.control.satisfies(&Term { name: term.name.clone(), constraint: None }))
}

/// Whether `other` has a dependency that `package` meets and nothing would meet any more.
fn breaks(other: &Installed, package: &Installed, status: &Status, going: &BTreeSet<String>) -> bool {
    other.control.depends.iter().any(|dependency| {
        dependency.alternatives.iter().any(|term| package.control.satisfies(term))
            && !dependency.alternatives.iter().any(|term| status.provider(term, going).is_some())
    })
}

/// Whether a package of `going` names `name`, or what it provides, in its dependencies.
fn is_named_by_others(name: &str, going: &BTreeSet<String>, status: &Status) -> bool {
    let Some(package) = status.0.get(name) else { return false };
    let others = going.iter().filter(|other| *other != name).filter_map(|other| status.0.get(other));
    others
        .flat_map(|other| &other.control.depends)
        .any(|dependency| dependency.alternatives.iter().any(|term| package.control.satisfies(term)))
}

/// Removes one package. Killed half-way it is half-installed, and can be removed or installed again.
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
    package.state = State::HalfInstalled;
    let (conffiles, links) = (package.conffiles.clone(), alternatives::links(&package.control));
    status.save(root)?;

    // No script runs before all files are gone.
    let alone = root.remembering();
    let others = status.paths_of_others(root, name, "list")?;
    for path in place::obsolete(&alone, read_paths(root, name, "list")?, [], &others) {
        let recorded = conffiles.get(&path);
        if recorded.is_some() && alone.sha256(&path)?.is_some_and(|there| Some(&there) != recorded) {
            on(Step::ConffileNotRemoved { path }.into());
        } else if alone.kind(&path)? != Some(Kind::Folder) {
            alone.remove(&path)?;
        }
    }
    // Innermost first; one that still holds something, or that another one needs, stays.
    let others = status.paths_of_others(root, name, "dirs")?;
    for folder in place::obsolete(&alone, read_paths(root, name, "dirs")?, [], &others).iter().rev() {
        let _not_empty = alone.remove_empty(folder);
    }
    script("postrm")?;
    remove_info(root, name, &[])?;
    status.0.remove(name);
    status.save(root)?;
    alternatives::update(root, status, &links, on)
}
