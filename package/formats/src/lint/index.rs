//! Compares indexes with the files beside them, and checks their signatures with the known keys.

use std::collections::{BTreeMap, BTreeSet};

use model::{Finding, Format, Severity};

use super::listed::{Entry, Index, Signature, SignedInside, spelled};
use super::read::Content;
use super::{Examined, Options, Rule};
use crate::md5::Md5;
use crate::opened::{FileIdentity, Opened};
use crate::packages;

static MISMATCH: Rule = Rule {
    id: "LINT501",
    severity: Severity::Error,
    title: "index and package file disagree",
    why: "the package manager refuses the download, or installs something else than the index announces",
    fix: "make the index again from the package files, after all of them were written",
};

static MISSING_FILE: Rule = Rule {
    id: "LINT502",
    severity: Severity::Error,
    title: "index lists a file that does not exist",
    why: "routers choose the package, then fail to download it",
    fix: "make the index again from the package files, or upload the file",
};

static LISTED_TWICE: Rule = Rule {
    id: "LINT503",
    severity: Severity::Error,
    title: "package listed twice in the same version",
    why: "which of them is installed depends on the package manager",
    fix: "remove one of the files, and make the index again",
};

static UNLISTED: Rule = Rule {
    id: "LINT504",
    severity: Severity::Warning,
    title: "package file that the index does not list",
    why: "no router can install it from this feed",
    fix: "make the index again from the package files, or remove the file",
};

static UNSIGNED: Rule = Rule {
    id: "LINT505",
    severity: Severity::Error,
    title: "index without a signature",
    why: "routers check signatures and ignore the feed; if they did not, anybody on the network path could replace \
          packages",
    fix: "sign it with `usign -S` (Packages) or `apk mkndx --sign` (packages.adb)",
};

static BAD_SIGNATURE: Rule = Rule {
    id: "LINT506",
    severity: Severity::Error,
    title: "signature that none of the given keys made for this index",
    why: "the index was changed after it was signed, or somebody else signed it; routers refuse the feed",
    fix: "sign it again, or give the feed's real public key; if neither helps, do not use the feed",
};

static ALONE: Rule = Rule {
    id: "LINT507",
    severity: Severity::Note,
    title: "index without its files",
    why: "sizes and digests could not be compared",
    fix: "give the whole folder of the feed",
};

static UNCHECKED: Rule = Rule {
    id: "LINT508",
    severity: Severity::Note,
    title: "signature was not checked",
    why: "no key was given to check it with",
    fix: "give the feed's public key",
};

static COMPRESSED_DIFFERS: Rule = Rule {
    id: "LINT509",
    severity: Severity::Error,
    title: "Packages.gz differs from Packages",
    why: "routers fetch the compressed one and check it with the signature of the other",
    fix: "compress Packages again (gzip -9n)",
};

static NO_KERNEL: Rule = Rule {
    id: "LINT510",
    severity: Severity::Error,
    title: "kmods at an address that does not name a kernel",
    why: "once the index there lists modules of the next kernel, routers that still run this one can neither upgrade \
          nor install",
    fix: "publish them below a folder of their own for each kernel, such as kmods/6.12.94-1-HASH",
};

static REFUSED_ENTRY: Rule = Rule {
    id: "LINT511",
    severity: Severity::Error,
    title: "entry that is skipped",
    why: "it cannot be verified, or the package managers read it differently",
    fix: "make the index again from the package files, with OpenWrt's tools or with ours",
};

static ODD_ENTRY: Rule = Rule {
    id: "LINT512",
    severity: Severity::Warning,
    title: "entry with a meaningless line",
    why: "opkg skips the line silently, and other readers may stop there",
    fix: "make the index again from the package files",
};

pub(super) const RULES: &[&Rule] = &[
    &MISMATCH,
    &MISSING_FILE,
    &LISTED_TWICE,
    &UNLISTED,
    &UNSIGNED,
    &BAD_SIGNATURE,
    &ALONE,
    &UNCHECKED,
    &COMPRESSED_DIFFERS,
    &NO_KERNEL,
    &REFUSED_ENTRY,
    &ODD_ENTRY,
];

