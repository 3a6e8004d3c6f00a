//! The metadata of a package: its info, and the list of what it would put where.

use std::collections::BTreeMap;

use model::Digest;

use super::info::Info;
use super::schema::{SCRIPTS, info, package, path};
use crate::adb::{Adb, Object, Schema, Tree};
use crate::limits::MOST_PATH_BYTES;
use crate::package::{Content, Device, Entry, Kind, Owner};
use crate::tar::path_problem;
use crate::{Error, Limits};

/// File types, in the words of `stat`.
pub(super) const FIFO: u16 = 0o010_000;
pub(super) const CHARACTER: u16 = 0o020_000;
pub(super) const BLOCK: u16 = 0o060_000;
pub(super) const REGULAR: u16 = 0o100_000;
pub(super) const SYMLINK: u16 = 0o120_000;

/// When a script runs; the order is that of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Script {
    /// When another package touches a directory that this one watches.
    Trigger,
    /// Before the first installation.
    PreInstall,
    /// After the first installation.
    PostInstall,
    /// Before removal.
    PreDeinstall,
    /// After removal.
    PostDeinstall,
    /// Before the change to this version from another.
    PreUpgrade,
    /// After the change to this version from another.
    PostUpgrade,
}

impl Script {
    /// All of them, in the order of the format.
    pub const ALL: [Script; 7] = [
        Script::Trigger,
        Script::PreInstall,
        Script::PostInstall,
        Script::PreDeinstall,
        Script::PostDeinstall,
        Script::PreUpgrade,
        Script::PostUpgrade,
    ];

    /// Apk's name for it, such as `post-install`.
    pub fn name(self) -> &'static str {
        SCRIPTS[self as usize]
    }
}

/// Everything about a package but the bytes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Name, version, dependencies.
    pub info: Info,
    /// Directories and files, each directory before what it holds, sorted as apk stores them.
    pub members: Vec<Member>,
    /// Maintainer scripts.
    pub scripts: BTreeMap<Script, Vec<u8>>,
    /// Patterns of directories that run the trigger script.
    pub triggers: Vec<String>,
    /// Who wins when two packages replace each other's files.
    pub replaces_priority: Option<u64>,
}

/// A directory or file as the metadata lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path, owner and kind; the content of a file is empty here. The root itself has an empty path.
    pub entry: Entry,
    /// Length of a regular file or symlink text.
    pub length: u64,
    /// Digest of a regular file's bytes.
    pub sha256: Option<Digest>,
    /// Seconds since 1970; 0 for directories.
    pub time: u64,
    /// Extended attributes by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Places in the list of directories and in that directory's list of files, from 1; by these the
    /// file data refers to it. A directory has the second one 0.
    pub(super) numbers: (u32, u32),
}

impl Member {
    /// Whether the bytes follow as file data.
    pub(super) fn has_data(&self) -> bool {
        matches!(self.entry.kind, Kind::File(_)) && self.length > 0
    }
}

impl Metadata {
    /// Reads the metadata of a package file; whether it is to be trusted was asked before.
    pub fn read(adb: &Adb, limits: &Limits) -> Result<Self, Error> {
        if adb.schema != Schema::Package {
            return Err(Error::AdbMagic { found: "an index of packages" });
        }
        let tree = Tree::new(&adb.payload)?;
        let root = tree.root()?.ok_or(Error::ApkField { field: "info", why: "there is nothing at all" })?;
        let info_object = root.object(package::INFO)?.ok_or(Error::ApkField { field: "info", why: "it is missing" })?;
        let mut info = Info::read(info_object)?;
        let id = info_object.blob(info::HASHES)?;
        info.unique_id = Some(
            id.try_into().map_err(|_| Error::ApkField { field: "hashes", why: "the package's own is not 20 bytes" })?,
        );

        let mut scripts = BTreeMap::new();
        if let Some(object) = root.object(package::SCRIPTS)? {
            for script in Script::ALL {
                let body = object.blob(script as usize + 1)?;
                if body.len() as u64 > limits.control {
                    return Err(Error::ApkField { field: script.name(), why: "the script is larger than the limit" });
                }
                if !body.is_empty() {
                    scripts.insert(script, body.to_vec());
                }
            }
        }
        let triggers = match root.object(package::TRIGGERS)? {
            None => Vec::new(),
            Some(list) => list.values().map(|value| tree.text(value).map(str::to_owned)).collect::<Result<_, _>>()?,
        };
        let replaces_priority = root.int(package::REPLACES_PRIORITY)?;
        let members = Paths::read(root, limits)?;
        Ok(Metadata { info, members, scripts, triggers, replaces_priority })
    }

    /// Everything but directories: what `apk info -L` lists.
    pub fn files(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.entry.kind != Kind::Dir)
    }
}

