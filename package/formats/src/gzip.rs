//! Gzip with a fixed header, and a reader that trusts nothing.
//!
//! OpenWrt compresses with `gzip -n`: no name, no time (RFC 1952). Real opkg ignores the checksum, the length and a
//! cut-off end; [`Reader`] checks them all, and refuses bytes after the stream.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::Crc;

use crate::Error;
use crate::deflate::Encoder;
use crate::inflate::Inflate;

/// The compression level that the header claims; the encoder itself has only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `gzip -n`, used inside packages.
    Default,
    /// `gzip -9n`, used for `Packages.gz`.
    Best,
}

/// Compresses with OpenWrt's header: no name, no time, written on Unix.
pub struct Writer<W: Write> {
    deflate: Encoder<W>,
    crc: Crc,
}

impl<W: Write> Writer<W> {
    /// Writes the header to `out`.
    pub fn new(mut out: W, level: Level) -> io::Result<Self> {
        let extra_flags = match level {
            Level::Default => 0,
            Level::Best => 2,
        };
        const UNIX: u8 = 3;
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra_flags, UNIX])?;
        Ok(Writer { deflate: Encoder::new(out), crc: Crc::new() })
    }

    /// Writes what is pending and the checksum; returns the inner writer.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.deflate.finish()?;
        out.write_all(&self.crc.sum().to_le_bytes())?;
        out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(out)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.deflate.write(bytes)?;
        self.crc.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.deflate.flush()
    }
}

/// Compresses bytes in memory.
pub fn compress(bytes: &[u8], level: Level) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new(Vec::new(), level)?;
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

