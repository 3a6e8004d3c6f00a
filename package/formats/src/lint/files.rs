//! Files of a payload: who may write them, where they lie, where links lead, which packages share them.

use std::collections::{BTreeMap, BTreeSet};

use model::{Finding, Severity};

use super::Rule;
use super::set::Set;
use crate::opened::Opened;
use crate::package::{Kind, Owner};

static WORLD_WRITABLE: Rule = Rule {
    id: "LINT201",
    severity: Severity::Error,
    title: "writable by everybody",
    why: "any process on the router, such as a hijacked service, could replace what root runs or reads",
    fix: "install it with mode 0644, or 0755 for programs and folders (INSTALL_DATA, INSTALL_BIN, INSTALL_DIR)",
};

static SET_ID: Rule = Rule {
    id: "LINT202",
    severity: Severity::Warning,
    title: "set-user-id or set-group-id file",
    why: "whoever may start it gains its owner's rights through any bug in it",
    fix: "remove the set-user-id and set-group-id bits, unless the program was written for them",
};

static OWNER: Rule = Rule {
    id: "LINT203",
    severity: Severity::Warning,
    title: "owner or group is not root",
    why: "the account may not exist on the router, or be another one; a build without fakeroot causes this too",
    fix: "leave ownership to the build (root), or name the owner in FILE_MODES and create it with USERID",
};

static DEVICE: Rule = Rule {
    id: "LINT204",
    severity: Severity::Error,
    title: "device node or fifo",
    why: "devices belong in the kernel's /dev; elsewhere they give hardware access to whoever can reach the path",
    fix: "remove it from the package; procd and hotplug make device nodes",
};

pub(super) static ESCAPE: Rule = Rule {
    id: "LINT205",
    severity: Severity::Error,
    title: "path that leads out of its place",
    why: "package managers hardly check paths, so unpacking could write anywhere",
    fix: "do not install this package; build it again with OpenWrt's tools or with ours",
};

static CLIMBING_LINK: Rule = Rule {
    id: "LINT206",
    severity: Severity::Warning,
    title: "link that climbs above the root",
    why: "while an image is assembled, the root is a folder of the build machine, and the link leads out of it",
    fix: "make the link relative with no more `..` than its path has folders",
};

static LINK_ELSEWHERE: Rule = Rule {
    id: "LINT207",
    severity: Severity::Note,
    title: "absolute link to something outside the package",
    why: "it dangles unless something else is installed, and while an image is assembled it leads into the build \
          machine",
    fix: "depend on the package that has the target, and prefer a relative link",
};

static DUPLICATE: Rule = Rule {
    id: "LINT208",
    severity: Severity::Error,
    title: "file in two packages",
    why: "the package managers refuse to install the second one, or one package takes the other's file with it when \
          removed",
    fix: "move the file to one package, use ALTERNATIVES, or declare the conflict",
};

static DATABASE: Rule = Rule {
    id: "LINT209",
    severity: Severity::Error,
    title: "file among the package manager's own data",
    why: "it would change what counts as installed, or which keys the package manager trusts",
    fix: "remove it from the package; the package manager writes these files itself",
};

static VOLATILE: Rule = Rule {
    id: "LINT210",
    severity: Severity::Warning,
    title: "file in a folder that is in memory",
    why: "/tmp, /var, /run and the kernel's file systems are in memory: the file is hidden, or gone after a restart",
    fix: "install it below /etc or /usr, and let the init script create what it needs in memory",
};

pub(super) const RULES: &[&Rule] = &[
    &WORLD_WRITABLE,
    &SET_ID,
    &OWNER,
    &DEVICE,
    &ESCAPE,
    &CLIMBING_LINK,
    &LINK_ELSEWHERE,
    &DUPLICATE,
    &DATABASE,
    &VOLATILE,
];

/// Folders of installed-package data and trusted keys: opkg's are below `/usr/lib`, apk's below `/lib`.
const RECORDS: [&str; 4] = ["usr/lib/opkg", "lib/apk/db", "etc/apk/world", "var/lib/opkg"];
/// File systems in memory, and the link `/var` of OpenWrt.
const MEMORY: [&str; 6] = ["tmp", "var", "run", "proc", "sys", "dev"];
/// The most common paths that are named for two packages.
const MOST_PATHS: usize = 3;

