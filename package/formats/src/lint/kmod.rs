//! Kernel modules: whether a package has one, whether it fits the kernel, is loaded, and finds what it needs.
//!
//! OpenWrt's kernels do not check a module's vermagic, so the dependency on `kernel (=version~hash)` is the only guard:
//! modules of another kernel crash the router instead of being refused.
//!
//! A kmod may be empty on purpose, because its modules became part of the kernel or of another module. Neither format
//! can say so, and a missing kernel option gives the same empty package in OpenWrt's build. So a package counts as
//! empty on purpose only if its description has the word `Empty:` followed by the reason, which its user can read too.
//! In ipk the word starts a line; apk's descriptions have one line.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Finding, Severity};

use super::Rule;
use super::set::Set;
use crate::modinfo::ModuleInfo;
use crate::opened::{Opened, module_name};

/// A kmod without a module and without a reason; OpenWrt's own kmods never give one.
pub static EMPTY: Rule = Rule {
    id: "LINT101",
    severity: Severity::Error,
    title: "kmod without a module",
    why: "it installs without complaint but loads nothing: a kernel option was off when it was built",
    fix: "set the kernel option that the module needs; if it is empty on purpose, write `Empty:` and the reason into its description",
};

static OTHER_KERNEL: Rule = Rule {
    id: "LINT102",
    severity: Severity::Error,
    title: "module of another kernel than the package depends on",
    why: "the dependency is the only guard: OpenWrt's kernels load the module without a check, and crash",
    fix: "build module and package from the same kernel tree",
};

static MIXED: Rule = Rule {
    id: "LINT103",
    severity: Severity::Error,
    title: "modules of different builds of the kernel",
    why: "modules of one kernel have the same vermagic; with different ones, structures may differ between them",
    fix: "build all modules from one kernel tree with one configuration",
};

static UNBOUND: Rule = Rule {
    id: "LINT104",
    severity: Severity::Error,
    title: "modules without a dependency on one exact kernel",
    why: "the package manager would install them on any kernel, which loads them without a check",
    fix: "add `kernel (=VERSION~HASH-rN)` to the dependencies, as OpenWrt's kernel.mk does",
};

static NOT_LOADED: Rule = Rule {
    id: "LINT105",
    severity: Severity::Warning,
    title: "module that is never loaded",
    why: "OpenWrt loads the modules listed in /etc/modules.d and their dependencies; it does not load by modalias",
    fix: "add an AUTOLOAD line to the recipe, or say in the description who loads the module",
};

/// A load list that names a module which no package has; OpenWrt's own lists name built-in modules, too.
pub static ABSENT: Rule = Rule {
    id: "LINT106",
    severity: Severity::Warning,
    title: "load list names a missing module",
    why: "kmodloader skips unknown names silently; the module was renamed, or is missing",
    fix: "correct the AUTOLOAD line of the recipe",
};

static MISSING_DEPENDENCY: Rule = Rule {
    id: "LINT107",
    severity: Severity::Error,
    title: "module needs a module of a package that it does not depend on",
    why: "installed alone, it fails to load with unknown symbols",
    fix: "add the package to the dependencies of the recipe",
};

static MISPLACED: Rule = Rule {
    id: "LINT108",
    severity: Severity::Error,
    title: "module in a folder that is not searched",
    why: "modules are searched only in /lib/modules/RELEASE of the running kernel, not in folders below it",
    fix: "install it in the folder of the release that its vermagic names",
};

static NO_MODULE: Rule = Rule {
    id: "LINT109",
    severity: Severity::Error,
    title: "module that cannot be loaded",
    why: "kmodloader takes plain ELF files with a .modinfo section",
    fix: "pack the .ko file as the kernel's build made it, not compressed and not stripped of its sections",
};

pub(super) const RULES: &[&Rule] =
    &[&EMPTY, &OTHER_KERNEL, &MIXED, &UNBOUND, &NOT_LOADED, &ABSENT, &MISSING_DEPENDENCY, &MISPLACED, &NO_MODULE];

