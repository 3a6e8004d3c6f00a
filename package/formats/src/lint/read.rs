//! Reads one file of a package or feed, and keeps what the rules need from it.

use std::io::{self, Read};

use model::{Finding, Format, Severity};

use super::listed::{Index, Signature};
use super::{Options, Rule, files, metadata};
use crate::Error;
use crate::opened::{LARGEST_ELF, Opened};

static UNREADABLE: Rule = Rule {
    id: "LINT001",
    severity: Severity::Error,
    title: "cannot be read",
    why: "no package manager will read such a file as its author meant it",
    fix: "build or fetch the file again; the id in parentheses names what is wrong",
};

static TOO_LARGE: Rule = Rule {
    id: "LINT002",
    severity: Severity::Note,
    title: "not examined",
    why: "programs and modules beyond this size are not loaded into memory, so this one was not checked",
    fix: "check it by hand, or split it: hardly any router has room for it",
};

static ODD_NAME: Rule = Rule {
    id: "LINT003",
    severity: Severity::Error,
    title: "file name that is not UTF-8",
    why: "file lists have one UTF-8 path per line, so a file with this name can neither be listed nor removed",
    fix: "rename the file",
};

pub(super) const RULES: &[&Rule] = &[&UNREADABLE, &TOO_LARGE, &ODD_NAME];

/// The kind of a file, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `*.ipk`
    Ipk,
    /// `*.apk`
    Apk,
    /// `Packages`, opkg's index.
    Packages,
    /// `Packages.gz`
    PackagesGz,
    /// `Packages.sig`
    PackagesSig,
    /// `*.adb`, apk's index.
    Adb,
}

impl Kind {
    /// The kind of a path; `None` for what does not belong in a feed.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        Some(match name {
            "Packages" => Kind::Packages,
            "Packages.gz" => Kind::PackagesGz,
            "Packages.sig" => Kind::PackagesSig,
            _ if name.ends_with(".ipk") => Kind::Ipk,
            _ if name.ends_with(".apk") => Kind::Apk,
            _ if name.ends_with(".adb") => Kind::Adb,
            _ => return None,
        })
    }
}

/// A file that was read, ready to be judged together with others.
#[derive(Debug)]
pub struct Examined(pub(super) Content);

#[derive(Debug)]
pub(super) enum Content {
    Package(Box<Opened>),
    Index(Index),
    /// The decompressed `Packages.gz`.
    Compressed {
        path: String,
        bytes: Vec<u8>,
    },
    Signature(Signature),
    Unreadable(Finding),
}

impl Examined {
    pub(super) fn package(&self) -> Option<&Opened> {
        match &self.0 {
            Content::Package(subject) => Some(subject),
            _ => None,
        }
    }

    pub(super) fn unreadable(&self) -> Option<Finding> {
        match &self.0 {
            Content::Unreadable(finding) => Some(finding.clone()),
            _ => None,
        }
    }
}

/// Reads one file; `path` tells its kind and where it was found. A name of unknown kind is read as an ipk. The content
/// of programs and modules is examined but not kept.
pub fn examine(path: &str, input: impl Read, options: &Options) -> Examined {
    let read = match Kind::of(path) {
        Some(Kind::Apk) => package(path, Format::Apk, input, options),
        Some(Kind::Packages) => Index::of_packages(path, input, &options.limits).map(Content::Index),
        Some(Kind::PackagesGz) => crate::packages::decompress(input, &options.limits)
            .map(|bytes| Content::Compressed { path: path.to_owned(), bytes }),
        Some(Kind::PackagesSig) => Signature::read(path, input).map(Content::Signature),
        Some(Kind::Adb) => Index::of_adb(path, input, options).map(Content::Index),
        Some(Kind::Ipk) | None => package(path, Format::Ipk, input, options),
    };
    Examined(read.unwrap_or_else(|error| Content::Unreadable(refused(path, &error))))
}

/// A file that could not even be opened: it becomes a finding like any other.
pub fn unreadable(path: &str, error: io::Error) -> Examined {
    Examined(Content::Unreadable(refused(path, &Error::from(error))))
}

/// Turns a reader's refusal into a finding; some refusals have a rule of their own.
fn refused(path: &str, error: &Error) -> Finding {
    let rule = match error {
        Error::TarPath { why, .. } | Error::ApkPath { why, .. } if is_no_text(why) => &ODD_NAME,
        Error::TarPath { .. } | Error::TarThroughLink { .. } | Error::TarHardLink { .. } | Error::ApkPath { .. } => {
            &files::ESCAPE
        }
        Error::ControlValue { field: "Version", .. } | Error::ApkField { field: "version", .. } => {
            &metadata::BAD_VERSION
        }
        _ => &UNREADABLE,
    };
    rule.at(path, format!("{error} ({})", error.id()))
}

/// Whether a path was refused for its characters, not for where it leads.
fn is_no_text(why: &str) -> bool {
    why.contains("UTF-8") || why.contains("control character")
}

fn package(path: &str, format: Format, input: impl Read, options: &Options) -> Result<Content, Error> {
    let opened = Opened::read(path, format, input, &options.limits)?;
    Ok(Content::Package(Box::new(opened)))
}

/// Reports files that were too large to be examined.
pub(super) fn check(subject: &Opened, findings: &mut Vec<Finding>) {
    for file in subject.files.iter().filter(|file| file.facts.too_large) {
        let what = format!("it has {} bytes, more than {LARGEST_ELF}", file.length);
        findings.push(TOO_LARGE.within(&subject.path, &file.entry.path, what));
    }
}
