//! SHA-256: the digest of packages, of both indexes and of every file that is kept.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex::{Hex, unhex};

/// A SHA-256 digest; prints as 64 lower-case hex digits and reads either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDigest {
    /// The text, shortened.
    pub text: String,
}

impl Digest {
    /// The digest of bytes in memory.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Digest(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest and length of everything that `input` yields.
    pub fn of_reader(input: &mut dyn Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::new(io::sink());
        let length = io::copy(input, &mut hasher)?;
        Ok((hasher.finish().1, length))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    /// Reads exactly 64 hex digits. opkg treats anything else as "no checksum"; here it is an error.
    fn from_str(text: &str) -> Result<Self, NoDigest> {
        unhex(text).map(Digest).ok_or_else(|| NoDigest { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a SHA-256 digest of 64 hex digits", self.text)
    }
}

impl std::error::Error for NoDigest {}

/// A writer that passes bytes through and hashes them.
pub struct Hasher<W> {
    inner: W,
    state: Sha256,
}

impl<W: Write> Hasher<W> {
    /// Hashes what is written and hands it to `inner`.
    pub fn new(inner: W) -> Self {
        Hasher { inner, state: Sha256::new() }
    }

    /// The inner writer and the digest of everything that it took.
    pub fn finish(self) -> (W, Digest) {
        (self.inner, Digest(self.state.finalize().into()))
    }
}

impl<W: Write> Write for Hasher<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.state.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that passes bytes through and hashes them.
pub struct HashingReader<R> {
    inner: R,
    state: Sha256,
    length: u64,
}

impl<R: Read> HashingReader<R> {
    /// Hashes what is read from `inner`.
    pub fn new(inner: R) -> Self {
        HashingReader { inner, state: Sha256::new(), length: 0 }
    }

    /// The inner reader, and digest and length of everything that was read.
    pub fn finish(self) -> (R, Digest, u64) {
        (self.inner, Digest(self.state.finalize().into()), self.length)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.state.update(&out[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_hashed() {
        let mut reader = HashingReader::new(&b"some bytes"[..]);
        let mut out = [0; 4];
        reader.read_exact(&mut out).unwrap();
        assert_eq!(out, *b"some");
        let (rest, digest, length) = reader.finish();
        assert_eq!((rest, digest, length), (&b" bytes"[..], Digest::of(b"some"), 4));
    }

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn prints_lower_case_and_reads_either() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.to_uppercase().parse::<Digest>().unwrap(), Digest::of(b""));
        assert_eq!(Digest::of_reader(&mut &b""[..]).unwrap(), (Digest::of(b""), 0));
    }

    #[test]
    fn anything_but_64_hex_digits_is_an_error_and_not_an_absent_checksum() {
        for text in ["", "e3b0", &EMPTY[1..], &format!("{EMPTY}0"), &EMPTY.replace('e', "g"), &EMPTY.replace('e', "é")]
        {
            assert_eq!(text.parse::<Digest>().unwrap_err().text, text, "{text:?}");
        }
    }
}
