//! The metadata of a package: version, licence, sizes, settings, scripts.

use model::{Finding, Format, Severity};

use super::Rule;
use super::binaries::machine_of;
use super::shell;
use crate::opened::{Opened, Script};
use crate::package::Kind;
use crate::version::apk;

pub(super) static BAD_VERSION: Rule = Rule {
    id: "LINT401",
    severity: Severity::Error,
    title: "version that its package manager cannot order",
    why: "upgrades go by the order of versions; without a valid version the order is arbitrary, and apk refuses it",
    fix: "use `NUMBER(.NUMBER)*-rN` as PKG_VERSION and PKG_RELEASE give it",
};

static OPKG_ONLY_VERSION: Rule = Rule {
    id: "LINT402",
    severity: Severity::Note,
    title: "version that apk refuses",
    why: "OpenWrt 25.12 and later build apk packages from the same recipe, and that build would fail",
    fix: "use `NUMBER(.NUMBER)*-rN`, without epoch, `+` and words",
};

static NO_LICENSE: Rule = Rule {
    id: "LINT403",
    severity: Severity::Warning,
    title: "no licence",
    why: "nobody knows whether they may redistribute the package",
    fix: "set PKG_LICENSE to an SPDX expression",
};

static NO_DESCRIPTION: Rule = Rule {
    id: "LINT404",
    severity: Severity::Note,
    title: "no description",
    why: "package lists show only its name; opkg's index leaves out its file name, too",
    fix: "set TITLE or Package/description in the recipe",
};

/// A package without a maintainer; all kmods of OpenWrt's kernel are such packages.
pub static NO_MAINTAINER: Rule = Rule {
    id: "LINT405",
    severity: Severity::Note,
    title: "no maintainer",
    why: "users do not know where to report a defect",
    fix: "set PKG_MAINTAINER",
};

static UNKNOWN_ARCHITECTURE: Rule = Rule {
    id: "LINT406",
    severity: Severity::Warning,
    title: "architecture that OpenWrt does not have",
    why: "routers accept only their own architecture and `all`; the package's programs were not checked against it",
    fix: "use the target's ARCH_PACKAGES, or `all`; names from Debian or Docker are not valid",
};

static WRONG_SIZE: Rule = Rule {
    id: "LINT407",
    severity: Severity::Warning,
    title: "installed size does not fit the content",
    why: "the package manager uses it to check for free space, and apk skips packages of size 0",
    fix: "let the format's own writer compute it: bytes, not kilobytes",
};

static MISSING_CONFFILE: Rule = Rule {
    id: "LINT408",
    severity: Severity::Error,
    title: "settings file that is missing, or differs from its entry",
    why: "the package manager compares it with the installed one to keep the user's changes, and finds nothing",
    fix: "correct the path in Package/conffiles, or install the file",
};

static NO_INTERPRETER: Rule = Rule {
    id: "LINT409",
    severity: Severity::Error,
    title: "script without interpreter",
    why: "apk executes scripts as programs and fails without `#!`; opkg's shell happens to run it",
    fix: "begin the script with `#!/bin/sh`",
};

static DEAD_CODE: Rule = Rule {
    id: "LINT410",
    severity: Severity::Warning,
    title: "script that exits before its end",
    why: "apk joins generated and own parts into one script, so what follows an `exit` never runs",
    fix: "remove the `exit`, or put the rest under a condition",
};

static SELF_PROVIDES: Rule = Rule {
    id: "LINT411",
    severity: Severity::Error,
    title: "package that provides its own name",
    why: "only one package may have a name, so apk finds that the package conflicts with itself: nobody can install it",
    fix: "remove the name from PROVIDES; a package always has its own name",
};

static VERSIONED_PROVIDES: Rule = Rule {
    id: "LINT412",
    severity: Severity::Error,
    title: "provided name with a version",
    why: "opkg treats `x=1.0` as the whole name, so no dependency on `x` finds it",
    fix: "write only the name into PROVIDES",
};

static WORD_VERSION: Rule = Rule {
    id: "LINT413",
    severity: Severity::Warning,
    title: "version that begins with a word",
    why: "such versions have an order among themselves, but once the word changes, all new ones are older, or newer, \
          than all old ones",
    fix: "use `NUMBER(.NUMBER)*-rN`; for a snapshot, `YEAR.MONTH.DAY~COMMIT-rN`",
};

static ODD_CONFFILE: Rule = Rule {
    id: "LINT414",
    severity: Severity::Error,
    title: "line of conffiles that is not a file",
    why: "opkg keeps changes only in files that are named exactly, so changes are lost in the next upgrade",
    fix: "write one absolute path per line, without blanks, patterns or folders",
};

pub(super) const RULES: &[&Rule] = &[
    &BAD_VERSION,
    &OPKG_ONLY_VERSION,
    &NO_LICENSE,
    &NO_DESCRIPTION,
    &NO_MAINTAINER,
    &UNKNOWN_ARCHITECTURE,
    &WRONG_SIZE,
    &MISSING_CONFFILE,
    &NO_INTERPRETER,
    &DEAD_CODE,
    &SELF_PROVIDES,
    &VERSIONED_PROVIDES,
    &WORD_VERSION,
    &ODD_CONFFILE,
];

