//! MD5: a second digest of package files, which opkg checks where an index has it. It proves nothing by itself.

use std::fmt;
use std::io::{self, Read, Write};

use md5::Digest as _;
use model::{Hex, unhex};

/// An MD5 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// The digest of bytes in memory.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Md5(md5::Md5::digest(bytes.as_ref()).into())
    }

    /// The digest of everything that `input` yields.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of_reader(mut input: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        io::copy(&mut input, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// Reads exactly 32 hex digits of either case; opkg checks nothing where there is anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Md5)
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Hashes what is written.
#[derive(Default)]
pub(crate) struct Hasher(md5::Md5);

impl Hasher {
    pub(crate) fn finish(self) -> Md5 {
        Md5(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_md5sum_in_either_case() {
        // printf abc | md5sum
        let text = "900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(Md5::of("abc").to_string(), text);
        assert_eq!(Md5::of_reader(&b"abc"[..]).unwrap(), Md5::of("abc"));
        assert_eq!(Md5::parse(&text.to_uppercase()), Some(Md5::of("abc")));
        for bad in ["", "9001", &text[1..], &format!("{text}0"), &text.replace('d', "g")] {
            assert_eq!(Md5::parse(bad), None, "{bad:?}");
        }
    }
}