/// One package.
pub(super) fn check(subject: &Opened, findings: &mut Vec<Finding>) {
    for file in &subject.files {
        let entry = &file.entry;
        let path = entry.path.as_str();
        let mut report = |rule: &'static Rule, what: String| findings.push(rule.within(&subject.path, path, what));
        let is_link = matches!(entry.kind, Kind::Symlink(_));
        // A folder with the sticky bit, such as /tmp, is writable for everybody on purpose.
        let is_shared = entry.kind == Kind::Dir && entry.mode & 0o1000 != 0;
        if !is_link && !is_shared && entry.mode & 0o002 != 0 {
            report(&WORLD_WRITABLE, format!("its mode is {:04o}", entry.mode));
        }
        if !is_link && entry.kind != Kind::Dir && entry.mode & 0o6000 != 0 {
            report(&SET_ID, format!("its mode is {:04o}", entry.mode));
        }
        if !is_root(&entry.owner) || !is_root(&entry.group) {
            report(&OWNER, format!("it belongs to {}:{}", name(&entry.owner), name(&entry.group)));
        }
        match &entry.kind {
            Kind::Device(device) => report(&DEVICE, format!("it is {device:?}")),
            Kind::Symlink(target) => check_link(subject, path, target, findings),
            _ => {}
        }
        if entry.kind != Kind::Dir {
            check_place(subject, path, findings);
        }
    }
}

fn is_root(owner: &Owner) -> bool {
    owner.id == 0 || owner.name == "root"
}

fn name(owner: &Owner) -> String {
    if owner.name.is_empty() { owner.id.to_string() } else { owner.name.clone() }
}

fn check_place(subject: &Opened, path: &str, findings: &mut Vec<Finding>) {
    let below = |folder: &&str| path.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(records) = RECORDS.iter().find(|folder| below(folder)) {
        let manager = subject.format.manager();
        let what = format!("/{records} belongs to the package manager (here {manager}), not to packages");
        findings.push(DATABASE.within(&subject.path, path, what));
    } else if let Some(folder) = MEMORY.iter().find(|folder| below(folder)) {
        findings.push(VOLATILE.within(&subject.path, path, format!("/{folder} is in memory")));
    }
}

/// A relative link must not climb above the root; an absolute one should lead to a path in the package.
fn check_link(subject: &Opened, path: &str, target: &str, findings: &mut Vec<Finding>) {
    let mut place: Vec<&str> = if target.starts_with('/') { Vec::new() } else { path.split('/').collect() };
    place.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part != ".." {
            place.push(part);
        } else if place.pop().is_none() {
            let what = format!("it leads to `{target}`");
            return findings.push(CLIMBING_LINK.within(&subject.path, path, what));
        }
    }
    let is_volatile = place.first().is_none_or(|first| MEMORY.contains(first));
    if target.starts_with('/') && !is_volatile && !subject.has(&place.join("/")) {
        findings.push(LINK_ELSEWHERE.within(&subject.path, path, format!("it leads to `{target}`")));
    }
}

/// Files that two packages of a set have, unless the packages exclude each other.
pub(super) fn check_set(set: &Set<'_>, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (position, subject) in set.subjects.iter().enumerate() {
        for file in subject.files.iter().filter(|file| file.entry.kind != Kind::Dir) {
            owners.entry(&file.entry.path).or_default().push(position);
        }
    }
    check_folders(set, &owners, findings);
    let mut shared: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for (path, owners) in owners.into_iter().filter(|(_, owners)| owners.len() > 1) {
        for (at, &second) in owners.iter().enumerate() {
            let clash = owners[..at].iter().find(|&&first| !set.subjects[first].excludes(set.subjects[second]));
            if let Some(&first) = clash {
                shared.entry((first, second)).or_default().push(path);
            }
        }
    }
    for ((first, second), paths) in shared {
        let (first, second) = (set.subjects[first], set.subjects[second]);
        let more = paths.len().saturating_sub(MOST_PATHS);
        let mut named: Vec<String> = paths.iter().take(MOST_PATHS).map(|path| format!("/{path}")).collect();
        if more > 0 {
            named.push(format!("{more} more"));
        }
        let what = format!("{} and {} both have {}", first.name, second.name, named.join(", "));
        findings.push(DUPLICATE.at(&second.path, what));
    }
}

/// A file in one package where another has a folder: real opkg installs both, and loses the file.
fn check_folders(set: &Set<'_>, owners: &BTreeMap<&str, Vec<usize>>, findings: &mut Vec<Finding>) {
    let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (position, subject) in set.subjects.iter().enumerate() {
        for file in &subject.files {
            let path = file.entry.path.as_str();
            let ends = path.match_indices('/').map(|(at, _)| at);
            for end in ends.chain((file.entry.kind == Kind::Dir).then_some(path.len())) {
                let is_link = |other: &Opened| {
                    let own = other.files.iter().find(|file| file.entry.path == path[..end]);
                    own.is_some_and(|own| matches!(own.entry.kind, Kind::Symlink(_)))
                };
                for &other in owners.get(&path[..end]).into_iter().flatten() {
                    let holder = set.subjects[other];
                    // The file may be a link to a folder.
                    if other != position
                        && !holder.excludes(subject)
                        && !is_link(holder)
                        && seen.insert((other, position))
                    {
                        let what =
                            format!("{} has the file /{}, a folder in {}", holder.name, &path[..end], subject.name);
                        findings.push(DUPLICATE.at(&subject.path, what));
                    }
                }
            }
        }
    }
}
