//! Reads untrusted archives, one member at a time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

use super::header::{
    CHECKSUM, GROUP, Header, LINK, LONG_LINK, MAJOR, MINOR, MODE, NAME, PREFIX, SIZE, TIME, TYPE, USER,
};
use super::{BLOCK, LONGEST_NAME, path_problem};
use crate::limits::MOST_PATH_BYTES;
use crate::package::{Content, Device, Entry, Kind, Owner};
use crate::{Error, Limits};

/// Reads an archive in stream order and checks every member before handing it out.
///
/// Refused: paths that leave the root or have two spellings, members below a link, duplicates, hard links to anything
/// but an earlier file, device nodes (unless [`Limits::devices`]), pax and other types unknown to opkg, numbers that
/// are not octal, wrong checksums, cut-off archives and trailing bytes.
pub struct Reader<R> {
    input: R,
    limits: Limits,
    /// Number of members read so far.
    members: usize,
    /// Content and padding of the current member that was not read yet.
    content_left: u64,
    padding_left: u64,
    seen: SeenPaths,
    /// How many more bytes of paths may be kept.
    memory_left: usize,
    done: bool,
}

/// Every path so far, and whether it is a directory. There can be very many, and a router has little memory, so only
/// hashes of the paths are kept; the key is new for each archive, so nobody can make two of them equal.
#[derive(Default)]
struct SeenPaths {
    key: RandomState,
    kinds: HashMap<u64, Seen>,
}

impl SeenPaths {
    fn get(&self, path: &str) -> Option<Seen> {
        self.kinds.get(&self.key.hash_one(path)).copied()
    }

    fn insert(&mut self, path: &str, kind: Seen) -> Option<Seen> {
        self.kinds.insert(self.key.hash_one(path), kind)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Dir,
    File,
    Other,
}

/// A member, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Everything except the content of a file.
    pub entry: Entry,
    /// Length of the content; zero for anything but a file.
    pub length: u64,
    /// Time of last change, in seconds since 1970.
    pub time: u64,
}

impl<R: Read> Reader<R> {
    /// Reads an uncompressed archive.
    pub fn new(input: R, limits: &Limits) -> Self {
        Reader {
            input,
            limits: limits.clone(),
            members: 0,
            content_left: 0,
            padding_left: 0,
            seen: SeenPaths::default(),
            memory_left: MOST_PATH_BYTES,
            done: false,
        }
    }

