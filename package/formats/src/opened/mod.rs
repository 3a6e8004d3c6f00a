//! An opened package: what is in it, in one view for both formats and without the bytes of its files.
//!
//! [`Opened::read`] goes through a package once, from front to back, and keeps what the [lint](crate::lint)'s rules and
//! comparisons of packages ask for: metadata in opkg's words, a digest of each file, and what programs, kernel modules
//! and the lists that routers read say about themselves.

mod apk;
mod facts;
mod ipk;

use std::collections::BTreeMap;
use std::io::{self, Read};

use model::Format;
use model::sha256::{Digest, Hasher};

use crate::modinfo::ModuleInfo;
use crate::package::Entry;
use crate::{Error, Limits};

pub(crate) use facts::{Facts, LARGEST_ELF, is_json, is_script, is_text};

/// A package, without the bytes of its files.
#[derive(Debug)]
pub struct Opened {
    /// Where it was read from.
    pub path: String,
    /// Which package manager it is for.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version, as the format spells it.
    pub version: String,
    /// In opkg's words: `all` for what fits any machine.
    pub architecture: String,
    /// SPDX expression, empty if it tells none.
    pub license: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Who looks after it; may be empty.
    pub maintainer: String,
    /// The recipe that it was built from, empty if it tells none.
    pub source: String,
    /// What must be installed with it.
    pub needs: Vec<Need>,
    /// Names of packages that must not be.
    pub conflicts: Vec<String>,
    /// Names that it answers to besides its own; of an ipk those without a version.
    pub provides: Vec<String>,
    /// Names of which only one package can be there: apk's own and those provided in a version.
    pub(crate) exclusive: Vec<String>,
    /// `name=version` in opkg's world, where nobody finds the name.
    pub(crate) versioned: Vec<String>,
    pub(crate) alternatives: Vec<String>,
    /// Users and groups that are made for it: `user=number:group=number:more groups`.
    pub(crate) users: Vec<String>,
    /// Packages whose place it takes.
    pub replaces: Vec<String>,
    /// What the package says about its size, in bytes.
    pub installed_size: Option<u64>,
    /// Settings that must be in the payload, with their digest where the package tells it.
    pub(crate) conffiles: Vec<(String, Option<Digest>)>,
    /// Lines of the list that name no path, each with the reason.
    pub(crate) odd_conffiles: Vec<(String, &'static str)>,
    /// Bytes of the payload as it is stored.
    pub(crate) stored: Option<u64>,
    pub(crate) scripts: Vec<Script>,
    /// Files, folders and links, in the package's order.
    pub files: Vec<File>,
    /// The package file itself.
    pub file: FileIdentity,
    /// Everything that the package manager is told, by the name that it has there, in lower case.
    pub fields: BTreeMap<String, String>,
    /// Scripts and lists that the package manager keeps, by name.
    pub kept: BTreeMap<String, Digest>,
}

/// One dependency: any of the names will do.
#[derive(Debug)]
pub struct Need {
    /// Names of packages.
    pub names: Vec<String>,
    /// The one version that is accepted, if it is one.
    pub exact: Option<String>,
}

/// A maintainer script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether the package manager starts it as a program; OpenWrt's functions read the others into a shell.
    pub(crate) is_program: bool,
}

/// One entry of the payload.
#[derive(Debug)]
pub struct File {
    /// Its path, kind, mode and owners; its content is empty.
    pub entry: Entry,
    /// Bytes of its content.
    pub length: u64,
    /// Of its content, if it is a file.
    pub sha256: Option<Digest>,
    /// Extended attributes by name; an ipk has none.
    pub xattrs: Vec<(String, Vec<u8>)>,
    pub(crate) facts: Facts,
}

/// What an index stores to recognise a package file.
#[derive(Debug, Clone, Copy)]
pub struct FileIdentity {
    /// Bytes of the whole file.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Digest,
    /// Of the metadata, for apk.
    pub metadata: Option<Digest>,
    /// Signatures inside; an ipk has none.
    pub signatures: usize,
}

impl Opened {
    /// Reads a whole package; `path` tells people where it is from. Whether it is to be trusted is for whoever has an index
    /// that lists it: OpenWrt does not sign single packages.
    ///
    /// # Errors
    /// What is damaged, no package of this format, or beyond the limits.
    pub fn read(path: &str, format: Format, input: impl Read, limits: &Limits) -> Result<Opened, Error> {
        match format {
            Format::Ipk => ipk::read(path, input, limits),
            Format::Apk => apk::read(path, input, limits),
        }
    }

    /// Whether it is, by name or content, a package of kernel modules.
    pub fn is_kmod(&self) -> bool {
        self.name.starts_with("kmod-") || self.modules().next().is_some()
    }

    /// Kernel modules with their name, in which `-` and `_` are the same.
    pub fn modules(&self) -> impl Iterator<Item = (String, &File, &Result<ModuleInfo, String>)> {
        self.files.iter().filter_map(|file| {
            let (_, base) = file.entry.path.rsplit_once('/')?;
            let (stem, _) = base.split_once(".ko")?;
            Some((module_name(stem), file, file.facts.module.as_ref()?))
        })
    }

    /// The version of the package `kernel` that it is bound to.
    pub fn kernel(&self) -> Option<&str> {
        self.needs.iter().find(|need| need.names == ["kernel"]).and_then(|need| need.exact.as_deref())
    }

    /// Whether both can never be installed together: versions of one package, declared conflicts and replacements, and in
    /// apk's world a name that one of them provides in a version.
    pub fn excludes(&self, other: &Opened) -> bool {
        let answers = |package: &Opened, name: &String| package.name == *name || package.provides.contains(name);
        let gives_way = |a: &Opened, b: &Opened| a.conflicts.iter().chain(&a.replaces).any(|name| answers(b, name));
        let shares = |a: &Opened, b: &Opened| {
            a.exclusive.iter().any(|name| b.exclusive.contains(name) || a.format == Format::Apk && answers(b, name))
        };
        shares(self, other) || shares(other, self) || gives_way(self, other) || gives_way(other, self)
    }

    /// Whether a path is in the payload, as anything.
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.entry.path == path)
    }
}

/// The spelling in which module names are compared.
pub fn module_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The alternatives of a list of either manager: opkg's has commas, apk's a line or blank between them.
fn alternatives(list: &str, format: Format) -> Vec<String> {
    let is_end = |c: char| c == ',' || format == Format::Apk && c.is_whitespace();
    list.split(is_end).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// What stands between blanks.
fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// Counts and hashes what passes through.
struct Tally<R> {
    input: R,
    hasher: Hasher<io::Sink>,
    size: u64,
}

impl<R: Read> Tally<R> {
    fn new(input: R) -> Self {
        Tally { input, hasher: Hasher::new(io::sink()), size: 0 }
    }

    fn finish(mut self, metadata: Option<Digest>, signatures: usize) -> Result<FileIdentity, Error> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(FileIdentity { size: self.size, sha256: self.hasher.finish().1, metadata, signatures })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depend::{Dependency, Provide};
    use crate::{Content, Package, Scripts};

    /// What both formats tell alike.
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
            let (name, file, module) = opened.modules().next().unwrap();
            assert_eq!((name.as_str(), file.sha256), ("a_b", Some(Digest::of("no module"))));
            assert!(module.is_err());
            assert!(Opened::read("x", format, &bytes[..bytes.len() / 2], &Limits::default()).is_err());
            opened
        });
        assert_eq!(told(&opened[0]), told(&opened[1]));
    }
}
