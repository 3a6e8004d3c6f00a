//! One 512-byte tar header: offsets, octal numbers and the checksum.

use super::BLOCK;

/// Name of the pseudo member that holds a long name.
pub(super) const LONG_LINK: &[u8] = b"././@LongLink";
/// GNU's magic and version, which differ from POSIX's.
const GNU_MAGIC: &[u8; 8] = b"ustar  \0";
const POSIX_MAGIC: &[u8; 8] = b"ustar\x0000";

/// Offset and length of a field in the header.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    start: usize,
    length: usize,
}

const fn field(name: &'static str, start: usize, length: usize) -> Field {
    Field { name, start, length }
}

pub(super) const NAME: Field = field("name", 0, 100);
pub(super) const MODE: Field = field("mode", 100, 8);
pub(super) const USER: Field = field("user id", 108, 8);
pub(super) const GROUP: Field = field("group id", 116, 8);
pub(super) const SIZE: Field = field("size", 124, 12);
pub(super) const TIME: Field = field("time", 136, 12);
pub(super) const CHECKSUM: Field = field("checksum", 148, 8);
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Field = field("link target", 157, 100);
const MAGIC: Field = field("magic", 257, 8);
pub(super) const MAJOR: Field = field("device major", 329, 8);
pub(super) const MINOR: Field = field("device minor", 337, 8);
pub(super) const PREFIX: Field = field("name prefix", 345, 155);

/// The bytes of one header.
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    /// An empty GNU header for a type.
    pub(super) fn new(kind: u8) -> Self {
        let mut header = Header([0; BLOCK]);
        header.put(MAGIC, GNU_MAGIC);
        header.0[TYPE] = kind;
        header
    }

    /// A field's bytes.
    pub(super) fn raw(&self, field: Field) -> &[u8] {
        &self.0[field.start..field.start + field.length]
    }

    /// A field's bytes up to the first NUL.
    pub(super) fn text(&self, field: Field) -> &[u8] {
        let raw = self.raw(field);
        &raw[..raw.iter().position(|&byte| byte == 0).unwrap_or(raw.len())]
    }

    /// An octal number: leading blanks, then digits, then a NUL, a blank or the end of the field. `None` for anything
    /// else, including base-256 and negative numbers. No digits mean zero.
    pub(super) fn number(&self, field: Field) -> Option<u64> {
        let raw = self.raw(field).trim_ascii_start();
        let digits = raw.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(raw.len());
        if raw[digits..].iter().any(|byte| !matches!(byte, 0 | b' ')) {
            return None;
        }
        raw[..digits].iter().try_fold(0u64, |value, byte| match byte {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        })
    }

    /// Stores bytes at the start of a field; what does not fit is cut off.
    pub(super) fn put(&mut self, field: Field, bytes: &[u8]) {
        let length = bytes.len().min(field.length);
        self.0[field.start..field.start + length].copy_from_slice(&bytes[..length]);
    }

    /// Stores an octal number with leading zeros and a NUL; `None` when it does not fit.
    pub(super) fn put_number(&mut self, field: Field, value: u64) -> Option<()> {
        let digits = format!("{value:0width$o}", width = field.length - 1);
        (digits.len() < field.length).then(|| self.put(field, digits.as_bytes()))
    }

    /// Stores the checksum: six digits, NUL, blank.
    pub(super) fn seal(&mut self) {
        let digits = format!("{:06o}\0 ", self.checksum());
        self.put(CHECKSUM, digits.as_bytes());
    }

    /// The sum of all bytes, with blanks in place of the checksum field.
    pub(super) fn checksum(&self) -> u64 {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let blanks = u64::from(b' ') * CHECKSUM.length as u64;
        sum(&self.0) - sum(self.raw(CHECKSUM)) + blanks
    }

    /// Whether it is a POSIX header, whose prefix field is part of the name.
    pub(super) fn is_posix(&self) -> bool {
        self.raw(MAGIC) == POSIX_MAGIC
    }

    /// Whether the magic is one of the two that GNU tar writes.
    pub(super) fn is_tar(&self) -> bool {
        self.raw(MAGIC) == GNU_MAGIC || self.is_posix()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_and_nothing_else() {
        let read = |bytes: &[u8; 8]| {
            let mut header = Header::new(b'0');
            header.put(MODE, bytes);
            header.number(MODE)
        };
        assert_eq!(read(b"0000644\0"), Some(0o644));
        assert_eq!(read(b"   644 \0"), Some(0o644));
        assert_eq!(read(b"77777777"), Some(0o77_777_777));
        assert_eq!(read(&[0; 8]), Some(0));
        for bad in [b"-000001\0", b"0000648\0", b"644\x00001\0", b"\x80\0\0\0\0\0\0\x01"] {
            assert_eq!(read(bad), None);
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_not_cut_off() {
        let mut header = Header::new(b'0');
        assert!(header.put_number(MODE, 0o7_777_777).is_some());
        assert!(header.put_number(MODE, 0o10_000_000).is_none());
    }
}
