//! Writes bits into bytes, the least significant bit first (RFC 1951, 3.1.1).

/// Collects bits as whole bytes.
#[derive(Default)]
pub(super) struct BitWriter {
    /// Finished bytes for the caller to take.
    pub(super) bytes: Vec<u8>,
    /// Bits that do not fill a byte yet; fewer than 32 between calls.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends at most 32 bits; those above `count` must be zero.
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

    /// Pads with zeros to a whole byte.
    pub(super) fn align(&mut self) {
        while self.count > 0 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }

    /// Appends whole bytes; only after [`BitWriter::align`].
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_the_lowest_of_the_first_byte() {
        let mut writer = BitWriter::default();
        for (bits, count) in [(1, 1), (0, 2), (0xffff_ffff, 32), (0b101, 3)] {
            writer.put(bits, count);
        }
        writer.align();
        writer.raw(b"end");
        assert_eq!(writer.bytes, [0b1111_1001, 0xff, 0xff, 0xff, 0b10_1111, b'e', b'n', b'd']);
    }
}
