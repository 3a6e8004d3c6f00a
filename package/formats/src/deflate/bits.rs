//! Bits into bytes, the least significant first (RFC 1951, 3.1.1).

use std::io::{self, Write};

/// Bytes that are collected before they are handed on.
const FULL: usize = 32 << 10;

/// Collects bits and hands whole bytes to the inner writer.
pub(super) struct BitWriter<W> {
    pub(super) out: W,
    bytes: Vec<u8>,
    /// Fewer than 32 bits between calls.
    pending: u64,
    count: u32,
}

impl<W: Write> BitWriter<W> {
    pub(super) fn new(out: W) -> Self {
        BitWriter { out, bytes: Vec::with_capacity(FULL + 8), pending: 0, count: 0 }
    }

    /// At most 32 bits; those above `count` must be zero.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.pending |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.pending.to_le_bytes();
            self.bytes.extend_from_slice(&[a, b, c, d]);
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    /// Zeros up to the next whole byte.
    pub(super) fn align(&mut self) {
        while self.count > 0 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }

    /// Whole bytes; only after [`BitWriter::align`].
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hand_on()?;
        self.out.write_all(bytes)
    }

    /// Hands on what there is, if it is much.
    pub(super) fn hand_on_if_full(&mut self) -> io::Result<()> {
        if self.bytes.len() >= FULL { self.hand_on() } else { Ok(()) }
    }

    /// Hands on what there is.
    pub(super) fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_the_lowest_of_the_first_byte() {
        let mut writer = BitWriter::new(Vec::new());
        for (bits, count) in [(1, 1), (0, 2), (0xffff_ffff, 32), (0b101, 3)] {
            writer.put(bits, count);
        }
        writer.align();
        writer.raw(b"end").unwrap();
        assert_eq!(writer.out, [0b1111_1001, 0xff, 0xff, 0xff, 0b10_1111, b'e', b'n', b'd']);
    }
}
