//! Blocks: symbols are collected as long as one code suits them all, then written in the shortest of three forms.

use super::bits::BitWriter;
use super::code::{Code, LONGEST};
use super::symbol::{Counts, DISTANCES, END, LITERALS, Symbol};

/// After this many symbols it is checked whether a new block would pay.
const PART: usize = 1024;
/// The largest content of a block, in bytes.
pub(super) const LARGEST: usize = 256 << 10;
/// About how much the codes of a block take, in units of 1/256 bit.
const HEADER: u64 = 800 << 8;
/// The largest content of a stored block, in bytes.
const LONGEST_STORED: usize = 0xffff;

/// A block that is being collected.
pub(super) struct Block {
    symbols: Vec<Symbol>,
    /// Counts of the symbols before the last part.
    counts: Counts,
    entropy: u64,
    settled: usize,
    /// Counts of the symbols in the last part.
    part: Counts,
    /// Bytes that the symbols before the last part stand for, then those in the last part.
    settled_bytes: usize,
    part_bytes: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        Block {
            symbols: Vec::new(),
            counts: Counts::new(),
            entropy: 0,
            settled: 0,
            part: Counts::new(),
            settled_bytes: 0,
            part_bytes: 0,
        }
    }

    /// Bytes that the symbols stand for.
    pub(super) fn bytes(&self) -> usize {
        self.settled_bytes + self.part_bytes
    }

    /// Memory that the symbols take, in bytes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.symbols.capacity() * size_of::<Symbol>()
    }

    #[inline]
    pub(super) fn push(&mut self, symbol: Symbol, bytes: usize) {
        self.symbols.push(symbol);
        self.part.add(symbol);
        self.part_bytes += bytes;
    }

    /// Whether enough symbols were pushed for [`Block::settle`].
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.symbols.len() - self.settled >= PART || self.bytes() + super::matches::LONGEST >= LARGEST
    }

    /// Joins the last part to the block; or, if its statistics differ, first writes the block without it. `content`
    /// ends with the bytes that the symbols stand for.
    pub(super) fn settle(&mut self, content: &[u8], out: &mut BitWriter) {
        let joined = self.counts.with(&self.part);
        let (part_entropy, joined_entropy) = (self.part.entropy(), joined.entropy());
        let apart = self.entropy + part_entropy + HEADER;
        if self.settled > 0 && (apart < joined_entropy || self.bytes() + super::matches::LONGEST >= LARGEST) {
            let written = self.settled_bytes;
            let start = content.len() - self.bytes();
            let symbols = &self.symbols[..self.settled];
            write(symbols, &self.counts, &content[start..start + written], false, out);
            self.symbols.drain(..self.settled);
            (self.counts, self.entropy) = (self.part.clone(), part_entropy);
            self.settled_bytes = self.part_bytes;
        } else {
            (self.counts, self.entropy) = (joined, joined_entropy);
            self.settled_bytes += self.part_bytes;
        }
        self.settled = self.symbols.len();
        (self.part, self.part_bytes) = (Counts::new(), 0);
    }

    /// Writes everything as the last block.
    pub(super) fn finish(mut self, content: &[u8], out: &mut BitWriter) {
        self.settle(content, out);
        let start = content.len() - self.bytes();
        write(&self.symbols, &self.counts, &content[start..], true, out);
    }
}

/// Writes one block in its shortest form; `content` is what the symbols stand for.
fn write(symbols: &[Symbol], counts: &Counts, content: &[u8], last: bool, out: &mut BitWriter) {
    let mut counts = counts.clone();
    counts.literals[END] += 1;
    let made = Codes::made_for(&counts);
    let header = Header::new(&made);
    let fixed = Codes::fixed();
    let (made_cost, fixed_cost) = (made.cost(&counts) + header.cost(), fixed.cost(&counts));
    let stored_cost = 8 * (content.len() + 5 * content.len().div_ceil(LONGEST_STORED).max(1)) as u64;
    if stored_cost <= made_cost.min(fixed_cost) {
        return store(content, last, out);
    }
    out.put(last.into(), 1);
    if fixed_cost <= made_cost {
        out.put(1, 2);
        return fixed.write(symbols, out);
    }
    out.put(2, 2);
    header.write(out);
    made.write(symbols, out);
}

/// Writes a block without compression.
fn store(content: &[u8], last: bool, out: &mut BitWriter) {
    let mut rest = content;
    loop {
        let (now, later) = rest.split_at(rest.len().min(LONGEST_STORED));
        out.put((last && later.is_empty()).into(), 1);
        out.put(0, 2);
        out.align();
        let length = u16::try_from(now.len()).unwrap_or(u16::MAX);
        out.raw(&length.to_le_bytes());
        out.raw(&(!length).to_le_bytes());
        out.raw(now);
        if later.is_empty() {
            return;
        }
        rest = later;
    }
}

/// The two codes of a block: for literals and lengths, and for distances.
struct Codes {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
}

impl Codes {
    fn made_for(counts: &Counts) -> Self {
        let mut distances = Code::for_counts(&counts.distances, LONGEST);
        if counts.distances == [0; DISTANCES] {
            // Some decoders require a complete code even if it is never used.
            distances.lengths[..2].fill(1);
        }
        Codes { literals: Code::for_counts(&counts.literals, LONGEST), distances }
    }

