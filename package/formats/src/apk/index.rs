//! `packages.adb`, the index of a feed.

use std::io::Read;

use model::Digest;

use super::info::Info;
use super::metadata::Metadata;
use super::schema::{index, info};
use crate::adb::{Adb, Builder, Schema, Tree};
use crate::changes::{Changes, Newest};
use crate::tar::path_problem;
use crate::version::apk;
use crate::{Error, Limits, ec};

/// The packages of a feed, and how their files are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// What the feed is.
    pub description: String,
    /// How package files are named when not `${name}-${version}.apk`; see [`Index::file_name`].
    pub name_spec: String,
    /// Sorted by name and version.
    pub packages: Vec<Listed>,
}

/// A package as an index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Everything that a solver needs.
    pub info: Info,
    /// SHA-256 of the package's metadata; a package that matches is trusted as much as the index.
    pub sha256: Digest,
    /// Length of the package file in bytes.
    pub file_size: u64,
}

impl Listed {
    /// The entry of a package file; `file_size` is its length.
    pub fn of_package(adb: &Adb, file_size: u64, limits: &Limits) -> Result<Self, Error> {
        Ok(Listed { info: Metadata::info(adb, limits)?, sha256: adb.digest(), file_size })
    }

    /// The entry of a package that is read and checked whole, in one pass; `file_size` is the length of the file.
    pub fn of_file(mut input: impl Read, file_size: u64, limits: &Limits) -> Result<Self, Error> {
        let (sha256, metadata) = super::read::digest(&mut input, limits)?;
        Ok(Listed { info: metadata.info, sha256, file_size })
    }

    /// Checks that a package file is the one that was listed: its length, its metadata, and with them name,
    /// version and architecture. Apk itself would install one package under the name of another.
    pub fn check_file(&self, adb: &Adb, file_size: u64, limits: &Limits) -> Result<(), Error> {
        self.same("file-size", self.file_size, file_size)?;
        self.same("hashes", self.sha256, adb.digest())?;
        let info = Metadata::info(adb, limits)?;
        self.same("name", &self.info.name, &info.name)?;
        self.same("version", &self.info.version, &info.version)?;
        self.same("arch", &self.info.arch, &info.arch)?;
        // With 0 here, apk would record the package as installed without ever fetching it.
        self.same("installed-size", self.info.installed_size, info.installed_size)
    }

    fn same<T: PartialEq + ToString>(&self, field: &'static str, index: T, file: T) -> Result<(), Error> {
        if index == file {
            return Ok(());
        }
        let package = self.info.name.clone();
        Err(Error::IndexMismatch { package, field, index: index.to_string(), file: file.to_string() })
    }
}

impl Index {
    /// The file of the index without signature, as `apk mkndx` makes it: values in the order the packages
    /// are given, entries sorted.
    pub fn to_adb(&self) -> Result<Adb, Error> {
        let mut builder = Builder::new();
        let mut entries = Vec::with_capacity(self.packages.len());
        for listed in &self.packages {
            listed.info.check()?;
            let mut values = listed.info.values(&mut builder, true)?;
            values[info::FILE_SIZE - 1] = builder.int(listed.file_size)?;
            values[info::HASHES - 1] = builder.blob(&listed.sha256.0)?;
            entries.push((&listed.info, builder.object(values)?));
        }
        entries.sort_by(|(a, _), (b, _)| order(a, b));
        if entries.windows(2).any(|pair| order(pair[0].0, pair[1].0).is_eq()) {
            return Err(Error::ApkOrder { list: "packages" });
        }
        let description = builder.blob(self.description.as_bytes())?;
        let name_spec = builder.blob(self.name_spec.as_bytes())?;
        let packages = builder.list(&entries.iter().map(|(_, value)| *value).collect::<Vec<_>>())?;
        let root = builder.object([description, packages, name_spec])?;
        Ok(Adb { schema: Schema::Index, payload: builder.finish(root), signatures: Vec::new() })
    }

    /// Reads an index if one of the keys signed it.
    pub fn read(input: impl Read, keys: &[ec::PublicKey], limits: &Limits) -> Result<(Self, ec::KeyId), Error> {
        let adb = Adb::read(input, limits)?;
        let key = adb.verify(keys)?;
        Ok((Self::from_adb(&adb, limits)?, key))
    }

