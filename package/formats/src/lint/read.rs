//! Reads one file of a package or feed, and keeps what the rules need to know about it.

use std::collections::HashMap;
use std::io::{self, Read};

use super::elf::Elf;
use super::index::{Index, Signature};
use super::subject::{Facts, File, FileIdentity, Subject};
use super::{Options, Rule, files, metadata, system};
use crate::adb::Adb;
use crate::modinfo::ModuleInfo;
use crate::{Error, apk, ipk};
use model::{
    Finding, Severity,
    sha256::{Digest, Hasher},
};

static UNREADABLE: Rule = Rule {
    id: "LINT001",
    severity: Severity::Error,
    title: "cannot be read",
    why: "whatever a package manager makes of such a file, it is not what its author meant",
    fix: "build or fetch the file again; what is wrong with it is named by the id in parentheses",
};

static TOO_LARGE: Rule = Rule {
    id: "LINT002",
    severity: Severity::Note,
    title: "not looked into",
    why: "a program or module beyond this size is not held in memory, so nothing was found out about it",
    fix: "check it by hand, or split it: hardly any router has room for it",
};

static ODD_NAME: Rule = Rule {
    id: "LINT003",
    severity: Severity::Error,
    title: "file name that is no text",
    why: "lists of files have a path a line in UTF-8, so what has such a name can neither be shown nor removed",
    fix: "rename the file",
};

pub(super) const RULES: &[&Rule] = &[&UNREADABLE, &TOO_LARGE, &ODD_NAME];

/// Largest ELF file that is looked into.
const LARGEST_ELF: u64 = 64 << 20;
/// Largest list whose text is kept.
const LARGEST_TEXT: u64 = 1 << 20;

/// What a file is, by its name.
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
    /// What a path leads to; `None` for what is no part of a feed.
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

/// A file that was read, ready to be judged with others.
#[derive(Debug)]
pub struct Examined(pub(super) Content);

#[derive(Debug)]
pub(super) enum Content {
    Package(Box<Subject>),
    Index(Index),
    /// The unpacked `Packages.gz`.
    Compressed {
        path: String,
        bytes: Vec<u8>,
    },
    Signature(Signature),
    Unreadable(Finding),
}

impl Examined {
    pub(super) fn package(&self) -> Option<&Subject> {
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

/// Reads one file; `path` tells what it is and where it was found. A name that says nothing is taken for
/// that of an ipk. The content of programs and modules is looked into, and forgotten.
pub fn examine(path: &str, input: impl Read, options: &Options) -> Examined {
    let read = match Kind::of(path) {
        Some(Kind::Apk) => read_apk(path, input, options),
        Some(Kind::Packages) => Index::of_packages(path, input, &options.limits).map(Content::Index),
        Some(Kind::PackagesGz) => crate::packages::decompress(input, &options.limits)
            .map(|bytes| Content::Compressed { path: path.to_owned(), bytes }),
        Some(Kind::PackagesSig) => Signature::read(path, input).map(Content::Signature),
        Some(Kind::Adb) => Index::of_adb(path, input, options).map(Content::Index),
        Some(Kind::Ipk) | None => read_ipk(path, input, options),
    };
    Examined(read.unwrap_or_else(|error| Content::Unreadable(refused(path, &error))))
}

/// A file that could not even be opened, so that it is found among the findings like any other.
pub fn unreadable(path: &str, error: io::Error) -> Examined {
    Examined(Content::Unreadable(refused(path, &Error::from(error))))
}

/// What the reader refused: some refusals have a rule of their own.
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

/// Whether a path was refused for its characters and not for where it leads.
fn is_no_text(why: &str) -> bool {
    why.contains("UTF-8") || why.contains("control character")
}

fn read_ipk(path: &str, input: impl Read, options: &Options) -> Result<Content, Error> {
    let mut input = Tally { input, hasher: Hasher::new(io::sink()), size: 0 };
    let mut files = Vec::new();
    let metadata = ipk::visit(&mut input, &options.limits, &mut |member, content| {
        files.push(File {
            facts: facts(&member.entry.path, member.length, content)?,
            entry: member.entry.clone(),
            length: member.length,
            sha256: None,
        });
        Ok(())
    })?;
    let file = input.finish(None)?;
    Ok(Content::Package(Box::new(Subject::of_ipk(path, metadata, files, file))))
}

fn read_apk(path: &str, input: impl Read, options: &Options) -> Result<Content, Error> {
    let mut input = Tally { input, hasher: Hasher::new(io::sink()), size: 0 };
    let mut found = HashMap::new();
    let mut digest = None;
    // Whether a package is to be trusted is the index's business: OpenWrt does not sign single packages.
    let note_down = |adb: &Adb| {
        digest = Some(adb.digest());
        Ok(())
    };
    let metadata = apk::visit(&mut input, &options.limits, note_down, &mut |member, content| {
        found.insert(member.entry.path.clone(), facts(&member.entry.path, member.length, content)?);
        Ok(())
    })?;
    let file = input.finish(digest)?;
    Ok(Content::Package(Box::new(Subject::of_apk(path, metadata, found, file))))
}

/// Counts and hashes what passes through.
struct Tally<R> {
    input: R,
    hasher: Hasher<io::Sink>,
    size: u64,
}

impl<R: Read> Tally<R> {
    fn finish(mut self, metadata: Option<Digest>) -> Result<FileIdentity, Error> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(FileIdentity { size: self.size, sha256: self.hasher.finish().1, metadata })
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        io::Write::write_all(&mut self.hasher, &out[..count])?;
        self.size += count as u64;
        Ok(count)
    }
}

/// Looks into programs, modules and the lists that rules go by.
fn facts(path: &str, length: u64, content: &mut dyn Read) -> io::Result<Facts> {
    let mut facts = Facts::default();
    let is_module = path.starts_with("lib/modules/") && path.contains(".ko");
    if is_module && !path.ends_with(".ko") {
        facts.module = Some(Err("it is compressed, and kmodloader reads plain files only".to_owned()));
        return Ok(facts);
    }
    let mut bytes = Vec::new();
    content.take(4).read_to_end(&mut bytes)?;
    if bytes != *b"\x7fELF" && (is_list(path) || system::is_read(path)) && length <= LARGEST_TEXT {
        content.read_to_end(&mut bytes)?;
        facts.text = Some(String::from_utf8_lossy(&bytes).into_owned());
        return Ok(facts);
    }
    if bytes == *b"\x7fELF" {
        if length > LARGEST_ELF {
            facts.too_large = true;
            return Ok(facts);
        }
        content.read_to_end(&mut bytes)?;
        facts.elf = Elf::read(&bytes);
    }
    if is_module {
        facts.module = Some(ModuleInfo::read(&bytes).map_err(|error| error.to_string()));
    }
    Ok(facts)
}

/// Lists of modules to load, of modules that are part of the kernel, and apk's of settings.
fn is_list(path: &str) -> bool {
    path.starts_with("etc/modules.d/")
        || path.starts_with("etc/modules-boot.d/")
        || path.starts_with("lib/modules/") && path.ends_with("/modules.builtin")
        || path.starts_with("lib/apk/packages/")
}

/// Files that were too large to be looked into.
pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    for file in subject.files.iter().filter(|file| file.facts.too_large) {
        let what = format!("it has {} bytes, more than {LARGEST_ELF}", file.length);
        findings.push(TOO_LARGE.within(&subject.path, &file.entry.path, what));
    }
}
