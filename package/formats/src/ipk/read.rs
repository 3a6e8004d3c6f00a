//! Reads an untrusted ipk: in one pass, bounded, everything checked.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::{CONTROL, DATA, FORMAT, FORMAT_VERSION};
use crate::control::Control;
use crate::package::{Content, Entry, Kind};
use crate::tar::{self, Member, path_problem};
use crate::{Error, Limits, gzip};

/// The content of `control.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The parsed control file.
    pub control: Control,
    /// Absolute paths of the settings that belong to the user.
    pub conffiles: Vec<String>,
    /// Lines of that list that are not a path, with the reason; always empty unless [`Limits::odd_conffiles`] allows
    /// them.
    pub odd_conffiles: Vec<(String, &'static str)>,
    /// Length of the payload archive as stored, compressed.
    pub data_length: u64,
    /// Every file by name, including `control` and the scripts, as opkg stores them in its `info` directory.
    pub files: BTreeMap<String, ControlFile>,
}

/// One file of `control.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Permission bits.
    pub mode: u32,
    /// Content of the file.
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
    /// Payload in stored order.
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

/// Checks a whole package and keeps only its control data.
pub fn inspect(input: impl Read, limits: &Limits) -> Result<Metadata, Error> {
    visit(input, limits, &mut |_, _| Ok(()))
}

/// Reads a package in one pass and hands each member of the payload to `each`, with its content.
///
/// The payload comes before the control data, and its checksum at the very end: what `each` got is good only once this
/// returns `Ok`. To write nothing of a bad package, [`inspect`] it first.
pub fn visit(
    mut input: impl Read,
    limits: &Limits,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    walk(&mut input, limits, each)
}

/// The body of [`visit`], compiled once, here, and not for each kind of input in crates that may be less optimised.
fn walk(
    input: &mut dyn Read,
    limits: &Limits,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    let mut outer = tar::Reader::new(gzip::Reader::new(input, limits.unpacked)?, limits);
    let (mut format, mut data, mut metadata) = (false, None, None);
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
                data = Some(member.length);
            }
            CONTROL => metadata = Some(read_control(outer.content(), limits)?),
            _ => return Err(refuse("only debian-binary, data.tar.gz and control.tar.gz belong there")),
        }
    }
    let data_length = data.ok_or(Error::IpkMissing { member: DATA })?;
    let metadata: Metadata = metadata.ok_or(Error::IpkMissing { member: CONTROL })?;
    Ok(Metadata { data_length, ..metadata })
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
    /// All control files together may have this many times the limit of one.
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
    let (mut conffiles, mut odd_conffiles) = (Vec::new(), Vec::new());
    for line in files.get("conffiles").map(|file| read_conffiles(&file.bytes)).unwrap_or_default() {
        match line {
            Ok(path) => conffiles.push(path),
            Err(odd) if limits.odd_conffiles => odd_conffiles.push(odd),
            Err((path, why)) => return Err(Error::IpkConffile { path, why }),
        }
    }
    Ok(Metadata { control, conffiles, odd_conffiles, data_length: 0, files })
}

/// The paths in `conffiles`; for a line that is not one, the line and the reason.
fn read_conffiles(bytes: &[u8]) -> Vec<Result<String, (String, &'static str)>> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return vec![Err((String::new(), "the list is not UTF-8"))];
    };
    let check = |line: &str| {
        let problem = match line.strip_prefix('/') {
            None => Some("it is not absolute"),
            Some(path) => path_problem(path.strip_suffix('/').unwrap_or(path)),
        };
        problem.map_or_else(|| Ok(line.to_owned()), |why| Err((line.to_owned(), why)))
    };
    text.lines().filter(|line| !line.is_empty()).map(check).collect()
}