/// Checks one package, together with those that may be installed with it.
pub(super) fn check(subject: &Opened, set: &Set<'_>, findings: &mut Vec<Finding>) {
    if !subject.is_kmod() {
        return;
    }
    let declared = subject.description.split_whitespace().any(|word| word == "Empty:");
    if subject.modules().next().is_none() && !declared {
        findings.push(EMPTY.at(&subject.path, format!("{} has no file below /lib/modules", subject.name)));
    }
    let loose = match subject.kernel() {
        None => Some("does not depend on one version of `kernel`".to_owned()),
        Some(kernel) if !has_hash(kernel) => {
            Some(format!("depends on kernel {kernel}, which does not identify its configuration"))
        }
        Some(_) => None,
    };
    if let Some(what) = loose.filter(|_| subject.modules().next().is_some()) {
        findings.push(UNBOUND.at(&subject.path, format!("{} {what}", subject.name)));
    }
    for (_, file, module) in subject.modules() {
        match module {
            Ok(info) => check_kernel(subject, &file.entry.path, info, findings),
            Err(why) => findings.push(NO_MODULE.within(&subject.path, &file.entry.path, why.clone())),
        }
    }
    check_loading(subject, set, findings);
}

/// Folder and dependency must match the kernel that the module was built for.
fn check_kernel(subject: &Opened, path: &str, info: &ModuleInfo, findings: &mut Vec<Finding>) {
    let release = info.kernel_release();
    if let Some(kernel) = subject.kernel()
        && !is_release_of(release, kernel)
    {
        let what = format!("it was built for kernel `{release}`, and the package depends on kernel {kernel}");
        findings.push(OTHER_KERNEL.within(&subject.path, path, what));
    }
    let place = path.strip_prefix("lib/modules/").and_then(|rest| rest.split_once('/'));
    let what = match place {
        Some((folder, _)) if folder != release => format!("it was built for kernel `{release}`"),
        Some((_, rest)) if rest.contains('/') => format!("kmodloader searches only /lib/modules/{release}/*.ko"),
        Some(_) => return,
        None => format!("it was built for kernel `{release}`"),
    };
    findings.push(MISPLACED.within(&subject.path, path, what));
}

/// Whether a kernel's version has a hash: `6.12.94~HASH-r1`, or `5.15.134-1-HASH` as in 23.05 and older.
fn has_hash(version: &str) -> bool {
    let is_hash = |text: &str, least: usize| text.len() >= least && text.chars().all(|c| c.is_ascii_hexdigit());
    let hash = version.split_once('~').map(|(_, rest)| rest.split('-').next().unwrap_or_default());
    hash.is_some_and(|hash| is_hash(hash, 1)) || version.rsplit('-').next().is_some_and(|last| is_hash(last, 16))
}

/// Whether `uname -r` can belong to a version of the package `kernel`, such as `6.12.94~HASH-r1`.
///
/// Debian up to 12 keeps the first release's number and counts its changes instead: `6.1.0-49-amd64`.
fn is_release_of(release: &str, version: &str) -> bool {
    let numbers = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers: Vec<u64> = text[..end].split('.').filter_map(|number| number.parse().ok()).collect();
        numbers.resize(3, 0);
        (numbers, text[end..].to_owned())
    };
    let ((release, rest), (version, _)) = (numbers(release), numbers(version));
    let counted =
        release[2] == 0 && rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    release == version || counted && release[..2] == version[..2]
}

/// The module that a line of a load list names, parsed as kmodloader does: up to the first blank, without folders and
/// extension.
fn module_of(line: &str) -> &str {
    let name = line.split(' ').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    name.split(".ko").next().unwrap_or_default()
}

