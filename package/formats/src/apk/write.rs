//! Writes a package file, byte for byte as `apk mkpkg` does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use model::Digest;

use super::info::Info;
use super::members::{BLOCK, CHARACTER, FIFO, REGULAR, SYMLINK, join_device};
use super::metadata::Script;
use super::schema::info;
use crate::adb::{Adb, Builder, Compression, Schema, Value, Writer};
use crate::package::{Content, Device, Entry, Kind, Package};
use crate::{Error, ec};

/// A package to be written, in apk's terms.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Name, version, dependencies; the writer computes sizes and the identity.
    pub info: Info,
    /// Payload, in any order; missing parent directories are added. Owners are stored by name.
    pub files: Vec<Entry>,
    /// Extended attributes by path.
    pub xattrs: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    /// Maintainer scripts.
    pub scripts: BTreeMap<Script, Vec<u8>>,
    /// Patterns of the directories that the trigger script watches.
    pub triggers: Vec<String>,
    /// Decides who wins when two packages replace each other's files: the higher priority.
    pub replaces_priority: Option<u64>,
    /// Time of every file, in seconds since 1970.
    pub time: u64,
}

/// Writes a package file, signed by each of the keys.
pub fn write(plan: &Plan, keys: &[&ec::SecretKey], compression: Compression, mut out: impl Write) -> Result<(), Error> {
    pack(plan, keys, compression, &mut out)
}

/// The body of [`write`], compiled once, here, and not for each kind of output in crates that may be less optimised.
fn pack(plan: &Plan, keys: &[&ec::SecretKey], compression: Compression, out: &mut dyn Write) -> Result<(), Error> {
    let (mut adb, tree) = assemble(plan)?;
    for key in keys {
        adb.sign(key)?;
    }
    let mut writer = Writer::new(out, &adb, compression)?;
    for directory in &tree {
        for (file, number) in directory.files.iter().zip(1..) {
            if let Kind::File(content) = &file.kind
                && content.length() > 0
            {
                writer.data(directory.number, number, content.length(), &mut *content.open()?)?;
            }
        }
    }
    writer.finish()?.flush()?;
    Ok(())
}

/// The metadata of a package without signature, from which an index entry is made.
pub fn seal(plan: &Plan) -> Result<Adb, Error> {
    Ok(assemble(plan)?.0)
}

/// A directory and its direct contents, both in apk's order.
struct Directory {
    /// Position in the list of directories, from 1.
    number: u32,
    entry: Entry,
    files: Vec<Entry>,
}