/// Reads the list of directories. Both that and the lists of files in it are sorted, so what is where can be looked up.
struct Paths<'a> {
    limits: &'a Limits,
    members: Vec<Member>,
    /// Where the directories are among the members; the files of each follow it.
    directories: Vec<usize>,
    /// Bytes of paths that may still be remembered.
    memory_left: usize,
}

impl<'a> Paths<'a> {
    fn read(root: Object<'_>, limits: &'a Limits) -> Result<Vec<Member>, Error> {
        let mut paths = Paths { limits, members: Vec::new(), directories: Vec::new(), memory_left: MOST_PATH_BYTES };
        let Some(list) = root.object(package::PATHS)? else { return Ok(Vec::new()) };
        let mut last: Option<String> = None;
        for (number, value) in (1..).zip(list.values()) {
            let object = root.tree().object(value)?;
            let object = object.ok_or(Error::ApkField { field: "paths", why: "a directory is absent" })?;
            let name = object.text(path::NAME)?.to_owned();
            if last.as_ref().is_some_and(|last| last.as_bytes() >= name.as_bytes()) {
                return Err(Error::ApkOrder { list: "paths" });
            }
            paths.directory(object, &name, number)?;
            last = Some(name);
        }
        paths.check_links()?;
        Ok(paths.members)
    }

    fn directory(&mut self, object: Object<'_>, name: &str, number: u32) -> Result<(), Error> {
        if !name.is_empty() {
            check_path(name)?;
        }
        self.directories.push(self.members.len());
        let acl = Acl::read(object)?;
        self.push(Member {
            entry: acl.entry(name.to_owned(), Kind::Dir),
            length: 0,
            sha256: None,
            time: 0,
            xattrs: acl.xattrs,
            numbers: (number, 0),
        })?;
        let Some(list) = object.object(path::FILES)? else { return Ok(()) };
        let mut last = "";
        for (place, value) in (1..).zip(list.values()) {
            let file = object.tree().object(value)?;
            let file = file.ok_or(Error::ApkField { field: "files", why: "a file is absent" })?;
            let base = file.text(path::NAME)?;
            if last.as_bytes() >= base.as_bytes() {
                return Err(Error::ApkOrder { list: "files" });
            }
            last = base;
            if base.contains('/') {
                return Err(Error::ApkPath { path: base.to_owned(), why: "a file name has a slash" });
            }
            let full = if name.is_empty() { base.to_owned() } else { format!("{name}/{base}") };
            self.file(file, full, (number, place))?;
        }
        Ok(())
    }

    fn file(&mut self, object: Object<'_>, full: String, numbers: (u32, u32)) -> Result<(), Error> {
        check_path(&full)?;
        let malformed = |why| Error::ApkPath { path: full.clone(), why };
        let acl = Acl::read(object)?;
        let length = object.int(path::SIZE)?.unwrap_or(0);
        let hash = object.blob(path::HASH)?;
        let kind = target(object.blob(path::TARGET)?).map_err(malformed)?;
        if matches!(kind, Kind::Device(_)) && !self.limits.devices {
            return Err(Error::ApkDevice { path: full });
        }
        let sha256 = match (&kind, hash.len()) {
            (Kind::File(_) | Kind::HardLink(_), _) => {
                Some(Digest(hash.try_into().map_err(|_| malformed("its hash is not a SHA-256"))?))
            }
            (_, 0) => None,
            _ => return Err(malformed("only regular files have a hash")),
        };
        if let Kind::HardLink(target) = &kind {
            let first = self.file_at(target);
            let same = first.is_some_and(|first| {
                matches!(first.entry.kind, Kind::File(_)) && (first.sha256, first.length) == (sha256, length)
            });
            if !same {
                return Err(malformed("it is a hard link to something that is not an earlier file of the same bytes"));
            }
        }
        let time = object.int(path::TIME)?.unwrap_or(0);
        let xattrs = acl.xattrs.clone();
        self.push(Member { entry: acl.entry(full, kind), length, sha256, time, xattrs, numbers })
    }

    fn push(&mut self, member: Member) -> Result<(), Error> {
        let left = self.memory_left.checked_sub(member.entry.path.len());
        self.memory_left = left
            .filter(|_| self.members.len() < self.limits.entries)
            .ok_or(Error::TooManyEntries { limit: self.limits.entries })?;
        self.members.push(member);
        Ok(())
    }