    /// Reads the entries of an index file; the caller has already decided whether to trust it.
    pub fn from_adb(adb: &Adb, limits: &Limits) -> Result<Self, Error> {
        if adb.schema != Schema::Index {
            return Err(Error::AdbMagic { found: "a package" });
        }
        let tree = Tree::new(&adb.payload)?;
        let Some(root) = tree.root()? else { return Ok(Index::default()) };
        let mut packages: Vec<Listed> = Vec::new();
        if let Some(list) = root.object(index::PACKAGES)? {
            for value in list.values() {
                if packages.len() == limits.entries {
                    return Err(Error::TooManyEntries { limit: limits.entries });
                }
                let object = tree.object(value)?;
                let object = object.ok_or(Error::ApkField { field: "packages", why: "an entry is absent" })?;
                let sha256 = object.blob(info::HASHES)?.try_into().map(Digest);
                let listed = Listed {
                    info: Info::read(object)?,
                    sha256: sha256.map_err(|_| Error::ApkField { field: "hashes", why: "it is not a SHA-256" })?,
                    file_size: object.int(info::FILE_SIZE)?.unwrap_or(0),
                };
                if packages.last().is_some_and(|last| order(&last.info, &listed.info).is_ge()) {
                    return Err(Error::ApkOrder { list: "packages" });
                }
                packages.push(listed);
            }
        }
        let text = |number| root.text(number).map(str::to_owned);
        Ok(Index { description: text(index::DESCRIPTION)?, name_spec: text(index::NAME_SPEC)?, packages })
    }

    /// The path of a package's file, relative to the index.
    ///
    /// Understands `${name}`, `${version}` and `${arch}`. apk would fetch from wherever an absolute pattern points;
    /// here the result must stay in the feed.
    pub fn file_name(&self, listed: &Listed) -> Result<String, Error> {
        if self.name_spec.is_empty() {
            return Ok(listed.info.file_name());
        }
        let Info { name, version, arch, .. } = &listed.info;
        let path = [("${name}", name), ("${version}", version), ("${arch}", arch)]
            .into_iter()
            .fold(self.name_spec.clone(), |path, (variable, value)| path.replace(variable, value));
        let problem = match path_problem(&path) {
            None if path.contains([':', '?', '#', '%', '\\', '$']) => {
                Some("it has unknown variables, or characters with a meaning in URLs")
            }
            problem => problem,
        };
        match problem {
            None => Ok(path),
            Some(why) => Err(Error::IndexFilename { package: name.clone(), filename: path, why }),
        }
    }

    /// Adds the packages of another index that this one lacks; for the same name and version this index's entry stays.
    /// So a feed keeps its older packages.
    pub fn merge(&mut self, other: Index) {
        self.packages.extend(other.packages);
        self.packages.sort_by(|a, b| order(&a.info, &b.info));
        self.packages.dedup_by(|later, earlier| order(&later.info, &earlier.info).is_eq());
    }

    /// The newest version of every package.
    pub fn newest(&self) -> Newest {
        // Sorted by version, so the last entry of a name is its newest.
        let entry = |listed: &Listed| (listed.info.name.clone(), (listed.info.version.clone(), Some(listed.sha256)));
        self.packages.iter().map(entry).collect()
    }

    /// `index.json`, version 2: name without ABI version, and version.
    pub fn index_json(&self, architecture: &str) -> String {
        let names = self.packages.iter().map(|listed| {
            let tag = |tag: &'_ String| tag.strip_prefix("openwrt:abiversion=").map(str::to_owned);
            let abi = listed.info.tags.iter().find_map(tag).unwrap_or_default();
            let name = listed.info.name.strip_suffix(&abi).unwrap_or(&listed.info.name);
            (name, listed.info.version.as_str())
        });
        crate::packages::json(architecture, names)
    }
}

/// By name, then version: the order in which apk searches for an entry.
fn order(a: &Info, b: &Info) -> std::cmp::Ordering {
    a.name.as_bytes().cmp(b.name.as_bytes()).then_with(|| apk::compare(&a.version, &b.version))
}

/// Compares the newest version of every package in two indexes.
pub fn changes(old: &Index, new: &Index) -> Changes {
    Changes::between(&old.newest(), &new.newest())
}