/// Virtual packages that belong to images and are not in feeds.
const NEVER_LISTED: [&str; 2] = ["kernel", "libc"];

/// Checks each index against the files that were examined with it.
pub(super) fn check(examined: &[Examined], options: &Options, findings: &mut Vec<Finding>) {
    let packages: BTreeMap<&str, &Opened> =
        examined.iter().filter_map(Examined::package).map(|subject| (subject.path.as_str(), subject)).collect();
    // A file that could not be read still exists, and has its own finding.
    let unreadable: BTreeSet<String> =
        examined.iter().filter_map(Examined::unreadable).filter_map(|finding| finding.place).collect();
    for index in examined.iter().filter_map(|examined| match &examined.0 {
        Content::Index(index) => Some(index),
        _ => None,
    }) {
        check_entries(index, &packages, &unreadable, findings);
        check_oddities(index, findings);
        check_address(index, findings);
        check_compressed(index, examined, findings);
        check_signature(index, examined, &unreadable, options, findings);
    }
}

fn check_entries(
    index: &Index,
    packages: &BTreeMap<&str, &Opened>,
    unreadable: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    let mut report = |rule: &'static Rule, entry: &Entry, what: String| {
        findings.push(rule.breach(format!("{}: {}", index.path, entry.name), &what));
    };
    let mut seen = BTreeSet::new();
    let (mut found, mut missing) = (BTreeSet::new(), Vec::new());
    for entry in &index.entries {
        if !seen.insert((&entry.name, &entry.version, &entry.architecture)) {
            report(&LISTED_TWICE, entry, format!("version {} is there twice", entry.version));
        }
        let path = index.beside(&entry.file);
        match packages.get(path.as_str()) {
            Some(subject) => {
                for (field, listed, real) in differences(entry, subject) {
                    report(&MISMATCH, entry, format!("{field} is {listed} in the index and {real} in {}", entry.file));
                }
                found.insert(path);
            }
            None if unreadable.contains(&path) => _ = found.insert(path),
            None => missing.push(entry),
        }
    }
    if found.is_empty() && !missing.is_empty() {
        findings.push(ALONE.at(&index.path, format!("none of the {} listed files was given", missing.len())));
        return;
    }
    for entry in missing {
        report(&MISSING_FILE, entry, format!("{} does not exist", entry.file));
    }
    let folder = index.beside("");
    for (path, subject) in packages {
        let is_here = path.strip_prefix(folder.as_str()).is_some_and(|rest| !rest.contains('/'));
        let is_due = subject.format == index.format && !NEVER_LISTED.contains(&subject.name.as_str());
        let is_refused = index.oddities.iter().any(|odd| odd.is_refused && odd.package.as_ref() == Some(&subject.name));
        if is_here && is_due && !is_refused && !found.contains(*path) {
            let other = index.entries.iter().find(|entry| entry.name == subject.name);
            let what = match other {
                Some(entry) => {
                    format!("{} lists {} {} in {} instead", index.path, entry.name, entry.version, entry.file)
                }
                None => format!("{} does not list {}", index.path, subject.name),
            };
            findings.push(UNLISTED.at(path, what));
        }
    }
}

fn check_oddities(index: &Index, findings: &mut Vec<Finding>) {
    for packages::Oddity { line, package, problem, is_refused } in &index.oddities {
        let rule = if *is_refused { &REFUSED_ENTRY } else { &ODD_ENTRY };
        let name = package.clone().unwrap_or_else(|| format!("line {line}"));
        findings.push(rule.breach(format!("{}: {name}", index.path), &spelled(problem)));
    }
}

