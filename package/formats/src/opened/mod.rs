//! An opened package: its contents in one view for both formats, without the bytes of its files.
//!
//! [`Opened::read`] reads a package once, from front to back, and keeps what the [lint](crate::lint)'s rules and
//! package comparisons need: metadata in opkg's terms, a digest of each file, and what programs, kernel modules and the
//! router's lists say about themselves.

mod apk;
mod facts;
mod ipk;

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use model::Format;
use model::sha256::{Digest, Hasher};

use crate::md5::{self, Md5};
use crate::modinfo::ModuleInfo;
use crate::package::Entry;
use crate::{Error, Limits};

pub(crate) use facts::{Facts, LARGEST_ELF, is_json, is_script, is_text};

/// A package, without the bytes of its files.
#[derive(Debug)]
pub struct Opened {
    /// The path that it was read from.
    pub path: String,
    /// Its format, and so its package manager.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version, in the format's own spelling.
    pub version: String,
    /// In opkg's terms: `all` for a package that fits any machine.
    pub architecture: String,
    /// SPDX expression; empty if there is none.
    pub license: String,
    /// Description; may be empty.
    pub description: String,
    /// Maintainer; may be empty.
    pub maintainer: String,
    /// Name of the recipe that it was built from; empty if unknown.
    pub source: String,
    /// Its dependencies.
    pub needs: Vec<Need>,
    /// Names of packages that must not be installed with it.
    pub conflicts: Vec<String>,
    /// Names that it provides besides its own; for an ipk, those without a version.
    pub provides: Vec<String>,
    /// Names that only one installed package may have: for apk, its own and those provided with a version.
    pub(crate) exclusive: Vec<String>,
    /// Provided names written as `name=version` in an ipk, where nobody finds them.
    pub(crate) versioned: Vec<String>,
    pub(crate) alternatives: Vec<String>,
    /// Users and groups that are created for it: `user=number:group=number:more groups`.
    pub(crate) users: Vec<String>,
    /// Packages that it replaces.
    pub replaces: Vec<String>,
    /// Installed size that the package states, in bytes.
    pub installed_size: Option<u64>,
    /// Conffiles in the payload, with their digest if the package states it.
    pub(crate) conffiles: Vec<(String, Option<Digest>)>,
    /// Lines of `conffiles` that are not a path, each with the reason.
    pub(crate) odd_conffiles: Vec<(String, &'static str)>,
    /// Length of the payload as stored, in bytes.
    pub(crate) stored: Option<u64>,
    pub(crate) scripts: Vec<Script>,
    /// Files, folders and links, in stored order.
    pub files: Vec<File>,
    /// Size and digests of the package file itself.
    pub file: FileIdentity,
    /// All metadata fields, by lower-case name.
    pub fields: BTreeMap<String, String>,
    /// Scripts and lists that the package manager keeps, by name.
    pub kept: BTreeMap<String, Digest>,
}

/// A dependency: any of the names satisfies it.
#[derive(Debug)]
pub struct Need {
    /// Names of packages.
    pub names: Vec<String>,
    /// The only accepted version, if it is a single one.
    pub exact: Option<String>,
}

/// A maintainer script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether the package manager executes it; otherwise OpenWrt's functions source it.
    pub(crate) is_program: bool,
}

/// One entry of the payload.
#[derive(Debug)]
pub struct File {
    /// Its path, kind, mode and owners; its content is empty.
    pub entry: Entry,
    /// Length of its content.
    pub length: u64,
    /// Digest of its content, if it is a file.
    pub sha256: Option<Digest>,
    /// Extended attributes by name; an ipk has none.
    pub xattrs: Vec<(String, Vec<u8>)>,
    pub(crate) facts: Facts,
}

/// What an index stores to identify a package file.
#[derive(Debug, Clone, Copy)]
pub struct FileIdentity {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// Digest of the whole file.
    pub sha256: Digest,
    /// The same, for an ipk: opkg checks both.
    pub md5: Option<Md5>,
    /// Digest of the metadata, for apk.
    pub metadata: Option<Digest>,
    /// Number of signatures in the file; always 0 for an ipk.
    pub signatures: usize,
}

impl Opened {
    /// Reads a whole package; `path` is for messages. It does not decide whether to trust it: OpenWrt signs indexes,
    /// not single packages.
    ///
    /// # Errors
    /// Damaged data, another format, or a limit exceeded.
    pub fn read(path: &str, format: Format, input: impl Read, limits: &Limits) -> Result<Opened, Error> {
        match format {
            Format::Ipk => ipk::read(path, input, limits),
            Format::Apk => apk::read(path, input, limits),
        }
    }

    /// Whether it is a package of kernel modules, by name or content.
    pub fn is_kmod(&self) -> bool {
        self.name.starts_with("kmod-") || self.modules().next().is_some()
    }

    /// Kernel modules with their names; `-` and `_` count as the same.
    pub fn modules(&self) -> impl Iterator<Item = (String, &File, &Result<ModuleInfo, String>)> {
        self.files.iter().filter_map(|file| {
            let (_, base) = file.entry.path.rsplit_once('/')?;
            let (stem, _) = base.split_once(".ko")?;
            Some((module_name(stem), file, file.facts.module.as_ref()?))
        })
    }

