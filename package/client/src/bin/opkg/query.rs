//! opkg's queries about packages: dependencies, providers, conflicts, and owners of files.

use std::collections::{BTreeSet, HashSet};

use client::opkg::Client;
use client::{Result, matches};
use formats::control::Control;
use formats::depend::Term;

use crate::front::say;
use crate::options::Options;

/// The relation that a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Depends,
    Conflicts,
}

/// Whether a pattern matches a name.
pub(crate) fn fits(options: &Options, pattern: &str, name: &str) -> bool {
    match options.any_case {
        true => matches(&pattern.to_lowercase(), &name.to_lowercase()),
        false => matches(pattern, name),
    }
}

/// The packages that a query looks at: the installed ones, or all.
fn packages(client: &Client, options: &Options) -> Result<Vec<Control>> {
    let installed = client.installed()?.into_iter().filter(|package| package.is_usable());
    let mut packages: Vec<Control> = installed.map(|package| package.control).collect();
    if options.all {
        let key = |control: &Control| (control.package.clone(), control.version.clone());
        let known: HashSet<_> = packages.iter().map(key).collect();
        packages.extend(client.available()?.into_iter().filter(|control| !known.contains(&key(control))));
    }
    Ok(packages)
}

/// `depends`
pub(crate) fn depends(client: &Client, options: &Options, patterns: &[&str]) -> Result<()> {
    let packages = packages(client, options)?;
    for pattern in patterns {
        for control in packages.iter().filter(|control| fits(options, pattern, &control.package)) {
            options.tell(&format!("{} depends on:", control.package));
            for dependency in &control.depends {
                let terms: Vec<String> = dependency.alternatives.iter().map(term).collect();
                options.tell(&format!("\t{}", terms.join(" | ")));
            }
        }
    }
    Ok(())
}

/// A dependency in opkg's spelling.
fn term(term: &Term) -> String {
    match &term.constraint {
        None => term.name.clone(),
        Some(constraint) => {
            let text = constraint.to_string();
            let version = text.trim_start_matches(['<', '>', '=']);
            let relation = match &text[..text.len() - version.len()] {
                "<<" => "<",
                ">>" => ">",
                other => other,
            };
            format!("{} ({relation} {})", term.name, version.trim())
        }
    }
}

/// `whatdepends`, `whatconflicts`; with `all_the_way` it repeats for the packages found.
pub(crate) fn what(
    client: &Client,
    options: &Options,
    relation: Relation,
    all_the_way: bool,
    patterns: &[&str],
) -> Result<()> {
    let packages = packages(client, options)?;
    let provided = |control: &Control| -> Vec<String> {
        let provided = control.provides.iter().filter(|provide| provide.version.is_none());
        std::iter::once(control.package.clone()).chain(provided.map(|provide| provide.name.clone())).collect()
    };
    let in_root = |control: &&Control| patterns.iter().any(|pattern| fits(options, pattern, &control.package));
    let mut names: HashSet<String> = HashSet::new();
    options.tell("Root set:");
    for control in packages.iter().filter(in_root) {
        names.extend(provided(control));
        options.tell(&format!("  {}", control.package));
    }
    let word = match relation {
        Relation::Depends => "depends on",
        Relation::Conflicts => "conflicts with",
    };
    options.tell(&format!("What {word} root set"));
    loop {
        let before = names.len();
        for control in &packages {
            if names.contains(&control.package) {
                continue;
            }
            let depends = control.depends.iter().flat_map(|dependency| &dependency.alternatives);
            let mut terms: Box<dyn Iterator<Item = &Term>> = match relation {
                Relation::Depends => Box::new(depends),
                Relation::Conflicts => Box::new(control.conflicts.iter()),
            };
            if let Some(found) = terms.find(|term| names.contains(&term.name)) {
                options.tell(&format!("\t{} {}\t{word} {}", control.package, control.version, term(found)));
                names.extend(provided(control));
            }
        }
        if !all_the_way || names.len() == before {
            return Ok(());
        }
    }
}

/// `whatprovides`
pub(crate) fn what_provides(client: &Client, options: &Options, patterns: &[&str]) -> Result<()> {
    let packages = packages(client, options)?;
    for pattern in patterns {
        options.tell(&format!("What provides {pattern}"));
        for control in &packages {
            let provided = control.provides.iter().filter(|provide| provide.version.is_none());
            let names = std::iter::once(&control.package).chain(provided.map(|provide| &provide.name));
            for name in names.filter(|name| fits(options, pattern, name)) {
                let other = if name == pattern { String::new() } else { format!("\tprovides {name}\n") };
                options.tell(&format!("    {}{other}", control.package));
            }
        }
    }
    Ok(())
}

/// `search`: which package a file belongs to.
pub(crate) fn search(client: &Client, options: &Options, pattern: &str) -> Result<()> {
    let root = client.root().path().as_str().trim_end_matches('/').to_owned();
    for package in client.installed()?.iter().filter(|package| package.is_usable()) {
        let control = &package.control;
        for path in client.files_of(package)? {
            if fits(options, pattern, &format!("{root}{path}")) {
                say(&format!("{} - {}", control.package, control.version));
            }
        }
    }
    Ok(())
}

/// `list` and `find`: the packages in the lists, and the installed ones.
pub(crate) fn list(client: &Client, options: &Options, pattern: &str, in_descriptions: bool) -> Result<()> {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut add = |control: &Control, size: Option<u64>, only_new: bool| {
        let name = &control.package;
        let text = control.stanza.get("Description").unwrap_or_default();
        let description = text.trim();
        let described = in_descriptions && fits(options, pattern, description);
        if !(fits(options, pattern, name) || described) || only_new && known.contains(name) {
            return;
        }
        let abi = control.stanza.get("ABIVersion").filter(|_| options.strip_abi).unwrap_or_default();
        let shown = name.strip_suffix(abi).filter(|shown| !shown.is_empty()).unwrap_or(name);
        let size = size.filter(|_| options.sizes).map(|size| format!(" - {size}")).unwrap_or_default();
        let description = if description.is_empty() { String::new() } else { format!(" - {description}") };
        known.insert(name.clone());
        lines.push((name.clone(), format!("{shown} - {}{size}{description}", control.version)));
    };
    client.offered()?.iter().for_each(|(control, size)| add(control, Some(*size), false));
    let installed = client.installed()?;
    installed.iter().filter(|package| package.is_usable()).for_each(|package| add(&package.control, Some(0), true));
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.iter().for_each(|(_, line)| say(line));
    Ok(())
}