    /// The fixed codes of RFC 1951, 3.2.6. Two unused literals have codes there, the last ones of nine bits.
    fn fixed() -> Self {
        let mut lengths = [8; LITERALS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        let mut literals = Code::of_lengths(lengths);
        // The codes of eight bits come before those of nine.
        for symbol in 144..256 {
            let code = 0b1_1001_0000 + u16::try_from(symbol - 144).unwrap_or(0);
            literals.bits[symbol] = code.reverse_bits() >> 7;
        }
        Codes { literals, distances: Code::of_lengths([5; DISTANCES]) }
    }

    fn cost(&self, counts: &Counts) -> u64 {
        self.literals.cost(&counts.literals) + self.distances.cost(&counts.distances) + counts.extra_bits
    }

    /// Writes the symbols and the end of the block.
    fn write(&self, symbols: &[Symbol], out: &mut BitWriter) {
        let Codes { literals, distances } = self;
        for symbol in symbols {
            match symbol.parts() {
                Ok(literal) => out.put(literals.bits[literal].into(), literals.lengths[literal].into()),
                Err((length, distance)) => {
                    for (coded, bits, code_bits) in [
                        (length, literals.bits[length.symbol], literals.lengths[length.symbol]),
                        (distance, distances.bits[distance.symbol], distances.lengths[distance.symbol]),
                    ] {
                        let code_bits = u32::from(code_bits);
                        out.put(u32::from(bits) | coded.extra << code_bits, code_bits + coded.extra_bits);
                    }
                }
            }
        }
        out.put(literals.bits[END].into(), literals.lengths[END].into());
    }
}

/// The code lengths of both codes, which are themselves coded (RFC 1951, 3.2.7).
struct Header {
    literals: usize,
    distances: usize,
    /// Symbol, number of extra bits, and their value.
    items: Vec<(usize, u32, u32)>,
    code: Code<LENGTHS>,
    cost: u64,
}

/// Number of symbols in the code of code lengths, and the order in which its own lengths are stored.
const LENGTHS: usize = 19;
const ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Header {
    fn new(codes: &Codes) -> Self {
        let used = |lengths: &[u8]| lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1);
        let literals = used(&codes.literals.lengths).max(257);
        let distances = used(&codes.distances.lengths).max(1);
        let lengths = [&codes.literals.lengths[..literals], &codes.distances.lengths[..distances]].concat();
        let items = repeats(&lengths);
        let mut counts = [0; LENGTHS];
        items.iter().for_each(|(symbol, ..)| counts[*symbol] += 1);
        let code = Code::for_counts(&counts, 7);
        let extra: u32 = items.iter().map(|(_, bits, _)| bits).sum();
        let mut header = Header { literals, distances, items, code, cost: 0 };
        header.cost = 14 + 3 * header.stored_lengths() as u64 + header.code.cost(&counts) + u64::from(extra);
        header
    }

    fn cost(&self) -> u64 {
        self.cost
    }

    fn stored_lengths(&self) -> usize {
        ORDER.iter().rposition(|&symbol| self.code.lengths[symbol] > 0).map_or(4, |last| (last + 1).max(4))
    }

    fn write(&self, out: &mut BitWriter) {
        let stored = self.stored_lengths();
        for (number, bits) in [(self.literals - 257, 5), (self.distances - 1, 5), (stored - 4, 4)] {
            out.put(u32::try_from(number).unwrap_or(0), bits);
        }
        for &symbol in &ORDER[..stored] {
            out.put(self.code.lengths[symbol].into(), 3);
        }
        for &(symbol, extra_bits, extra) in &self.items {
            out.put(self.code.bits[symbol].into(), self.code.lengths[symbol].into());
            out.put(extra, extra_bits);
        }
    }
}

/// Encodes runs of zeros and of equal lengths with their special symbols.
fn repeats(lengths: &[u8]) -> Vec<(usize, u32, u32)> {
    let mut items = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (run[0], run.len());
        if length > 0 {
            items.push((length.into(), 0, 0));
            left -= 1;
        }
        while left > 0 {
            let (symbol, bits, shortest, longest) = match (length, left) {
                (_, ..3) => (length.into(), 0, 1, 1),
                (0, ..11) => (17, 3, 3, 10),
                (0, _) => (18, 7, 11, 138),
                _ => (16, 2, 3, 6),
            };
            let now = left.min(longest);
            items.push((symbol, bits, u32::try_from(now - shortest).unwrap_or(0)));
            left -= now;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_code_is_that_of_the_standard() {
        let Codes { literals, distances } = Codes::fixed();
        let code = |symbol: usize| literals.bits[symbol].reverse_bits() >> (16 - u32::from(literals.lengths[symbol]));
        assert_eq!([0, 143, 144, 255, 256, 279, 280, 285].map(code), [48, 191, 400, 511, 0, 23, 192, 197]);
        assert_eq!(distances.bits[29].reverse_bits() >> 11, 29);
    }

    #[test]
    fn runs_of_lengths_are_shortened() {
        let lengths = [&[0; 150][..], &[5; 8], &[0, 0, 7]].concat();
        let expected = [(18, 7, 127), (18, 7, 1), (5, 0, 0), (16, 2, 3), (5, 0, 0), (0, 0, 0), (0, 0, 0), (7, 0, 0)];
        assert_eq!(repeats(&lengths), expected);
    }
}
