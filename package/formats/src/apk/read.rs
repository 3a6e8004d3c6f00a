//! Reads an untrusted package file: signature first, then metadata, then the files.

use std::io::{self, Read};

use model::sha256::{Digest, HashingReader};

use super::members::{Member, Members};
use super::metadata::Metadata;
use crate::adb::{Adb, BlockReader};
use crate::package::{Content, Kind};
use crate::{Error, Limits, ec};

/// Reads a package into memory, if one of the keys signed it.
///
/// Each member comes with its content.
pub fn read(
    mut input: impl Read,
    keys: &[ec::PublicKey],
    limits: &Limits,
) -> Result<(Metadata, Vec<Member>, ec::KeyId), Error> {
    let (adb, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    let key = adb.verify(keys)?;
    let metadata = Metadata::read(adb, limits)?;
    let mut contents = Vec::new();
    files(blocks, &metadata.members, &mut |_, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        contents.push(Content::from(bytes));
        Ok(())
    })?;
    let mut contents = contents.into_iter();
    let mut members: Vec<Member> = metadata.members.iter().collect();
    for member in members.iter_mut().filter(|member| member.has_data()) {
        if let (Kind::File(slot), Some(content)) = (&mut member.entry.kind, contents.next()) {
            *slot = content;
        }
    }
    Ok((metadata, members, key))
}

/// Checks a whole package and keeps only its metadata. `trusted` checks the signature or digest; before that, only the
/// container is parsed.
pub fn inspect(
    input: impl Read,
    limits: &Limits,
    trusted: impl FnOnce(&Adb) -> Result<(), Error>,
) -> Result<Metadata, Error> {
    visit(input, limits, trusted, &mut |_, _| Ok(()))
}

/// Reads a package in one pass and hands each file that has content to `each`.
///
/// `trusted` is called first, to check [`Adb::verify`] or [`Adb::digest`]. A file's digest is checked after its content
/// was handed out, so what `each` got is good only once this returns `Ok`. Directories, links and empty files are only
/// in the metadata.
pub fn visit(
    mut input: impl Read,
    limits: &Limits,
    trusted: impl FnOnce(&Adb) -> Result<(), Error>,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    // As a trait object, so that the rest is compiled once, here, and not for each kind of input in crates that may be
    // less optimised.
    let (adb, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    trusted(&adb)?;
    let metadata = Metadata::read(adb, limits)?;
    files(blocks, &metadata.members, each)?;
    Ok(metadata)
}

/// Reads the files of a package again whose metadata is known from [`inspect`] or [`visit`], and hands each to `each`,
/// as [`visit`] does.
pub fn revisit(
    mut input: impl Read,
    limits: &Limits,
    metadata: &Metadata,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let (_, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    files(blocks, &metadata.members, each)
}

/// Checks a whole package, whoever signed it; returns its metadata and their digest.
pub(super) fn digest(input: &mut dyn Read, limits: &Limits) -> Result<(Digest, Metadata), Error> {
    let (adb, blocks) = Adb::open(input, limits)?;
    let digest = adb.digest();
    let metadata = Metadata::read(adb, limits)?;
    files(blocks, &metadata.members, &mut |_, _| Ok(()))?;
    Ok((digest, metadata))
}

/// One block for each file with content, in the order of the metadata, and nothing else.
fn files<R: Read>(
    mut blocks: BlockReader<R>,
    members: &Members,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    for member in members {
        if !member.has_data() {
            check_empty(&member)?;
            continue;
        }
        let data = blocks.next_data()?.ok_or(Error::ApkData { why: "a file is missing" })?;
        if (data.directory, data.file) != member.numbers {
            return Err(Error::ApkData { why: "it is out of order, or belongs to no file" });
        }
        if data.length != member.length {
            return Err(Error::ApkData { why: "a file has another length than the metadata says" });
        }
        let mut content = HashingReader::new(blocks.content(data.length));
        each(&member, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        if Some(content.finish().1) != member.sha256 {
            return Err(Error::ApkContent { path: member.entry.path });
        }
    }
    match blocks.next_data()? {
        None => Ok(()),
        Some(_) => Err(Error::ApkData { why: "there is more than the metadata lists" }),
    }
}

/// An empty file has no data block, but still a digest.
fn check_empty(member: &Member) -> Result<(), Error> {
    let wrong = matches!(member.entry.kind, Kind::File(_)) && member.sha256 != Some(Digest::of(b""));
    if wrong { Err(Error::ApkContent { path: member.entry.path.clone() }) } else { Ok(()) }
}
