//! Takes packages away again: scripts, files, and the folders that were made for them.

use std::collections::BTreeSet;

use super::alternatives;
use super::config::Config;
use super::scripts::{self, Call};
use super::status::{Installed, State, Status, read_paths, remove_info};
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::place;
use crate::root::{Kind, Root};

/// The named packages, dependents before what they need. Refuses when something that stays needs one.
pub(crate) fn plan(status: &Status, names: &[String]) -> Result<Vec<String>> {
    let mut going: BTreeSet<String> = names.iter().cloned().collect();
    for name in &going {
        let Some(package) = status.0.get(name) else {
            return Err(Error::Unknown { name: name.clone(), problem: "it is not installed".into() });
        };
        let staying = status.0.values().filter(|other| other.is_usable() && !going.contains(&other.control.package));
        let mut dependents: Vec<&str> = staying
            .filter(|other| breaks(other, package, status, &going))
            .map(|other| other.control.package.as_str())
            .collect();
        if package.control.stanza.get("Essential") == Some("yes") {
            dependents.push("the system itself, which it is marked essential for");
        }
        if !dependents.is_empty() {
            return Err(Error::Needed { package: name.clone(), dependents: dependents.join(", ") });
        }
    }
    let mut order = Vec::new();
    while let Some(first) = going.first() {
        // Packages that need each other go in the order of their names.
        let next = going.iter().find(|name| !is_named_by_others(name, &going, status)).unwrap_or(first).clone();
        going.remove(&next);
        order.push(next);
    }
    Ok(order)
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

    let others = status.paths_of_others(root, name, "list")?;
    for path in place::obsolete(root, read_paths(root, name, "list")?, [], &others) {
        let recorded = conffiles.get(&path);
        if recorded.is_some() && root.sha256(&path)?.is_some_and(|there| Some(&there) != recorded) {
            on(Step::ConffileNotRemoved { path }.into());
        } else if root.kind(&path)? != Some(Kind::Folder) {
            root.remove(&path)?;
        }
    }
    // Innermost first; one that still holds something, or that another one needs, stays.
    let others = status.paths_of_others(root, name, "dirs")?;
    for folder in place::obsolete(root, read_paths(root, name, "dirs")?, [], &others).iter().rev() {
        let _not_empty = root.remove_empty(folder);
    }
    script("postrm")?;
    remove_info(root, name, &[])?;
    status.0.remove(name);
    status.save(root)?;
    alternatives::update(root, status, &links, on)
}
