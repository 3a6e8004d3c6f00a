//! The neutral plan of a package, from which both formats are written.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::Error;
use crate::depend::{Dependency, Provide, Term};

/// Everything that makes up a package, before a format is chosen.
///
/// Empty strings and lists mean "absent". Where the formats differ, opkg's terms are stored (architecture `all`,
/// [`crate::depend`] syntax), and the writer translates them.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Name without ABI suffix, such as `kmod-nft-offload` or `libfoo`.
    pub name: String,
    /// Version with release, such as `6.12.94-r1`.
    pub version: String,
    /// OpenWrt package architecture such as `aarch64_cortex-a53`, or `all`.
    pub architecture: String,
    /// ABI version of a library, which becomes part of its published name.
    pub abi_version: String,
    /// What must be installed too.
    pub depends: Vec<Dependency>,
    /// What must not be installed.
    pub conflicts: Vec<Term>,
    /// Other names that this package provides.
    pub provides: Vec<Provide>,
    /// apk installs the package automatically once all of these are installed; opkg has no such thing.
    pub install_if: Vec<Dependency>,
    /// One line, optionally followed by more.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Names of licence files, separated by blanks.
    pub license_files: String,
    /// Menu section, such as `kernel`.
    pub section: String,
    /// Home page.
    pub url: String,
    /// `Name <mail>`.
    pub maintainer: String,
    /// Path of the recipe, such as `feeds/base/hello`.
    pub source: String,
    /// Name of the source package.
    pub source_name: String,
    /// Time of every file, in seconds since 1970.
    pub source_date_epoch: u64,
    /// CPE identifier.
    pub cpe_id: String,
    /// Users and groups to create, `user=uid:group=gid`, separated by blanks.
    pub require_user: String,
    /// Whether it can only be removed by force.
    pub essential: bool,
    /// Whether it is only upgraded when it is named.
    pub hold: bool,
    /// Links managed by `alternatives`: `priority:path:target`.
    pub alternatives: Vec<String>,
    /// Absolute paths of settings that belong to the user.
    pub conffiles: Vec<String>,
    /// The package's own scripts.
    pub scripts: Scripts,
    /// Payload, in any order; missing parent directories are added, owned by root and with mode 0755.
    pub files: Vec<Entry>,
}

/// Bodies of the package's own maintainer scripts, first line `#!/bin/sh`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// Before the files are unpacked.
    pub preinst: Option<String>,
    /// After the files are in place; run through OpenWrt's `default_postinst`.
    pub postinst: Option<String>,
    /// Before the files are removed; run through OpenWrt's `default_prerm`.
    pub prerm: Option<String>,
    /// After the files are gone.
    pub postrm: Option<String>,
}

impl Package {
    /// The name of the package that every kernel module depends on, in one exact version. It has no files; it tells
    /// which kernel an image runs.
    pub const KERNEL: &str = "kernel";

    /// The published name: with the ABI version appended, except for kernel modules.
    ///
    /// `libfoo` + `3` is `libfoo3`, `libsqlite3` + `0` is `libsqlite3-0`.
    pub fn full_name(&self) -> String {
        self.with_abi(&self.name)
    }

    /// `name` with this package's ABI version appended.
    pub(crate) fn with_abi(&self, name: &str) -> String {
        if self.abi_version.is_empty() || name.starts_with("kmod-") {
            return name.to_owned();
        }
        let dash = if name.ends_with(|c: char| c.is_ascii_digit()) { "-" } else { "" };
        format!("{name}{dash}{}", self.abi_version)
    }

    /// The payload with all parent directories, checked and in the order of `tar --sort=name`: a directory's entries
    /// sorted by bytes, each directory directly before its contents.
    pub fn tree(&self) -> Result<Vec<Entry>, Error> {
        let mut seen = BTreeSet::new();
        let mut entries = Vec::with_capacity(self.files.len());
        for entry in &self.files {
            if let Some(why) = crate::tar::path_problem(&entry.path) {
                return Err(Error::Plan { what: format!("path {:?}: {why}", entry.path) });
            }
            if !seen.insert(entry.path.clone()) {
                return Err(Error::Plan { what: format!("{} is in the payload twice", entry.path) });
            }
            entries.push(entry.clone());
        }
        for entry in &self.files {
            for (at, _) in entry.path.match_indices('/') {
                if seen.insert(entry.path[..at].to_owned()) {
                    entries.push(Entry::dir(&entry.path[..at], 0o755));
                }
            }
        }
        entries.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        check_parents(&entries)?;
        check_hard_links(&entries)?;
        Ok(entries)
    }
}

/// Checks that only directories have something below them.
fn check_parents(sorted: &[Entry]) -> Result<(), Error> {
    let mut files = BTreeSet::new();
    for entry in sorted {
        if let Some((at, _)) = entry.path.match_indices('/').find(|&(at, _)| files.contains(&entry.path[..at])) {
            return Err(Error::Plan {
                what: format!("{} lies below {}, which is not a directory", entry.path, &entry.path[..at]),
            });
        }
        if !matches!(entry.kind, Kind::Dir) {
            files.insert(entry.path.as_str());
        }
    }
    Ok(())
}