/// One address, one kernel: its folder has a name like `6.12.94-1-HASH`, or belongs to one release.
fn check_address(index: &Index, findings: &mut Vec<Finding>) {
    let is_version = |part: &str| {
        let (first, rest) = part.split_once('.').unwrap_or_default();
        !first.is_empty() && first.chars().all(|c| c.is_ascii_digit()) && rest.starts_with(|c: char| c.is_ascii_digit())
    };
    let folders = index.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    // The host in an address may be a number, so only the path counts.
    let folders =
        folders.split_once("://").map_or(folders, |(_, rest)| rest.split_once('/').map_or("", |(_, rest)| rest));
    let mut kmods = index.entries.iter().filter(|entry| entry.name.starts_with("kmod-"));
    if let Some(first) = kmods.next().filter(|_| !folders.split('/').any(is_version)) {
        let what = match kmods.count() {
            0 => format!("it lists {}", first.name),
            more => format!("it lists {} and {more} more kmods", first.name),
        };
        findings.push(NO_KERNEL.at(&index.path, what));
    }
}

/// The fields in which an entry and its file differ, with both values.
fn differences(entry: &Entry, subject: &Opened) -> Vec<(&'static str, String, String)> {
    let FileIdentity { size, sha256, md5, metadata, .. } = subject.file;
    let architecture = |name: &str| if matches!(name, "noarch" | "") { "all".to_owned() } else { name.to_owned() };
    let digest = |md5: Option<Md5>| md5.map_or("absent".to_owned(), |md5| md5.to_string());
    let number = |size: Option<u64>| size.map_or("absent".to_owned(), |size| size.to_string());
    let fields = [
        ("name", entry.name.clone(), subject.name.clone()),
        ("version", entry.version.clone(), subject.version.clone()),
        ("architecture", architecture(&entry.architecture), subject.architecture.clone()),
        ("size", entry.size.to_string(), size.to_string()),
        ("sha256", entry.digest.to_string(), metadata.unwrap_or(sha256).to_string()),
        // opkg checks it where the index has it.
        ("MD5Sum", digest(entry.md5.or(md5)), digest(md5)),
        // Not every index generator copies it.
        ("installed size", number(entry.installed_size.or(subject.installed_size)), number(subject.installed_size)),
    ];
    fields.into_iter().filter(|(_, listed, real)| listed != real).collect()
}

fn check_compressed(index: &Index, examined: &[Examined], findings: &mut Vec<Finding>) {
    let expected = index.beside("Packages.gz");
    for examined in examined {
        if let Content::Compressed { path, bytes } = &examined.0
            && *path == expected
            && index.format == Format::Ipk
            && *bytes != index.text
        {
            let what = format!("it decompresses to {} bytes, {} has {}", bytes.len(), index.path, index.text.len());
            findings.push(COMPRESSED_DIFFERS.at(path, what));
        }
    }
}

fn check_signature(
    index: &Index,
    examined: &[Examined],
    unreadable: &BTreeSet<String>,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let finding = match &index.signed {
        Some(SignedInside::Good) => None,
        Some(SignedInside::Unsigned) => Some(UNSIGNED.at(&index.path, "it has no signature block")),
        Some(SignedInside::Unchecked) => Some(UNCHECKED.at(&index.path, "it has a signature inside")),
        Some(SignedInside::Bad(why)) => Some(BAD_SIGNATURE.at(&index.path, why.clone())),
        None => {
            let expected = index.beside("Packages.sig");
            let signature = examined.iter().find_map(|examined| match &examined.0 {
                Content::Signature(signature) if signature.path == expected => Some(signature),
                _ => None,
            });
            match signature {
                None if unreadable.contains(&expected) => None,
                None => Some(UNSIGNED.at(&index.path, "there is no Packages.sig beside it")),
                Some(signature) => check_usign(index, signature, options),
            }
        }
    };
    findings.extend(finding);
}

fn check_usign(index: &Index, signature: &Signature, options: &Options) -> Option<Finding> {
    let read = match &signature.read {
        Ok(read) => read,
        Err(why) => return Some(BAD_SIGNATURE.at(&signature.path, why.clone())),
    };
    let mut refusals = Vec::new();
    for key in &options.usign_keys {
        match key.verify(&index.text, read) {
            Ok(()) => return None,
            Err(error) => refusals.push(spelled(&error)),
        }
    }
    Some(match refusals.first() {
        None => UNCHECKED.at(&signature.path, format!("it was made by key {}", read.fingerprint)),
        Some(why) => BAD_SIGNATURE.at(&signature.path, why.clone()),
    })
}
