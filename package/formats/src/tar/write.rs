//! Writes archives as GNU tar does with OpenWrt's options.

use std::io::{self, Read, Write};

use super::header::{GROUP, Header, LINK, LONG_LINK, MAJOR, MINOR, MODE, NAME, SIZE, TIME, USER};
use super::{BLOCK, LONGEST_NAME, RECORD};
use crate::Error;
use crate::package::{Device, Entry, Kind};

/// Writes members in the given order; [`Writer::finish`] ends the archive.
pub struct Writer<W: Write> {
    out: W,
    time: u64,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// An archive in which all members have the same time, in seconds since 1970.
    pub fn new(out: W, time: u64) -> Self {
        Writer { out, time, written: 0 }
    }

    /// Writes the entry `./` with which inner archives start.
    pub fn root(&mut self) -> Result<(), Error> {
        let mut header = Header::new(b'5');
        header.put(NAME, b"./");
        self.header(header, "./", 0o755, 0, 0, 0)
    }

    /// Writes one entry as `./path`.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let cannot = |why| Error::TarCannotStore { path: entry.path.clone(), why };
        if let Some(why) = super::path_problem(&entry.path) {
            return Err(cannot(why));
        }
        let slash = if entry.kind == Kind::Dir { "/" } else { "" };
        let name = format!("./{}{slash}", entry.path);
        let (kind, link) = match &entry.kind {
            Kind::File(_) => (b'0', None),
            Kind::HardLink(target) => (b'1', Some(format!("./{target}"))),
            Kind::Symlink(target) => (b'2', Some(target.clone())),
            Kind::Device(Device::Character { .. }) => (b'3', None),
            Kind::Device(Device::Block { .. }) => (b'4', None),
            Kind::Dir => (b'5', None),
            Kind::Device(Device::Fifo) => (b'6', None),
        };
        if let Some(link) = &link {
            if link.is_empty() || link.len() >= LONGEST_NAME || link.contains('\0') {
                return Err(cannot("its link target is empty, too long or contains NUL"));
            }
            self.long_name(b'K', link)?;
        }
        self.long_name(b'L', &name)?;
        let mut header = Header::new(kind);
        header.put(NAME, name.as_bytes());
        header.put(LINK, link.as_deref().unwrap_or_default().as_bytes());
        if let Kind::Device(Device::Character { major, minor } | Device::Block { major, minor }) = entry.kind {
            header.put_number(MAJOR, major.into()).ok_or_else(|| cannot("its device number is too large"))?;
            header.put_number(MINOR, minor.into()).ok_or_else(|| cannot("its device number is too large"))?;
        }
        let content = match &entry.kind {
            Kind::File(content) => Some(content),
            _ => None,
        };
        let length = content.map_or(0, |content| content.length());
        self.header(header, &entry.path, entry.mode, entry.owner.id, entry.group.id, length)?;
        match content {
            Some(content) => self.content(&entry.path, &mut *content.open()?, length),
            None => Ok(()),
        }
    }

    /// Writes a file owned by root whose bytes come from a reader, which must yield exactly `length`.
    pub fn stream(&mut self, path: &str, mode: u32, length: u64, content: &mut dyn Read) -> Result<(), Error> {
        let mut header = Header::new(b'0');
        header.put(NAME, format!("./{path}").as_bytes());
        self.header(header, path, mode, 0, 0, length)?;
        self.content(path, content, length)
    }

    /// Writes two zero blocks and pads to a full record; returns the inner writer and the archive's length.
    pub fn finish(mut self) -> Result<(W, u64), Error> {
        let end = (self.written + 2 * BLOCK as u64).next_multiple_of(RECORD);
        self.zeros(end - self.written)?;
        Ok((self.out, end))
    }

    fn header(
        &mut self,
        mut header: Header,
        path: &str,
        mode: u32,
        user: u32,
        group: u32,
        length: u64,
    ) -> Result<(), Error> {
        if mode > 0o7777 {
            return Err(Error::TarCannotStore { path: path.into(), why: "its mode has bits beyond 7777" });
        }
        for (field, value) in
            [(MODE, mode.into()), (USER, user.into()), (GROUP, group.into()), (SIZE, length), (TIME, self.time)]
        {
            header.put_number(field, value).ok_or_else(|| Error::TarCannotStore {
                path: path.into(),
                why: "an id, its size or time is too large",
            })?;
        }
        header.seal();
        self.put(&header.0)
    }

    fn content(&mut self, path: &str, content: &mut dyn Read, length: u64) -> Result<(), Error> {
        let copied = io::copy(&mut content.take(length), &mut self.out)?;
        let more = copied == length && content.read(&mut [0])? != 0;
        if copied != length || more {
            return Err(Error::TarCannotStore {
                path: path.into(),
                why: "its source does not have the promised length",
            });
        }
        self.written += length;
        self.zeros(length.next_multiple_of(BLOCK as u64) - length)
    }

    /// Writes GNU's pseudo member for a name that does not fit into 100 bytes.
    fn long_name(&mut self, kind: u8, name: &str) -> Result<(), Error> {
        if name.len() <= 100 {
            return Ok(());
        }
        let mut header = Header::new(kind);
        header.put(NAME, LONG_LINK);
        let time = std::mem::take(&mut self.time); // the pseudo member has time 0
        self.header(header, name, 0o644, 0, 0, name.len() as u64 + 1)?;
        self.time = time;
        let terminated = [name.as_bytes(), b"\0"].concat();
        self.content(name, &mut &terminated[..], terminated.len() as u64)
    }

    fn zeros(&mut self, count: u64) -> Result<(), Error> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out)?;
        self.written += count;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