/// Listed modules must exist, and existing modules must be loaded.
fn check_loading(subject: &Opened, set: &Set<'_>, findings: &mut Vec<Finding>) {
    let mut listed = HashSet::new();
    for file in &subject.files {
        let path = file.entry.path.as_str();
        if !path.starts_with("etc/modules.d/") && !path.starts_with("etc/modules-boot.d/") {
            continue;
        }
        for line in file.facts.text.iter().flat_map(|text| text.split('\n')) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = module_of(line);
            if name.is_empty() {
                findings.push(ABSENT.within(&subject.path, path, format!("the line {line:?} names no module")));
                continue;
            }
            let module = module_name(name);
            if name.contains(char::is_control) {
                findings.push(ABSENT.within(&subject.path, path, format!("no module has the name {name:?}")));
            } else if !set.has_module(&module) && !set.is_builtin(&module) {
                findings.push(ABSENT.within(&subject.path, path, format!("module `{name}` is in no given package")));
            }
            listed.insert(module);
        }
    }
    for (name, file, _) in subject.modules() {
        if !listed.contains(&name) && !set.is_needed(&name) {
            let what = format!("no file in /etc/modules.d names `{name}`, and no given module needs it");
            findings.push(NOT_LOADED.within(&subject.path, &file.entry.path, what));
        }
    }
}

/// Every readable module of the set, with its package and name.
fn modules<'s>(set: &'s Set<'_>) -> impl Iterator<Item = (&'s Opened, String, &'s ModuleInfo)> {
    set.subjects
        .iter()
        .flat_map(|subject| subject.modules().filter_map(|(name, _, info)| Some((*subject, name, info.as_ref().ok()?))))
}

/// The modules that a module needs, with names normalised.
fn needs(info: &ModuleInfo) -> impl Iterator<Item = String> {
    info.depends.iter().map(|name| module_name(name))
}

/// Problems between packages; a package with a missing dependency is not judged. Packages for several kernels may lie
/// side by side, as OpenWrt keeps older kmods, so only those for one kernel are compared.
pub(super) fn check_set(set: &Set<'_>, findings: &mut Vec<Finding>) {
    let mut first: BTreeMap<Option<&str>, (&Opened, &str)> = BTreeMap::new();
    let mut owners: HashMap<(Option<&str>, String), Vec<&Opened>> = HashMap::new();
    for (subject, name, info) in modules(set) {
        // A package that depends on no kernel is compared only with itself.
        let (other, vermagic) =
            first.entry(subject.kernel().or(Some(&subject.path))).or_insert((subject, &info.vermagic));
        if *vermagic != info.vermagic {
            let what =
                format!("`{name}` has vermagic `{}`, modules of {} have `{vermagic}`", info.vermagic, other.name);
            findings.push(MIXED.at(&subject.path, what));
        }
        owners.entry((subject.kernel(), name)).or_default().push(subject);
    }
    for subject in set.subjects.iter().filter(|subject| subject.is_kmod()) {
        let reach = LazyCell::new(|| set.reach(subject));
        for (_, file, info) in subject.modules() {
            for needed in info.iter().flat_map(needs) {
                let Some(owners) = owners.get(&(subject.kernel(), needed.clone())) else { continue };
                let is_reached = |owner: &&Opened| reach.packages(set).any(|other| std::ptr::eq(other, *owner));
                if !set.is_builtin(&needed) && !reach.has_unknown_modules && !owners.iter().any(is_reached) {
                    let what =
                        format!("it needs `{needed}` of {}, which {} does not depend on", owners[0].name, subject.name);
                    findings.push(MISSING_DEPENDENCY.within(&subject.path, &file.entry.path, what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_release_of;

    #[test]
    fn a_release_belongs_to_one_version() {
        for (release, version) in [
            ("6.12.94", "6.12.94~0f-r1"),
            ("6.12.107+deb13-amd64", "6.12.107~0f-r1"),
            ("5.15.134", "5.15.134-1-0f"),
            ("6.18.0-rc1", "6.18_rc1~0f-r1"),
            ("6.1.0-49-amd64", "6.1.170~0f-r1"),
        ] {
            assert!(is_release_of(release, version), "{release} {version}");
        }
        for (release, version) in [
            ("6.12.9", "6.12.94~0f-r1"),
            ("6.12.94", "6.12.9~0f-r1"),
            ("6.6.94", "6.12.94~0f-r1"),
            ("6.1.0-49-amd64", "6.12.1~0f-r1"),
            ("", "6.12.94~0f-r1"),
        ] {
            assert!(!is_release_of(release, version), "{release} {version}");
        }
    }
}
