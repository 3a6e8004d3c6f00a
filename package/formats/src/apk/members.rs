//! The files of a package, and where they are installed.
//!
//! There can be very many, and a router has little memory, so only the bytes of the metadata are kept; each member is
//! decoded when it is needed.

use std::cmp::Ordering;

use model::Digest;

use super::schema::{package, path};
use crate::adb::{Object, Tree};
use crate::limits::MOST_PATH_BYTES;
use crate::package::{Content, Device, Entry, Kind, Owner};
use crate::tar::path_problem;
use crate::{Error, Limits};

/// File types, as in `st_mode` of stat(2).
pub(super) const FIFO: u16 = 0o010_000;
pub(super) const CHARACTER: u16 = 0o020_000;
pub(super) const BLOCK: u16 = 0o060_000;
pub(super) const REGULAR: u16 = 0o100_000;
pub(super) const SYMLINK: u16 = 0o120_000;

/// Directories and files, sorted as apk stores them: each directory before its contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The metadata, whose members were all checked.
    payload: Vec<u8>,
    count: usize,
}

/// A directory or file in the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path, owner and kind, without a file's content. The root itself has an empty path.
    pub entry: Entry,
    /// Length of a regular file, or of a symlink's target.
    pub length: u64,
    /// Digest of a regular file's content.
    pub sha256: Option<Digest>,
    /// Time of last change, in seconds since 1970; 0 for directories.
    pub time: u64,
    /// Extended attributes by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Position in the list of directories, and in that directory's list of files, both from 1; file data refers to
    /// them. The second is 0 for a directory.
    pub(super) numbers: (u32, u32),
}

impl Member {
    /// Whether the file has a data block.
    pub(super) fn has_data(&self) -> bool {
        matches!(self.entry.kind, Kind::File(_)) && self.length > 0
    }
}

impl Members {
    /// Takes metadata in which [`check`] counted this many members.
    pub(super) fn new(mut payload: Vec<u8>, count: usize) -> Members {
        payload.shrink_to_fit();
        Members { payload, count }
    }

    /// Number of all members.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All members, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { members: self, next: (1, 0) }
    }

    /// Whether there is a file or link at this path.
    pub fn has_file(&self, path: &str) -> bool {
        let found = || -> Result<bool, Error> {
            let tree = Tree::new(&self.payload)?;
            let Some(list) = directories(&tree)? else { return Ok(false) };
            Ok(find_file(list, path)?.is_some())
        };
        found().unwrap_or(false)
    }

    /// The member with these numbers, as in [`Member::numbers`]; `None` beyond the end of the directory, or of all.
    fn at(&self, (directory, file): (u32, u32)) -> Result<Option<Member>, Error> {
        let tree = Tree::new(&self.payload)?;
        let Some(list) = directories(&tree)? else { return Ok(None) };
        let Some(object) = tree.object(list.field(directory as usize))? else { return Ok(None) };
        let name = object.text(path::NAME)?;
        if file == 0 {
            return self::directory(object, name, directory).map(Some);
        }
        let Some(files) = object.object(path::FILES)? else { return Ok(None) };
        let Some(object) = tree.object(files.field(file as usize))? else { return Ok(None) };
        self::file(object, join(name, object.text(path::NAME)?), (directory, file)).map(Some)
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = Member;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Decodes one member after the other.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    members: &'a Members,
    /// Numbers of the next member, if its directory has that many.
    next: (u32, u32),
}

impl Iterator for Iter<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        loop {
            let (directory, file) = self.next;
            // Nothing fails here: [`check`] has read all of them before.
            if let Some(member) = self.members.at(self.next).ok()? {
                self.next = (directory, file + 1);
                return Some(member);
            }
            if file == 0 {
                return None;
            }
            self.next = (directory + 1, 0);
        }
    }
}

/// The list of directories.
fn directories<'a>(tree: &'a Tree<'a>) -> Result<Option<Object<'a>>, Error> {
    match tree.root()? {
        Some(root) => root.object(package::PATHS),
        None => Ok(None),
    }
}

/// Reads all members, so that none can fail later, and counts them.
pub(super) fn check(root: Object<'_>, limits: &Limits) -> Result<usize, Error> {
    let Some(list) = root.object(package::PATHS)? else { return Ok(0) };
    let mut left = Left { entries: limits.entries, limit: limits.entries, bytes: MOST_PATH_BYTES };
    let mut hard_links = Vec::new();
    let mut last: Option<&str> = None;
    for (number, value) in (1..).zip(list.values()) {
        let object = root.tree().object(value)?;
        let object = object.ok_or(Error::ApkField { field: "paths", why: "a directory is absent" })?;
        let name = object.text(path::NAME)?;
        if last.is_some_and(|last| last.as_bytes() >= name.as_bytes()) {
            return Err(Error::ApkOrder { list: "paths" });
        }
        last = Some(name);
        if !name.is_empty() {
            check_path(name)?;
        }
        left.take(&directory(object, name, number)?)?;
        let Some(files) = object.object(path::FILES)? else { continue };
        let mut last = "";
        for (place, value) in (1..).zip(files.values()) {
            let object = root.tree().object(value)?;
            let object = object.ok_or(Error::ApkField { field: "files", why: "a file is absent" })?;
            let base = object.text(path::NAME)?;
            if last.as_bytes() >= base.as_bytes() {
                return Err(Error::ApkOrder { list: "files" });
            }
            last = base;
            if base.contains('/') {
                return Err(Error::ApkPath { path: base.to_owned(), why: "a file name has a slash" });
            }
            let full = join(name, base);
            check_path(&full)?;
            let member = file(object, full, (number, place))?;
            if matches!(member.entry.kind, Kind::Device(_)) && !limits.devices {
                return Err(Error::ApkDevice { path: member.entry.path });
            }
            left.take(&member)?;
            if matches!(member.entry.kind, Kind::HardLink(_)) {
                hard_links.push(member);
            }
        }
    }
    // Both lists are sorted, so paths can be looked up from here on.
    hard_links.iter().try_for_each(|link| check_hard_link(list, link))?;
    list.values().try_for_each(|value| check_parents(list, root.tree().object(value)?))?;
    Ok(limits.entries - left.entries)
}

