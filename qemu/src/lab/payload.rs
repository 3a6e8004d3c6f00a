//! The bytes that flows carry: pseudo-random, different for each seed, and computable at any place,
//! so that the far end checks every byte without keeping or exchanging anything.

/// Datagram `n` takes its bytes from `n * DATAGRAM_STRIDE` on: more than any datagram holds.
const DATAGRAM_STRIDE: u64 = 1 << 16;

/// Every datagram starts with its number, big-endian.
pub(super) const DATAGRAM_HEADER: usize = 8;

/// An endless stream of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    seed: u64,
}

impl Payload {
    pub(super) fn new(seed: u64) -> Self {
        Payload { seed }
    }

    /// Eight bytes of the stream: the SplitMix64 function of their place.
    fn block(self, number: u64) -> [u8; 8] {
        let mut word = self.seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    }

    /// Calls `each` with the pieces of `0..length` and the stream's bytes for them; ends early when
    /// `each` says so.
    fn pieces(self, offset: u64, length: usize, mut each: impl FnMut(std::ops::Range<usize>, &[u8]) -> bool) {
        let mut done = 0;
        while done < length {
            let place = offset + done as u64;
            let block = self.block(place / 8);
            let skip = (place % 8) as usize;
            let take = (8 - skip).min(length - done);
            if !each(done..done + take, &block[skip..skip + take]) {
                return;
            }
            done += take;
        }
    }

    /// Writes the stream's bytes from `offset` on.
    pub(super) fn fill(self, offset: u64, out: &mut [u8]) {
        self.pieces(offset, out.len(), |range, bytes| {
            out[range].copy_from_slice(bytes);
            true
        });
    }

    /// Where `data` first differs from the stream at `offset`.
    pub(super) fn first_difference(self, offset: u64, data: &[u8]) -> Option<u64> {
        let mut found = None;
        self.pieces(offset, data.len(), |range, bytes| {
            let start = range.start;
            if data[range].eq(bytes) {
                return true;
            }
            let within = data[start..].iter().zip(bytes).position(|(is, should)| is != should).unwrap_or(0);
            found = Some(offset + (start + within) as u64);
            false
        });
        found
    }

    /// Writes datagram `number`: its header, then bytes of the stream.
    pub(super) fn fill_datagram(self, number: u64, out: &mut [u8]) {
        if let Some((head, body)) = out.split_at_mut_checked(DATAGRAM_HEADER) {
            head.copy_from_slice(&number.to_be_bytes());
            self.fill(number.wrapping_mul(DATAGRAM_STRIDE), body);
        }
    }

    /// The number of a datagram whose bytes are as they were sent; `None` when any differs.
    pub(super) fn check_datagram(self, data: &[u8]) -> Option<u64> {
        let (head, body) = data.split_first_chunk::<DATAGRAM_HEADER>()?;
        let number = u64::from_be_bytes(*head);
        let offset = number.checked_mul(DATAGRAM_STRIDE)?;
        self.first_difference(offset, body).is_none().then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_of_the_stream_gives_the_same_bytes() {
        let payload = Payload::new(7);
        let mut whole = vec![0; 1000];
        payload.fill(0, &mut whole);
        for (start, end) in [(0, 1), (1, 9), (7, 8), (8, 16), (3, 1000)] {
            let mut part = vec![0; end - start];
            payload.fill(start as u64, &mut part);
            assert_eq!(part, whole[start..end], "{start}..{end}");
            assert_eq!(payload.first_difference(start as u64, &part), None);
        }
        let mut other = vec![0; 1000];
        Payload::new(8).fill(0, &mut other);
        assert_ne!(whole, other);
    }

    #[test]
    fn every_changed_byte_is_found_at_its_place() {
        let payload = Payload::new(1);
        for place in 0..100 {
            let mut data = vec![0; 100];
            payload.fill(13, &mut data);
            data[place] ^= 0x10;
            assert_eq!(payload.first_difference(13, &data), Some(13 + place as u64));
        }
    }

    #[test]
    fn a_datagram_is_known_by_its_number_and_refused_when_changed() {
        let payload = Payload::new(3);
        let mut data = vec![0; 60];
        payload.fill_datagram(41, &mut data);
        assert_eq!(payload.check_datagram(&data), Some(41));
        assert_eq!(payload.check_datagram(&data[..20]), Some(41), "shorter ones are the same bytes");
        for place in 0..60 {
            let mut changed = data.clone();
            changed[place] ^= 1;
            assert_eq!(payload.check_datagram(&changed), None, "byte {place}");
        }
        assert_eq!(payload.check_datagram(&data[..7]), None);
        assert_eq!(payload.check_datagram(&[0xff; 20]), None);
    }
}
