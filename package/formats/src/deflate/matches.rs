//! Finds earlier occurrences of bytes: hash chains over the last 32 KiB.

/// How far back a match may start.
pub(super) const WINDOW: usize = 1 << 15;
/// Longest and shortest match, in bytes.
pub(super) const LONGEST: usize = 258;
pub(super) const SHORTEST: usize = 3;
/// How many bytes must follow a position for a lookup.
pub(super) const LOOKAHEAD: usize = 4;

/// A match of three bytes from further back takes more bits than three literals.
const FAR_FOR_THREE: usize = 4096;

/// Sizes of the tables for hashes of four and of three bytes: larger ones are not worth their memory.
const HEADS: usize = 1 << 16;
const SHORT: usize = 1 << 15;
/// Added to positions, so that an empty entry lies outside the window.
const FIRST: u32 = 1 << 16;
/// Positions beyond this start again at [`FIRST`].
const LAST: u32 = 1 << 31;

/// How hard to search for the longest match.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// The most positions to compare.
    pub(super) depth: usize,
    /// A match of this length ends the search.
    pub(super) nice: usize,
}

/// An earlier occurrence of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

impl Match {
    pub(super) const NONE: Match = Match { length: 0, distance: 0 };

    /// The value of a match, to choose between two that overlap: length counts more than a short distance.
    pub(super) fn worth(self) -> u32 {
        match self.distance.checked_ilog2() {
            Some(bits) => 4 * low(self.length) + 16 - bits,
            None => 0,
        }
    }
}

/// Finds matches in a buffer whose start moves on; a position is an index into the buffer.
pub(super) struct Finder {
    /// The last position for each hash of four bytes.
    heads: Box<[u32; HEADS]>,
    /// The distance from each position to the previous one with the same hash; 0 if there is none within the window.
    steps: Box<[u16; WINDOW]>,
    /// The last position for each hash of three bytes.
    short: Box<[u32; SHORT]>,
    /// Added to an index to get the stored number.
    base: u32,
    /// Number of bits in a hash.
    bits: u32,
}

impl Finder {
    pub(super) fn new() -> Self {
        Finder { heads: zeros(), steps: zeros(), short: zeros(), base: FIRST, bits: HEADS.ilog2() }
    }

    /// At most this many positions will be stored: smaller hashes use only part of the tables, and the rest is never
    /// touched.
    pub(super) fn expect(&mut self, positions: usize) {
        self.bits = (positions.max(256).ilog2() + 1).min(HEADS.ilog2());
    }

    /// Tells that the first `count` bytes were removed from the buffer.
    pub(super) fn moved(&mut self, count: usize) {
        match u32::try_from(count).ok().and_then(|count| self.base.checked_add(count)) {
            Some(base) if base < LAST => self.base = base,
            // Earlier positions are forgotten; once in 2 GiB that costs nothing.
            _ => *self = Finder { bits: self.bits, ..Finder::new() },
        }
    }

    /// Multiplicative hashing; the constant is 2^32 divided by the golden ratio.
    #[inline]
    fn hash(&self, word: u32) -> usize {
        (word.wrapping_mul(0x9e37_79b1) >> (32 - self.bits)) as usize % HEADS
    }

    /// Stores a position. At least [`LOOKAHEAD`] bytes must follow it.
    #[inline]
    pub(super) fn note(&mut self, bytes: &[u8], at: usize) {
        let word = word(bytes, at);
        self.note_word(word, at);
    }

    /// Stores a position and returns the last ones with the same hash of four and of three bytes.
    #[inline]
    fn note_word(&mut self, word: u32, at: usize) -> (u32, u32) {
        let now = self.base.wrapping_add(low(at));
        let short = std::mem::replace(&mut self.short[self.hash(word << 8) % SHORT], now);
        let head = std::mem::replace(&mut self.heads[self.hash(word)], now);
        let step = now.wrapping_sub(head);
        self.steps[now as usize % WINDOW] = if step as usize <= WINDOW { low16(step) } else { 0 };
        (head, short)
    }

    /// Stores a position and finds the best match there that is longer than `least`.
    #[inline]
    pub(super) fn find(&mut self, bytes: &[u8], at: usize, least: usize, effort: Effort) -> Match {
        let own = word(bytes, at);
        let now = self.base.wrapping_add(low(at));
        let (head, short) = self.note_word(own, at);
        let most = (bytes.len() - at).min(LONGEST);
        let mut best = Match { length: least.max(SHORTEST - 1), distance: 0 };
        if best.length < SHORTEST {
            let distance = now.wrapping_sub(short) as usize;
            if distance <= FAR_FOR_THREE && distance <= at && (word(bytes, at - distance) ^ own) << 8 == 0 {
                best = Match { length: SHORTEST, distance };
            }
        }
        let mut distance = now.wrapping_sub(head) as usize;
        let here = &bytes[at..at + most];
        for _ in 0..effort.depth {
            if distance > WINDOW || distance > at || best.length >= most {
                break;
            }
            let start = at - distance;
            // Compares the last byte first, since only a longer match is useful.
            let end = best.length.max(SHORTEST) - SHORTEST;
            if word(bytes, start + end) == word(bytes, at + end) && word(bytes, start) == own {
                let length = common(&bytes[start..start + most], here);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= effort.nice {
                        break;
                    }
                }
            }
            let step = self.steps[now.wrapping_sub(low(distance)) as usize % WINDOW];
            if step == 0 {
                break;
            }
            distance += usize::from(step);
        }
        if best.distance == 0 { Match::NONE } else { best }
    }
}

/// Four bytes; zeros beyond the end.
#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    match bytes[at..].first_chunk() {
        Some(chunk) => u32::from_le_bytes(*chunk),
        None => 0,
    }
}

/// Zeroed memory, which the system provides only where it is touched.
fn zeros<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    vec![T::default(); N].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([T::default(); N]))
}

/// The length of the common start of both.
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let mut length = 0;
    for (a, b) in a_words.iter().zip(b_words) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return length + (differing.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + a[length..].iter().zip(&b[length..]).take_while(|(a, b)| a == b).count()
}

/// Position numbers wrap; only differences within the window are ever used.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "only the lower bits are wanted")]
fn low(number: usize) -> u32 {
    number as u32
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "at most WINDOW")]
fn low16(number: u32) -> u16 {
    number as u16
}