fn assemble(plan: &Plan) -> Result<(Adb, Vec<Directory>), Error> {
    plan.info.check()?;
    let tree = directories(plan)?;
    let linked = linked_files(plan);
    let mut builder = Builder::new();
    let mut info_values = plan.info.values(&mut builder, false)?;
    let replaces_priority = plan.replaces_priority.map_or(Ok(Value::NULL), |priority| builder.int(priority))?;

    let paths = tree
        .iter()
        .map(|directory| write_directory(&mut builder, plan, &linked, directory))
        .collect::<Result<Vec<_>, _>>()?;
    info_values[info::INSTALLED_SIZE - 1] = builder.int(installed_size(plan, &tree))?;
    let identity = builder.reserve(20)?;
    info_values[info::HASHES - 1] = identity;

    let info = builder.object(info_values)?;
    let paths = builder.list(&paths)?;
    let mut scripts = [Value::NULL; Script::ALL.len()];
    for (script, body) in &plan.scripts {
        scripts[*script as usize] = builder.blob(body)?;
    }
    let scripts = builder.object(scripts)?;
    let triggers =
        plan.triggers.iter().map(|trigger| builder.blob(trigger.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let triggers = builder.list(&triggers)?;
    let root = builder.object([info, paths, scripts, triggers, replaces_priority])?;
    // The identity is a digest of everything, with zeros in its own place.
    let digest = Digest::of(builder.set_root(root));
    builder.fill(identity, &digest.0[..20]);
    Ok((Adb { schema: Schema::Package, payload: builder.finish(root), signatures: Vec::new() }, tree))
}

/// All directories sorted by the bytes of their paths, the root first; their files are sorted by name.
fn directories(plan: &Plan) -> Result<Vec<Directory>, Error> {
    if plan.files.is_empty() {
        return Ok(Vec::new());
    }
    let entries = Package { files: plan.files.clone(), ..Package::default() }.tree()?;
    let mut found = BTreeMap::from([(String::new(), (Entry::dir("", 0o755), Vec::new()))]);
    for entry in entries {
        if entry.kind == Kind::Dir {
            found.insert(entry.path.clone(), (entry, Vec::new()));
            continue;
        }
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if let Some((_, files)) = found.get_mut(parent) {
            files.push(entry);
        }
    }
    let numbered = found.into_values().zip(1..);
    Ok(numbered
        .map(|((entry, mut files), number)| {
            files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
            Directory { number, entry, files }
        })
        .collect())
}

fn write_directory(
    builder: &mut Builder,
    plan: &Plan,
    linked: &Linked<'_>,
    directory: &Directory,
) -> Result<Value, Error> {
    let files =
        directory.files.iter().map(|file| write_file(builder, plan, linked, file)).collect::<Result<Vec<_>, _>>()?;
    let name = builder.blob(directory.entry.path.as_bytes())?;
    let acl = write_acl(builder, plan, &directory.entry)?;
    let files = builder.list(&files)?;
    builder.object([name, acl, files])
}

fn write_file(builder: &mut Builder, plan: &Plan, linked: &Linked<'_>, file: &Entry) -> Result<Value, Error> {
    let typed = |kind: u16, rest: &[u8]| [&kind.to_le_bytes(), rest].concat();
    let (content, target) = match &file.kind {
        Kind::File(content) => (Some(content), Vec::new()),
        Kind::HardLink(first) => (Some(content_of(linked, first)?), typed(REGULAR, first.as_bytes())),
        Kind::Symlink(text) => (None, typed(SYMLINK, text.as_bytes())),
        Kind::Device(Device::Character { major, minor }) => {
            (None, typed(CHARACTER, &join_device(*major, *minor).to_le_bytes()))
        }
        Kind::Device(Device::Block { major, minor }) => {
            (None, typed(BLOCK, &join_device(*major, *minor).to_le_bytes()))
        }
        Kind::Device(Device::Fifo) => (None, typed(FIFO, &[0; 8])),
        Kind::Dir => return Err(Error::Plan { what: format!("{} is a directory among files", file.path) }),
    };
    // As apk does: the target of later hard links is noted when the first file is met.
    if matches!(file.kind, Kind::File(_)) && linked.contains_key(file.path.as_str()) {
        builder.blob(&typed(REGULAR, file.path.as_bytes()))?;
    }
    let (length, hash) = match content {
        None => (link_length(&file.kind), Vec::new()),
        Some(content) => {
            let (digest, length) = Digest::of_reader(&mut *content.open()?)?;
            if length != content.length() {
                return Err(Error::Plan { what: format!("{} does not have the promised length", file.path) });
            }
            (length, digest.0.to_vec())
        }
    };
    let base = file.path.rsplit_once('/').map_or(file.path.as_str(), |(_, base)| base);
    let name = builder.blob(base.as_bytes())?;
    let hash = builder.blob(&hash)?;
    let target = builder.blob(&target)?;
    let time = builder.int(plan.time)?;
    let size = builder.int(length)?;
    let acl = write_acl(builder, plan, file)?;
    builder.object([name, acl, size, time, hash, target])
}

fn link_length(kind: &Kind) -> u64 {
    match kind {
        Kind::Symlink(text) => text.len() as u64,
        _ => 0,
    }
}

fn write_acl(builder: &mut Builder, plan: &Plan, entry: &Entry) -> Result<Value, Error> {
    if entry.mode > 0o7777 || entry.owner.name.is_empty() || entry.group.name.is_empty() {
        return Err(Error::Plan { what: format!("{} has a mode beyond 7777, or an owner without name", entry.path) });
    }
    let mode = builder.int(entry.mode.into())?;
    let user = builder.blob(entry.owner.name.as_bytes())?;
    let group = builder.blob(entry.group.name.as_bytes())?;
    let attributes = plan.xattrs.get(&entry.path).map_or(&[][..], |attributes| attributes);
    // As with dependencies: appended in the given order, listed in sorted order.
    let mut attributes = attributes
        .iter()
        .map(|(name, value)| {
            let bytes = [name.as_bytes(), b"\0", value].concat();
            let stored = builder.blob(&bytes)?;
            Ok((bytes, stored))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let attributes: Vec<Value> = attributes.into_iter().map(|(_, stored)| stored).collect();
    let attributes = builder.tagged_list(&attributes)?;
    builder.object([mode, user, group, attributes])
}

/// Files with hard links to them, and their content.
type Linked<'a> = HashMap<&'a str, &'a Content>;

fn linked_files(plan: &Plan) -> Linked<'_> {
    let targets: HashSet<&str> = plan
        .files
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::HardLink(target) => Some(target.as_str()),
            _ => None,
        })
        .collect();
    plan.files
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::File(content) if targets.contains(entry.path.as_str()) => Some((entry.path.as_str(), content)),
            _ => None,
        })
        .collect()
}

fn content_of<'a>(linked: &Linked<'a>, path: &str) -> Result<&'a Content, Error> {
    let missing = || Error::Plan { what: format!("{path} is the target of a hard link, but no file") };
    linked.get(path).copied().ok_or_else(missing)
}

/// Bytes of all files, hard links counted once; at least 1 for a package that is not empty.
fn installed_size(plan: &Plan, tree: &[Directory]) -> u64 {
    let files = tree.iter().flat_map(|directory| &directory.files);
    let bytes: u64 = files
        .map(|file| match &file.kind {
            Kind::File(content) => content.length(),
            _ => 0,
        })
        .sum();
    let does_something = !plan.files.is_empty() || !plan.scripts.is_empty();
    bytes.max(does_something.into())
}
