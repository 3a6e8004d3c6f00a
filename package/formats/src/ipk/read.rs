//! Reads an ipk from unknown hands: one pass, bounded, everything checked.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::{CONTROL, DATA, FORMAT, FORMAT_VERSION};
use crate::control::Control;
use crate::package::{Content, Entry, Kind};
use crate::tar::{self, Member, path_problem};
use crate::{Error, Limits, gzip};

/// What `control.tar.gz` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The parsed control file.
    pub control: Control,
    /// Absolute paths of the owner's settings.
    pub conffiles: Vec<String>,
    /// Every file by its name, `control` and the scripts included, as opkg stores them in its
    /// `info` directory.
    pub files: BTreeMap<String, ControlFile>,
}

/// One file of `control.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

impl Metadata {
    /// A maintainer script or other control file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|file| file.bytes.as_slice())
    }
}

/// A package in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipk {
    /// Control data.
    pub metadata: Metadata,
    /// Payload in the order it was stored.
    pub entries: Vec<Entry>,
}

/// Reads a whole package into memory.
pub fn read(input: impl Read, limits: &Limits) -> Result<Ipk, Error> {
    let mut entries = Vec::new();
    let metadata = visit(input, limits, &mut |member, content| {
        let mut entry = member.entry.clone();
        if let Kind::File(bytes) = &mut entry.kind {
            let mut buffer = Vec::new();
            content.read_to_end(&mut buffer)?;
            *bytes = Content::from(buffer);
        }
        entries.push(entry);
        Ok(())
    })?;
    Ok(Ipk { metadata, entries })
}

/// Checks a whole package and keeps its control data only.
pub fn inspect(input: impl Read, limits: &Limits) -> Result<Metadata, Error> {
    visit(input, limits, &mut |_, _| Ok(()))
}

/// Reads a package in one pass and hands each member of the payload to `each`, with its content.
///
/// The payload comes before the control data, and its checksum at the very end: what `each` got is
/// good only once this returns `Ok`. To write nothing of a bad package, [`inspect`] it first.
pub fn visit(
    mut input: impl Read,
    limits: &Limits,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    walk(&mut input, limits, each)
}

/// All of [`visit`], compiled once, here, and not again for each kind of input in crates that may be less optimised.
fn walk(
    input: &mut dyn Read,
    limits: &Limits,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    let mut outer = tar::Reader::new(gzip::Reader::new(input, limits.unpacked)?, limits);
    let (mut format, mut data, mut metadata) = (false, false, None);
    while let Some(member) = outer.next_member()? {
        let refuse = |why| Error::IpkMember { member: member.entry.path.clone(), why };
        if !matches!(member.entry.kind, Kind::File(_)) {
            return Err(refuse("it is not a regular file"));
        }
        match member.entry.path.as_str() {
            FORMAT => {
                if member.length != FORMAT_VERSION.len() as u64 || outer.bytes()? != FORMAT_VERSION {
                    return Err(Error::IpkVersion);
                }
                format = true;
            }
            _ if !format => return Err(refuse("debian-binary must come first")),
            DATA => {
                read_data(outer.content(), limits, each)?;
                data = true;
            }
            CONTROL => metadata = Some(read_control(outer.content(), limits)?),
            _ => return Err(refuse("only debian-binary, data.tar.gz and control.tar.gz belong there")),
        }
    }
    if !data {
        return Err(Error::IpkMissing { member: DATA });
    }
    metadata.ok_or(Error::IpkMissing { member: CONTROL })
}

fn read_data(
    input: impl Read,
    limits: &Limits,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let mut archive = tar::Reader::new(gzip::Reader::new(input, limits.unpacked)?, limits);
    while let Some(member) = archive.next_member()? {
        each(&member, &mut archive.content())?;
    }
    Ok(())
}

fn read_control(input: impl Read, limits: &Limits) -> Result<Metadata, Error> {
    /// A package has a handful of scripts; all together may take this many times one file's limit.
    const FILES: u64 = 16;
    let mut archive = tar::Reader::new(gzip::Reader::new(input, limits.unpacked)?, limits);
    let mut left = limits.control.saturating_mul(FILES);
    let mut files = BTreeMap::new();
    while let Some(member) = archive.next_member()? {
        let name = member.entry.path;
        if !matches!(member.entry.kind, Kind::File(_)) || name.contains('/') {
            return Err(Error::IpkMember { member: name, why: "control data is regular files without directories" });
        }
        if member.length > limits.control.min(left) {
            return Err(Error::IpkControlTooLarge { name, limit: limits.control });
        }
        left -= member.length;
        files.insert(name, ControlFile { mode: member.entry.mode, bytes: archive.bytes()? });
    }
    let control = files.get("control").ok_or(Error::IpkMissing { member: "control" })?;
    let control = Control::parse(&control.bytes)?;
    let conffiles = files.get("conffiles").map_or(Ok(Vec::new()), |file| read_conffiles(&file.bytes))?;
    Ok(Metadata { control, conffiles, files })
}

fn read_conffiles(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::IpkConffile { path: String::new(), why: "the list is not UTF-8" })?;
    let check = |line: &str| match line.strip_prefix('/') {
        None => Err(Error::IpkConffile { path: line.to_owned(), why: "it is not absolute" }),
        Some(path) => match path_problem(path) {
            Some(why) => Err(Error::IpkConffile { path: line.to_owned(), why }),
            None => Ok(line.to_owned()),
        },
    };
    text.lines().filter(|line| !line.is_empty()).map(check).collect()
}