/// One package.
pub(super) fn check(subject: &Opened, findings: &mut Vec<Finding>) {
    let mut report = |rule: &'static Rule, what: String| findings.push(rule.at(&subject.path, what));
    let Opened { name, version, architecture, .. } = subject;
    if begins_with_word(version) {
        report(&WORD_VERSION, format!("{name} has version `{version}`"));
    } else if !is_orderly(version) {
        report(&BAD_VERSION, format!("{name} has version `{version}`"));
    } else if subject.format == Format::Ipk && !apk::is_valid(version) {
        report(&OPKG_ONLY_VERSION, format!("{name} has version `{version}`"));
    }
    if subject.format == Format::Apk && subject.provides.contains(name) {
        report(&SELF_PROVIDES, format!("{name} provides `{name}`"));
    }
    for item in &subject.versioned {
        report(&VERSIONED_PROVIDES, format!("{name} provides `{item}`"));
    }
    for (rule, field) in [
        (&NO_LICENSE, &subject.license),
        (&NO_DESCRIPTION, &subject.description),
        (&NO_MAINTAINER, &subject.maintainer),
    ] {
        if field.trim().is_empty() {
            report(rule, format!("{name} does not have one"));
        }
    }
    if architecture != "all" && machine_of(architecture).is_none() {
        report(&UNKNOWN_ARCHITECTURE, format!("{name} is for `{architecture}`"));
    }
    let (least, most) = sizes(subject);
    match subject.installed_size {
        None => report(&WRONG_SIZE, format!("{name} does not state its installed size")),
        // The scripts of 23.05 and older wrote the size of the compressed payload.
        Some(size) if subject.stored == Some(size) => {}
        Some(size) if size < least || size > most => {
            report(&WRONG_SIZE, format!("{name} states {size} bytes, its content has {least} to {most}"));
        }
        Some(_) => {}
    }
    check_conffiles(subject, findings);
    for script in &subject.scripts {
        check_script(subject, script, findings);
    }
}

/// Such as `git-21.295.67054-13df80d`, as LuCI's packages had up to 23.05.
fn begins_with_word(version: &str) -> bool {
    let (word, rest) = version.split_once('-').unwrap_or_default();
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()) && rest.starts_with(|c: char| c.is_ascii_digit())
}

/// opkg accepts any text; it compares digits as numbers, so a version should start with a digit, after an epoch that is
/// a number, and no part may be empty.
fn is_orderly(version: &str) -> bool {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    is_number(epoch) && rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.contains(':') && !rest.ends_with('-')
}

/// The smallest and largest plausible installed size: apk counts the bytes of files, opkg the whole archive, with a
/// header for each entry and padding.
fn sizes(subject: &Opened) -> (u64, u64) {
    const BLOCK: u64 = 512;
    const RECORD: u64 = 20 * BLOCK;
    let regular = subject.files.iter().filter(|file| matches!(file.entry.kind, Kind::File(_)));
    let content: u64 = regular.clone().map(|file| file.length).fold(0, u64::saturating_add);
    if subject.format == Format::Apk {
        // At least 1 for a package that is not empty, as apk skips packages of size 0.
        return (content, content.max(1));
    }
    // A name that is too long for the header takes another header and blocks, and so does a link's target.
    let long = |length: usize| if length > 90 { BLOCK + (length as u64 + 8).next_multiple_of(BLOCK) } else { 0 };
    let entries = subject.files.iter().map(|file| {
        let link = match &file.entry.kind {
            Kind::Symlink(text) | Kind::HardLink(text) => text.len(),
            _ => 0,
        };
        BLOCK + file.length.min(u64::MAX - RECORD).next_multiple_of(BLOCK) + long(file.entry.path.len()) + long(link)
    });
    // The root's entry and the two blocks at the end.
    let archive = entries.fold(3 * BLOCK, u64::saturating_add);
    (content, archive.min(u64::MAX - RECORD).next_multiple_of(RECORD))
}

fn check_conffiles(subject: &Opened, findings: &mut Vec<Finding>) {
    for (line, why) in &subject.odd_conffiles {
        findings.push(ODD_CONFFILE.at(&subject.path, format!("`{line}`: {why}")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (path, _) in subject.conffiles.iter().filter(|(path, _)| !seen.insert(path)) {
        findings.push(ODD_CONFFILE.at(&subject.path, format!("`{path}`: it is listed twice")));
    }
    for (path, digest) in &subject.conffiles {
        let inside = path.trim_start_matches('/');
        let shipped = subject.files.iter().find(|file| file.entry.path == inside);
        let is_file = |kind: &Kind| matches!(kind, Kind::File(_) | Kind::HardLink(_));
        let what = match shipped {
            None => "it is not in the package",
            Some(file) if !is_file(&file.entry.kind) => "it is not a regular file",
            Some(file) if digest.is_some() && file.sha256.is_some() && *digest != file.sha256 => "its digest differs",
            Some(_) => continue,
        };
        findings.push(MISSING_CONFFILE.within(&subject.path, inside, what));
    }
}

fn check_script(subject: &Opened, script: &Script, findings: &mut Vec<Finding>) {
    let mut report = |rule: &'static Rule, what: String| {
        findings.push(rule.breach(format!("{}: {}", subject.path, script.name), &what));
    };
    if script.is_program && !script.text.starts_with("#!") {
        report(&NO_INTERPRETER, "its first line does not start with `#!`".to_owned());
    }
    if let Some(line) = shell::scan(&script.text).ends_early.filter(|_| shell::is_shell(&script.text)) {
        report(&DEAD_CODE, format!("line {line} exits, and commands follow"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orderly_versions_start_with_a_number() {
        for good in ["1", "1.0-r1", "2:1.0-1", "6.12.94~0f-r1", "2024.01.02~abcdef-r1", "1.0_rc1-r2"] {
            assert!(is_orderly(good), "{good}");
        }
        for bad in ["", "v1.0", "master", "x:1", ":1", "1:2:3", "1.0-", "-1"] {
            assert!(!is_orderly(bad), "{bad}");
        }
    }
}