/// Decompresses exactly one gzip member, to at most `limit` bytes.
pub fn decompress(input: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    Reader::new(input, limit)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Decompresses one gzip member, which must end the input.
///
/// Errors travel as [`io::Error`] and become [`Error`] again by `From`. What was read is good only once `read` has
/// returned 0.
pub struct Reader<R: Read> {
    inflate: Inflate<BufReader<R>>,
    crc: Crc,
    limit: u64,
    total: u64,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header; `limit` bounds the decompressed bytes.
    pub fn new(input: R, limit: u64) -> Result<Self, Error> {
        let mut input = BufReader::with_capacity(16 << 10, input);
        read_header(&mut input)?;
        let inflate = Inflate::new(input, || Error::GzipTruncated);
        Ok(Reader { inflate, crc: Crc::new(), limit, total: 0, done: false })
    }

    /// Checks CRC and length, and that nothing follows.
    fn end(&mut self) -> Result<(), Error> {
        let input = self.inflate.get_mut();
        let mut trailer = [0; 8];
        input.read_exact(&mut trailer).map_err(truncated)?;
        let expected = [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat();
        if trailer[..] != expected {
            return Err(Error::GzipChecksum);
        }
        if !input.fill_buf()?.is_empty() {
            return Err(Error::GzipTrailing);
        }
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.done || out.is_empty() {
            return Ok(0);
        }
        let count = self.inflate.read(out)?;
        if count == 0 {
            self.end()?;
            self.done = true;
            return Ok(0);
        }
        self.crc.update(&out[..count]);
        self.total += count as u64;
        if self.total > self.limit {
            return Err(Error::GzipTooLarge { limit: self.limit }.into());
        }
        Ok(count)
    }
}

/// Reads the fixed header and skips the optional fields, all bounded.
fn read_header(input: &mut impl BufRead) -> Result<(), Error> {
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0b1110_0000;
    const LONGEST_TEXT: u64 = 4096;

    let start = input.fill_buf()?;
    if !start.starts_with(&[0x1f, 0x8b]) {
        return Err(Error::NotGzip { found: looks_like(start) });
    }
    let mut header = [0; 10];
    input.read_exact(&mut header).map_err(truncated)?;
    let (method, flags) = (header[2], header[3]);
    if method != 8 || flags & RESERVED != 0 {
        return Err(Error::GzipHeader);
    }
    if flags & EXTRA != 0 {
        let mut length = [0; 2];
        input.read_exact(&mut length).map_err(truncated)?;
        skip(input, u16::from_le_bytes(length).into())?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let mut text = Vec::new();
            input.take(LONGEST_TEXT).read_until(0, &mut text)?;
            if text.last() != Some(&0) {
                return Err(if text.len() as u64 == LONGEST_TEXT { Error::GzipHeader } else { Error::GzipTruncated });
            }
        }
    }
    if flags & HEADER_CRC != 0 {
        skip(input, 2)?;
    }
    Ok(())
}

fn skip(input: &mut impl BufRead, count: u64) -> Result<(), Error> {
    if io::copy(&mut input.take(count), &mut io::sink())? != count {
        return Err(Error::GzipTruncated);
    }
    Ok(())
}

fn truncated(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { Error::GzipTruncated } else { error.into() }
}

/// Names what is often mistaken for a package.
fn looks_like(start: &[u8]) -> &'static str {
    match start {
        [] => "an empty file",
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => "an ar archive, as Debian packages are",
        [b'A', b'D', b'B', ..] => "an apk package or index",
        [b'<', ..] => "probably a web page, perhaps an error message of the server",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz data",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd data",
        _ if start.get(257..262) == Some(b"ustar") => "an uncompressed tar archive",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 20;

    fn refused(bytes: &[u8]) -> &'static str {
        decompress(bytes, LIMIT).unwrap_err().id()
    }

    #[test]
    fn the_header_has_no_name_and_no_time() {
        assert_eq!(compress(b"", Level::Default).unwrap()[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(compress(b"", Level::Best).unwrap()[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3]);
    }

    #[test]
    fn damage_is_told_apart() {
        let good = compress(&b"hello ".repeat(100), Level::Default).unwrap();
        assert_eq!(refused(b""), "GZ001");
        assert_eq!(refused(b"!<arch>\n"), "GZ001");
        for length in 2..good.len() {
            assert_eq!(refused(&good[..length]), "GZ002", "cut at {length}");
        }
        let mut crc = good.clone();
        let at = crc.len() - 8;
        crc[at] ^= 1;
        assert_eq!(refused(&crc), "GZ004");
        assert_eq!(refused(&[&good[..], b"x"].concat()), "GZ005");
        assert_eq!(refused(&[&good[..], &good[..]].concat()), "GZ005");
        let mut header = good.clone();
        header[3] = 0x80;
        assert_eq!(refused(&header), "GZ007");
        let mut stream = good.clone();
        stream[10] = 0xff;
        assert_eq!(refused(&stream), "GZ003");
    }

    #[test]
    fn optional_header_fields_are_skipped() {
        let plain = compress(b"text", Level::Default).unwrap();
        let mut bytes = plain[..10].to_vec();
        bytes[3] = 0b0001_1110;
        bytes.extend(b"\x03\x00abcname\0comment\0\x00\x00");
        bytes.extend(&plain[10..]);
        assert_eq!(decompress(&bytes[..], LIMIT).unwrap(), b"text");
        bytes.truncate(20);
        assert_eq!(refused(&bytes), "GZ002");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut writer = Writer::new(Vec::new(), Level::Best).unwrap();
        io::copy(&mut io::repeat(0).take(64 << 20), &mut writer).unwrap();
        let bomb = writer.finish().unwrap();
        assert!(bomb.len() < 100_000);
        let mut reader = Reader::new(&bomb[..], LIMIT).unwrap();
        let mut out = Vec::new();
        let error = Error::from(reader.read_to_end(&mut out).unwrap_err());
        assert_eq!(error.id(), "GZ006");
        assert!(out.len() as u64 <= LIMIT);
    }

    proptest! {
        #[test]
        fn round_trip(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            let packed = compress(&bytes, Level::Default).unwrap();
            prop_assert_eq!(decompress(&packed[..], LIMIT).unwrap(), bytes);
        }

        #[test]
        fn a_flipped_bit_never_changes_what_comes_out(bytes in prop::collection::vec(any::<u8>(), 1..500), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut packed = compress(&bytes, Level::Default).unwrap();
            let at = at.index(packed.len());
            packed[at] ^= 1 << bit;
            if let Ok(out) = decompress(&packed[..], LIMIT) {
                prop_assert_eq!(out, bytes);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decompress(&bytes[..], LIMIT);
            let _ = decompress(&[&[0x1f, 0x8b, 8][..], &bytes].concat()[..], LIMIT);
        }
    }
}