    /// The modules that its load lists name: they are loaded when it is installed, and at every boot.
    pub fn autoloaded(&self) -> Vec<String> {
        let lists = self.files.iter().filter(|file| file.entry.path.starts_with("etc/modules.d/"));
        let lines = lists.filter_map(|file| file.facts.text.as_deref()).flat_map(str::lines);
        let names = lines.filter_map(|line| line.split_whitespace().next()).map(module_name);
        names.filter(|name| self.modules().any(|(module, ..)| module == *name)).collect()
    }

    /// The version of the package `kernel` that it depends on.
    pub fn kernel(&self) -> Option<&str> {
        self.needs.iter().find(|need| need.names == ["kernel"]).and_then(|need| need.exact.as_deref())
    }

    /// Whether both can never be installed together: they are versions of one package, declare a conflict or
    /// replacement, or, for apk, one provides a name of the other with a version.
    pub fn excludes(&self, other: &Opened) -> bool {
        let answers = |package: &Opened, name: &String| package.name == *name || package.provides.contains(name);
        let gives_way = |a: &Opened, b: &Opened| a.conflicts.iter().chain(&a.replaces).any(|name| answers(b, name));
        let shares = |a: &Opened, b: &Opened| {
            a.exclusive.iter().any(|name| b.exclusive.contains(name) || a.format == Format::Apk && answers(b, name))
        };
        shares(self, other) || shares(other, self) || gives_way(self, other) || gives_way(other, self)
    }

    /// Whether the payload has anything at this path.
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.entry.path == path)
    }
}

/// The spelling in which module names are compared.
pub fn module_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The alternatives in a manager's list: opkg separates them by commas, apk by newlines or blanks.
fn alternatives(list: &str, format: Format) -> Vec<String> {
    let is_end = |c: char| c == ',' || format == Format::Apk && c.is_whitespace();
    list.split(is_end).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The words of a list.
fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// Counts and hashes the bytes that pass through.
struct Tally<R> {
    input: R,
    hasher: Hasher<io::Sink>,
    md5: Option<md5::Hasher>,
    size: u64,
}

impl<R: Read> Tally<R> {
    fn new(input: R, format: Format) -> Self {
        let md5 = (format == Format::Ipk).then(md5::Hasher::default);
        Tally { input, hasher: Hasher::new(io::sink()), md5, size: 0 }
    }

    fn finish(mut self, metadata: Option<Digest>, signatures: usize) -> Result<FileIdentity, Error> {
        io::copy(&mut self, &mut io::sink())?;
        let (sha256, md5) = (self.hasher.finish().1, self.md5.map(md5::Hasher::finish));
        Ok(FileIdentity { size: self.size, sha256, md5, metadata, signatures })
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.hasher.write_all(&out[..count])?;
        if let Some(md5) = &mut self.md5 {
            md5.write_all(&out[..count])?;
        }
        self.size += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depend::{Dependency, Provide};
    use crate::{Content, Package, Scripts};

    /// What both formats must report alike.
    fn told(opened: &Opened) -> String {
        let files = opened.files.iter().filter(|file| !file.entry.path.starts_with("lib/apk"));
        let files: Vec<_> = files.map(|file| (&file.entry.path, file.length, file.sha256)).collect();
        let Opened { name, version, architecture, license, maintainer, source, needs, .. } = opened;
        format!("{:?} {:?}", (name, version, architecture, license, maintainer, source, needs), files)
    }

    #[test]
    fn a_package_reads_alike_in_both_formats() {
        let package = Package {
            name: "kmod-x".into(),
            version: "6.6.93-r1".into(),
            architecture: "all".into(),
            description: "X".into(),
            license: "MIT".into(),
            maintainer: "Somebody".into(),
            source: "feeds/x".into(),
            depends: vec![Dependency::exactly("kernel", "6.6.93~aa-r1")],
            provides: vec![Provide { name: "x".into(), version: None }],
            files: vec![
                Entry::file("lib/modules/6.6.93/a-b.ko", 0o644, Content::from("no module")),
                Entry::file("etc/empty", 0o644, Content::from("")),
                Entry::file("etc/modules.d/30-x", 0o644, Content::from("a-b option=1\nother\n")),
            ],
            scripts: Scripts { postinst: Some("#!/bin/sh\ntrue\n".into()), ..Scripts::default() },
            ..Package::default()
        };
        let opened = Format::ALL.map(|format| {
            let mut bytes = io::Cursor::new(Vec::new());
            package.write(format, &mut bytes).unwrap();
            let bytes = bytes.into_inner();
            let opened = Opened::read("x", format, &bytes[..], &Limits::default()).unwrap();
            assert_eq!((opened.file.size, opened.file.sha256), (bytes.len() as u64, Digest::of(&bytes)));
            assert_eq!(opened.kernel(), Some("6.6.93~aa-r1"));
            assert!(opened.is_kmod() && opened.kept.keys().any(|name| name.starts_with("post")), "{:?}", opened.kept);
            assert_eq!(opened.autoloaded(), ["a_b"]);
            let (name, file, module) = opened.modules().next().unwrap();
            assert_eq!((name.as_str(), file.sha256), ("a_b", Some(Digest::of("no module"))));
            assert!(module.is_err());
            assert!(Opened::read("x", format, &bytes[..bytes.len() / 2], &Limits::default()).is_err());
            opened
        });
        assert_eq!(told(&opened[0]), told(&opened[1]));
    }
}
