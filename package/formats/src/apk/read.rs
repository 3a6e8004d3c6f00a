//! Reads a package file from unknown hands: signature first, then metadata, then the files.

use std::io::{self, Read};

use model::sha256::{Digest, HashingReader};

use super::metadata::{Member, Metadata};
use crate::adb::{Adb, BlockReader};
use crate::package::{Content, Kind};
use crate::{Error, Limits, ec};

/// Reads a package into memory, if one of the keys has signed it.
///
/// The content of every file is in its member's entry.
pub fn read(mut input: impl Read, keys: &[ec::PublicKey], limits: &Limits) -> Result<(Metadata, ec::KeyId), Error> {
    let (adb, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    let key = adb.verify(keys)?;
    let mut metadata = Metadata::read(&adb, limits)?;
    let mut contents = Vec::new();
    files(blocks, &metadata.members, &mut |_, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        contents.push(Content::from(bytes));
        Ok(())
    })?;
    let mut contents = contents.into_iter();
    for member in metadata.members.iter_mut().filter(|member| member.has_data()) {
        if let (Kind::File(slot), Some(content)) = (&mut member.entry.kind, contents.next()) {
            *slot = content;
        }
    }
    Ok((metadata, key))
}

/// Checks a whole package and keeps its metadata only. `trusted` decides on signature or digest; nothing
/// but the container is looked at before it has.
pub fn inspect(
    input: impl Read,
    limits: &Limits,
    trusted: impl FnOnce(&Adb) -> Result<(), Error>,
) -> Result<Metadata, Error> {
    visit(input, limits, trusted, &mut |_, _| Ok(()))
}

/// Reads a package in one pass and hands each file that has bytes to `each`.
///
/// `trusted` is asked first, with [`Adb::verify`] or [`Adb::digest`] to go by. The digest of each file is
/// checked after its bytes were handed out, so what `each` got is good only once this returns `Ok`.
/// Directories, links and empty files are in the metadata only.
pub fn visit(
    mut input: impl Read,
    limits: &Limits,
    trusted: impl FnOnce(&Adb) -> Result<(), Error>,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Metadata, Error> {
    // As a trait object, so that what follows is compiled once, here, and not again for each kind of input in
    // crates that may be less optimised.
    let (adb, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    trusted(&adb)?;
    let metadata = Metadata::read(&adb, limits)?;
    files(blocks, &metadata.members, each)?;
    Ok(metadata)
}

/// Reads the files of a package once more whose metadata is known from [`inspect`] or [`visit`], and hands each that has
/// bytes to `each`, as [`visit`] does.
pub fn revisit(
    mut input: impl Read,
    limits: &Limits,
    metadata: &Metadata,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let (_, blocks) = Adb::open(&mut input as &mut dyn Read, limits)?;
    files(blocks, &metadata.members, each)
}

/// Checks a whole package, whoever made it, and keeps its metadata and their digest.
pub(super) fn digest(input: &mut dyn Read, limits: &Limits) -> Result<(Digest, Metadata), Error> {
    let (adb, blocks) = Adb::open(input, limits)?;
    let metadata = Metadata::read(&adb, limits)?;
    files(blocks, &metadata.members, &mut |_, _| Ok(()))?;
    Ok((adb.digest(), metadata))
}

/// One block for each file that has bytes, in the order of the metadata, and nothing else.
fn files<R: Read>(
    mut blocks: BlockReader<R>,
    members: &[Member],
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    for member in members {
        if !member.has_data() {
            check_empty(member)?;
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
        each(member, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        if Some(content.finish().1) != member.sha256 {
            return Err(Error::ApkContent { path: member.entry.path.clone() });
        }
    }
    match blocks.next_data()? {
        None => Ok(()),
        Some(_) => Err(Error::ApkData { why: "there is more than the metadata lists" }),
    }
}

/// An empty file has no data, but a digest all the same.
fn check_empty(member: &Member) -> Result<(), Error> {
    let wrong = matches!(member.entry.kind, Kind::File(_)) && member.sha256 != Some(Digest::of(b""));
    if wrong { Err(Error::ApkContent { path: member.entry.path.clone() }) } else { Ok(()) }
}