/// Checks that each hard link comes after the file that it links to.
fn check_hard_links(sorted: &[Entry]) -> Result<(), Error> {
    let mut files = BTreeSet::new();
    for entry in sorted {
        match &entry.kind {
            Kind::File(_) => _ = files.insert(entry.path.as_str()),
            Kind::HardLink(target) if !files.contains(target.as_str()) => {
                let what =
                    format!("hard link {} must sort behind its target {target}, a file of the payload", entry.path);
                return Err(Error::Plan { what });
            }
            _ => {}
        }
    }
    Ok(())
}

/// One file, directory or link of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, without leading or trailing slash.
    pub path: String,
    /// Permission bits including setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// Group.
    pub group: Owner,
    /// Its kind and content.
    pub kind: Kind,
}

impl Entry {
    /// A regular file owned by root.
    pub fn file(path: impl Into<String>, mode: u32, content: Content) -> Self {
        Entry { path: path.into(), mode, owner: Owner::root(), group: Owner::root(), kind: Kind::File(content) }
    }

    /// A directory owned by root.
    pub fn dir(path: impl Into<String>, mode: u32) -> Self {
        Entry { path: path.into(), mode, owner: Owner::root(), group: Owner::root(), kind: Kind::Dir }
    }

    /// A symbolic link owned by root.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Entry {
            path: path.into(),
            mode: 0o777,
            owner: Owner::root(),
            group: Owner::root(),
            kind: Kind::Symlink(target.into()),
        }
    }
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file and its content.
    File(Content),
    /// A symbolic link and its target.
    Symlink(String),
    /// A hard link to an earlier file of the same package, given by its path.
    HardLink(String),
    /// A device node or fifo.
    Device(Device),
}

/// A special file; only read when [`crate::Limits::devices`] allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A user or group: ipk stores the number, apk the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Numeric id; [`Owner::UNKNOWN_ID`] when read from a format that stores names only.
    pub id: u32,
    /// Name; empty when read from a format that stores numbers only.
    pub name: String,
}

impl Owner {
    /// The id of a user or group of which only the name is known.
    pub const UNKNOWN_ID: u32 = u32::MAX;

    /// User or group 0.
    pub fn root() -> Self {
        Owner { id: 0, name: "root".into() }
    }
}

/// The content of a file: in memory, or read again each time it is needed.
#[derive(Clone)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// Bytes from elsewhere, so that a large package need not be held in memory.
    Source {
        /// Exact number of bytes; if the source has more or fewer, writing fails.
        length: u64,
        /// Opens the source from its start.
        open: Arc<dyn Fn() -> io::Result<Box<dyn Read>> + Send + Sync>,
    },
}

impl Content {
    /// Number of bytes.
    pub fn length(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Source { length, .. } => *length,
        }
    }

    /// Reads the bytes from the start.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Content::Bytes(bytes) => Ok(Box::new(&bytes[..])),
            Content::Source { open, .. } => open(),
        }
    }

    /// The bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Content::Bytes(bytes) => Some(bytes),
            Content::Source { .. } => None,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content::Bytes(bytes.into())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Bytes(text.as_bytes().into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length())
    }
}

/// Equal if both are in memory with the same bytes, or both are the very same source.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Content::Bytes(a), Content::Bytes(b)) => a == b,
            (Content::Source { open: a, .. }, Content::Source { open: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Content {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abi_version_becomes_part_of_the_name() {
        for (name, abi, full) in
            [("libfoo", "3", "libfoo3"), ("libsqlite3", "0", "libsqlite3-0"), ("kmod-x", "1", "kmod-x"), ("a", "", "a")]
        {
            let package = Package { name: name.into(), abi_version: abi.into(), ..Package::default() };
            assert_eq!(package.full_name(), full);
        }
    }

    #[test]
    fn the_tree_gains_parents_and_is_sorted_as_tar_does_it() {
        let files = ["b/z", "a-b", "a/b/c", "a.c"].map(|path| Entry::file(path, 0o644, Content::from("")));
        let package = Package { files: files.into(), ..Package::default() };
        let paths: Vec<String> = package.tree().unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a-b", "a.c", "b", "b/z"]);
    }

    #[test]
    fn a_plan_that_cannot_be_unpacked_is_refused() {
        let file = |path: &str| Entry::file(path, 0o644, Content::from(""));
        for files in [
            vec![file("a"), file("a")],
            vec![file("../a")],
            vec![file("/a")],
            vec![file("a/")],
            vec![Entry::symlink("a", "b"), file("a/b")],
            vec![file("b"), Entry { kind: Kind::HardLink("b".into()), ..file("a") }],
            vec![file("b"), Entry { kind: Kind::HardLink("a".into()), ..file("c") }],
        ] {
            let package = Package { files, ..Package::default() };
            assert_eq!(package.tree().unwrap_err().id(), "FMT002");
        }
    }
}