/// What the limits still allow.
struct Left {
    entries: usize,
    limit: usize,
    /// Bytes of paths.
    bytes: usize,
}

impl Left {
    fn take(&mut self, member: &Member) -> Result<(), Error> {
        let left = (self.entries.checked_sub(1), self.bytes.checked_sub(member.entry.path.len()));
        let (Some(entries), Some(bytes)) = left else { return Err(Error::TooManyEntries { limit: self.limit }) };
        (self.entries, self.bytes) = (entries, bytes);
        Ok(())
    }
}

fn directory(object: Object<'_>, name: &str, number: u32) -> Result<Member, Error> {
    let acl = Acl::read(object)?;
    let entry = acl.entry(name.to_owned(), Kind::Dir);
    Ok(Member { entry, length: 0, sha256: None, time: 0, xattrs: acl.xattrs, numbers: (number, 0) })
}

fn file(object: Object<'_>, full: String, numbers: (u32, u32)) -> Result<Member, Error> {
    let malformed = |why| Error::ApkPath { path: full.clone(), why };
    let acl = Acl::read(object)?;
    let length = object.int(path::SIZE)?.unwrap_or(0);
    let hash = object.blob(path::HASH)?;
    let kind = target(object.blob(path::TARGET)?).map_err(malformed)?;
    let sha256 = match (&kind, hash.len()) {
        (Kind::File(_) | Kind::HardLink(_), _) => {
            Some(Digest(hash.try_into().map_err(|_| malformed("its hash is not a SHA-256"))?))
        }
        (_, 0) => None,
        _ => return Err(malformed("only regular files have a hash")),
    };
    let time = object.int(path::TIME)?.unwrap_or(0);
    let entry = acl.entry(full, kind);
    Ok(Member { entry, length, sha256, time, xattrs: acl.xattrs, numbers })
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The file or link at a path.
fn find_file(list: Object<'_>, path: &str) -> Result<Option<Member>, Error> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some((number, object)) = find(list, directory)? else { return Ok(None) };
    let Some(files) = object.object(path::FILES)? else { return Ok(None) };
    let Some((place, object)) = find(files, name)? else { return Ok(None) };
    file(object, path.to_owned(), (number, place)).map(Some)
}

/// The item with this name in a list sorted by name, and its position.
fn find<'a>(list: Object<'a>, name: &str) -> Result<Option<(u32, Object<'a>)>, Error> {
    let mut numbers = 1..list.len() + 1;
    while !numbers.is_empty() {
        let number = numbers.start + (numbers.end - numbers.start) / 2;
        let Some(object) = list.object(number)? else { return Ok(None) };
        match object.text(path::NAME)?.as_bytes().cmp(name.as_bytes()) {
            Ordering::Less => numbers.start = number + 1,
            Ordering::Greater => numbers.end = number,
            Ordering::Equal => return Ok(u32::try_from(number).ok().map(|number| (number, object))),
        }
    }
    Ok(None)
}

fn check_hard_link(list: Object<'_>, link: &Member) -> Result<(), Error> {
    let Kind::HardLink(target) = &link.entry.kind else { return Ok(()) };
    let same = find_file(list, target)?.is_some_and(|first| {
        first.numbers < link.numbers
            && matches!(first.entry.kind, Kind::File(_))
            && (first.sha256, first.length) == (link.sha256, link.length)
    });
    let why = "it is a hard link to something that is not an earlier file of the same bytes";
    if same { Ok(()) } else { Err(Error::ApkPath { path: link.entry.path.clone(), why }) }
}

/// Refuses a path that is both a directory and a file: it could lead out of the root.
fn check_parents(list: Object<'_>, directory: Option<Object<'_>>) -> Result<(), Error> {
    let name = directory.map(|directory| directory.text(path::NAME)).transpose()?.unwrap_or_default();
    let parents = name.match_indices('/').map(|(at, _)| &name[..at]).chain([name]);
    for parent in parents.filter(|parent| !parent.is_empty()) {
        if find_file(list, parent)?.is_some() {
            let why = "it lies below something that the package makes a file or link";
            return Err(Error::ApkPath { path: name.to_owned(), why });
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Error> {
    match path_problem(path) {
        Some(why) => Err(Error::ApkPath { path: path.to_owned(), why }),
        None => Ok(()),
    }
}

/// The kind of a file: two bytes of type, then the link's target, the path of the first hard link, or the device.
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

/// The reverse of [`split_device`].
pub(super) fn join_device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xfff) << 8 | (major & 0xffff_f000) << 32 | minor & 0xff | (minor & 0xffff_ff00) << 12
}

/// Mode, owner and extended attributes.
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
        // Only names count here; the number is known for root alone.
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