    /// The next member, or `None` after the end marker. Unread content of the last one is skipped. The root's entry
    /// `./` is checked and skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        let mut long_name = None;
        let mut long_link = None;
        loop {
            if self.done {
                return Ok(None);
            }
            self.skip_rest()?;
            let header = self.read_header()?;
            if header.0.iter().all(|&byte| byte == 0) {
                if long_name.is_some() || long_link.is_some() {
                    return Err(Error::TarLongName);
                }
                self.read_end()?;
                self.done = true;
                return Ok(None);
            }
            self.members += 1;
            if self.members > self.limits.entries {
                return Err(Error::TooManyEntries { limit: self.limits.entries });
            }
            self.check(&header)?;
            match header.0[TYPE] {
                b'L' => self.read_long_name(&header, &mut long_name)?,
                b'K' => self.read_long_name(&header, &mut long_link)?,
                _ => {
                    let name = long_name.take().unwrap_or_else(|| full_name(&header));
                    let link = long_link.take().unwrap_or_else(|| header.text(LINK).to_vec());
                    if let Some(member) = self.member(&header, &name, &link)? {
                        return Ok(Some(member));
                    }
                }
            }
        }
    }

    /// The content of the last member.
    pub fn content(&mut self) -> impl Read {
        Body { reader: self }
    }

    /// The content of the last member in memory; for members whose length was checked.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns the input, after [`Reader::next_member`] returned `None`.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn member(&mut self, header: &Header, name: &[u8], link: &[u8]) -> Result<Option<Member>, Error> {
        let shown = String::from_utf8_lossy(name).into_owned();
        let number = |field: super::header::Field| {
            header.number(field).ok_or_else(|| Error::TarNumber { field: field.name, path: shown.clone() })
        };
        let small = |field| number(field).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        let malformed = |why| Error::TarMalformed { path: shown.clone(), why };
        let (size, time) = (number(SIZE)?, number(TIME)?);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let kind = match header.0[TYPE] {
            b'0' | 0 | b'7' => Kind::File(Content::Bytes([].into())),
            b'1' => Kind::HardLink(text(link).map_err(|_| malformed("its link target is not UTF-8"))?),
            b'2' => Kind::Symlink(text(link).map_err(|_| malformed("its link target is not UTF-8"))?),
            b'3' => Kind::Device(Device::Character { major: small(MAJOR)?, minor: small(MINOR)? }),
            b'4' => Kind::Device(Device::Block { major: small(MAJOR)?, minor: small(MINOR)? }),
            b'5' => Kind::Dir,
            b'6' => Kind::Device(Device::Fifo),
            other => return Err(Error::TarKind { path: shown, kind: char::from(other) }),
        };
        if size > 0 && !matches!(kind, Kind::File(_)) {
            return Err(malformed("only regular files have content"));
        }
        let name = text(name).map_err(|_| Error::TarPath { path: shown.clone(), why: "it is not UTF-8" })?;
        if kind == Kind::Dir && matches!(name.as_str(), "." | "./") {
            return Ok(None);
        }
        let path = self.check_path(&name, &kind)?;
        let kind = self.check_kind(&path, kind)?;
        self.remember(&path, &kind)?;
        if size > self.limits.unpacked {
            return Err(Error::TarTruncated { place: format!("{path}, which claims {size} bytes") });
        }
        self.content_left = size;
        self.padding_left = size.next_multiple_of(BLOCK as u64) - size;
        let owner = |id| Owner { id, name: String::new() };
        let mode = small(MODE)? & 0o7777;
        let entry = Entry { path, mode, owner: owner(small(USER)?), group: owner(small(GROUP)?), kind };
        Ok(Some(Member { entry, length: size, time }))
    }

    /// The path without the leading `./` and, for directories, without the trailing slash.
    fn check_path(&self, name: &str, kind: &Kind) -> Result<String, Error> {
        let path = name.strip_prefix("./").unwrap_or(name);
        let path = if *kind == Kind::Dir { path.strip_suffix('/').unwrap_or(path) } else { path };
        match path_problem(path) {
            Some(why) => Err(Error::TarPath { path: name.to_owned(), why }),
            None => Ok(path.to_owned()),
        }
    }

    fn check_kind(&self, path: &str, kind: Kind) -> Result<Kind, Error> {
        match kind {
            Kind::Device(_) if !self.limits.devices => Err(Error::TarDevice { path: path.to_owned() }),
            Kind::Symlink(target) if target.is_empty() => {
                Err(Error::TarMalformed { path: path.to_owned(), why: "its link target is empty" })
            }
            Kind::HardLink(target) => {
                let inside = target.strip_prefix("./").unwrap_or(&target);
                if self.seen.get(inside) == Some(Seen::File) {
                    return Ok(Kind::HardLink(inside.to_owned()));
                }
                Err(Error::TarHardLink { path: path.to_owned(), target })
            }
            other => Ok(other),
        }
    }

    /// Refuses duplicates and anything below a link or file.
    fn remember(&mut self, path: &str, kind: &Kind) -> Result<(), Error> {
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.seen.get(parent) {
                Some(Seen::Dir) => {}
                Some(_) => return Err(Error::TarThroughLink { path: path.to_owned(), link: parent.to_owned() }),
                // A link of this name must not come later either.
                None => {
                    self.take_memory(parent.len())?;
                    self.seen.insert(parent, Seen::Dir);
                }
            }
        }
        self.take_memory(path.len())?;
        let what = match kind {
            Kind::Dir => Seen::Dir,
            Kind::File(_) | Kind::HardLink(_) => Seen::File,
            Kind::Symlink(_) | Kind::Device(_) => Seen::Other,
        };
        match self.seen.insert(path, what) {
            // A directory may come after its contents, and a repeated directory does no harm.
            Some(Seen::Dir) if what == Seen::Dir => Ok(()),
            Some(_) => Err(Error::TarDuplicate { path: path.to_owned() }),
            None => Ok(()),
        }
    }

    /// Long paths compress well: without a limit, a small file could fill the memory with names.
    fn take_memory(&mut self, bytes: usize) -> Result<(), Error> {
        self.memory_left =
            self.memory_left.checked_sub(bytes).ok_or(Error::TooManyEntries { limit: self.limits.entries })?;
        Ok(())
    }

    fn check(&self, header: &Header) -> Result<(), Error> {
        if header.number(CHECKSUM) != Some(header.checksum()) || !header.is_tar() {
            return Err(Error::TarChecksum { member: self.members });
        }
        Ok(())
    }

    fn read_long_name(&mut self, header: &Header, name: &mut Option<Vec<u8>>) -> Result<(), Error> {
        let length = header.number(SIZE).and_then(|size| usize::try_from(size).ok());
        let length = length.filter(|&length| (1..=LONGEST_NAME).contains(&length)).ok_or(Error::TarLongName)?;
        if name.is_some() || header.text(NAME) != LONG_LINK {
            return Err(Error::TarLongName);
        }
        let mut bytes = vec![0; length.next_multiple_of(BLOCK)];
        self.read_exact(&mut bytes, "a long name")?;
        bytes.truncate(length);
        // GNU tar includes the NUL that ends the name, apk does not.
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(Error::TarLongName);
        }
        *name = Some(bytes);
        Ok(())
    }

    fn read_header(&mut self) -> Result<Header, Error> {
        let mut header = Header([0; BLOCK]);
        self.read_exact(&mut header.0, "a header or before the end marker")?;
        Ok(header)
    }

    /// The second zero block, and zeros up to the end of the input.
    fn read_end(&mut self) -> Result<(), Error> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block, "its end marker")?;
        let mut count = BLOCK;
        while count > 0 {
            if block[..count].iter().any(|&byte| byte != 0) {
                return Err(Error::TarTrailing);
            }
            count = self.input.read(&mut block)?;
        }
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        let count = std::mem::take(&mut self.content_left) + std::mem::take(&mut self.padding_left);
        if io::copy(&mut self.input.by_ref().take(count), &mut io::sink())? != count {
            return Err(Error::TarTruncated { place: format!("the content of member {}", self.members) });
        }
        Ok(())
    }

    fn read_exact(&mut self, bytes: &mut [u8], place: &str) -> Result<(), Error> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::TarTruncated { place: place.to_owned() },
            _ => error.into(),
        })
    }
}

/// Joins the two fields in which POSIX archives store a long name.
fn full_name(header: &Header) -> Vec<u8> {
    let (prefix, name) = (header.text(PREFIX), header.text(NAME));
    if header.is_posix() && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

/// The content of one member; an archive that ends within it is an error, not an end of file.
struct Body<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.reader.content_left).unwrap_or(usize::MAX);
        let wanted = out.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.reader.input.read(&mut out[..wanted])?;
        if count == 0 {
            let place = format!("the content of member {}", self.reader.members);
            return Err(Error::TarTruncated { place }.into());
        }
        self.reader.content_left -= count as u64;
        Ok(count)
    }
}