    /// What is no directory at a path, of what was read so far.
    fn file_at(&self, path: &str) -> Option<&Member> {
        let (directory, _) = path.rsplit_once('/').unwrap_or_default();
        let name = |&index: &usize| self.members[index].entry.path.as_str();
        let place = self.directories.binary_search_by(|index| name(index).cmp(directory)).ok()?;
        let end = self.directories.get(place + 1).copied().unwrap_or(self.members.len());
        let files = &self.members[self.directories[place] + 1..end];
        files.binary_search_by(|file| file.entry.path.as_str().cmp(path)).ok().map(|index| &files[index])
    }

    /// A path that is both a directory and a file could be followed out of the root.
    fn check_links(&self) -> Result<(), Error> {
        for &index in &self.directories {
            let directory = &self.members[index].entry.path;
            let parents = directory.match_indices('/').map(|(at, _)| &directory[..at]).chain([directory.as_str()]);
            for parent in parents {
                if self.file_at(parent).is_some() {
                    let why = "it lies below something that the package makes a file or link";
                    return Err(Error::ApkPath { path: directory.clone(), why });
                }
            }
        }
        Ok(())
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    match path_problem(path) {
        Some(why) => Err(Error::ApkPath { path: path.to_owned(), why }),
        None => Ok(()),
    }
}

/// What a file is: two bytes of type, then the link text, the path of the first link, or the device.
fn target(bytes: &[u8]) -> Result<Kind, &'static str> {
    let Some((kind, rest)) = bytes.split_first_chunk() else {
        return if bytes.is_empty() {
            Ok(Kind::File(Content::Bytes([].into())))
        } else {
            Err("its target is too short")
        };
    };
    let text = || match std::str::from_utf8(rest) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => Ok(text.to_owned()),
        _ => Err("its link target is empty, not UTF-8, or contains NUL"),
    };
    let number = || rest.try_into().map(u64::from_le_bytes).map_err(|_| "its device number is not 8 bytes");
    match u16::from_le_bytes(*kind) {
        SYMLINK => Ok(Kind::Symlink(text()?)),
        REGULAR => Ok(Kind::HardLink(text()?)),
        CHARACTER => number().map(|number| {
            let (major, minor) = split_device(number);
            Kind::Device(Device::Character { major, minor })
        }),
        BLOCK => number().map(|number| {
            let (major, minor) = split_device(number);
            Kind::Device(Device::Block { major, minor })
        }),
        FIFO => number().map(|_| Kind::Device(Device::Fifo)),
        _ => Err("its file type is not known"),
    }
}

/// Linux's 64-bit device number: 12 bits of major between 8 and 24 bits of minor.
fn split_device(number: u64) -> (u32, u32) {
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    let major = number >> 8 & 0xfff | number >> 32 & 0xffff_f000;
    let minor = number & 0xff | number >> 12 & 0xffff_ff00;
    (low(major), low(minor))
}

/// The other way round.
pub(super) fn join_device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xfff) << 8 | (major & 0xffff_f000) << 32 | minor & 0xff | (minor & 0xffff_ff00) << 12
}

/// Mode, owner and attributes.
struct Acl {
    mode: u32,
    user: String,
    group: String,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Acl {
    fn read(object: Object<'_>) -> Result<Self, Error> {
        let bad = |why| Error::ApkField { field: "acl", why };
        let acl = object.object(path::ACL)?.ok_or_else(|| bad("it is missing"))?;
        let mode = acl.int(path::MODE)?.unwrap_or(0);
        let mode =
            u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| bad("the mode is too large"))?;
        let name = |number| {
            let name = acl.text(number)?.to_owned();
            let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+$".contains(c));
            if good { Ok(name) } else { Err(bad("a user or group name is malformed")) }
        };
        let mut xattrs: Vec<(String, Vec<u8>)> = Vec::new();
        if let Some(list) = acl.object(path::XATTRS)? {
            for value in list.values() {
                let bytes = acl.tree().blob(value)?;
                let end = bytes.iter().position(|&byte| byte == 0).ok_or_else(|| bad("an attribute has no value"))?;
                let name = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("an attribute's name is not UTF-8"))?;
                xattrs.push((name.to_owned(), bytes[end + 1..].to_vec()));
            }
        }
        Ok(Acl { mode, user: name(path::USER)?, group: name(path::GROUP)?, xattrs })
    }

    fn entry(&self, path: String, kind: Kind) -> Entry {
        // Names are what counts here; only root's number is known for sure.
        let owner =
            |name: &String| Owner { id: if name == "root" { 0 } else { Owner::UNKNOWN_ID }, name: name.clone() };
        Entry { path, mode: self.mode, owner: owner(&self.user), group: owner(&self.group), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_a_round_trip() {
        for (major, minor) in [(1, 3), (8, 0), (259, 300), (u32::MAX, u32::MAX)] {
            assert_eq!(split_device(join_device(major, minor)), (major, minor));
        }
        assert_eq!(join_device(1, 3), 0x103);
    }
}
