//! Literals and matches: their symbols, and how often each occurs (RFC 1951, 3.2.5).

use super::matches::{Match, SHORTEST};

/// Number of symbols for literals, the end of a block, and lengths.
pub(super) const LITERALS: usize = 286;
pub(super) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(super) const END: usize = 256;

/// A literal, or a match: bit 31 set, then the length minus 3 and the distance minus 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u32);

/// A symbol and the extra bits after its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coded {
    pub(super) symbol: usize,
    pub(super) extra: u32,
    pub(super) extra_bits: u32,
}

impl Symbol {
    const MATCH: u32 = 1 << 31;

    #[inline]
    pub(super) fn literal(byte: u8) -> Self {
        Symbol(byte.into())
    }

    #[inline]
    pub(super) fn matched(found: Match) -> Self {
        let (length, distance) = (number(found.length - SHORTEST), number(found.distance - 1));
        Symbol(Symbol::MATCH | length << 16 | distance)
    }

    /// The symbol of the literal, or those of length and distance.
    #[inline]
    pub(super) fn parts(self) -> Result<usize, (Coded, Coded)> {
        if self.0 & Symbol::MATCH == 0 {
            return Ok(self.0 as usize);
        }
        Err((length((self.0 & !Symbol::MATCH) >> 16), distance(self.0 & 0xffff)))
    }
}

/// Both are below 2^15.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "lengths and distances are small")]
fn number(small: usize) -> u32 {
    small as u32
}

/// The symbol for a length minus 3: four symbols for each power of two from 8 on, and one for the longest.
#[inline]
fn length(above: u32) -> Coded {
    const LONGEST: u32 = 258 - 3;
    let first = END + 1;
    match above {
        0..8 => Coded { symbol: first + above as usize, extra: 0, extra_bits: 0 },
        LONGEST => Coded { symbol: LITERALS - 1, extra: 0, extra_bits: 0 },
        _ => {
            let power = above.ilog2();
            let extra_bits = power - 2;
            let symbol = first + (4 * (power - 1) + (above >> extra_bits & 3)) as usize;
            Coded { symbol, extra: above & ((1 << extra_bits) - 1), extra_bits }
        }
    }
}

/// The symbol for a distance minus 1: two symbols for each power of two from 4 on.
#[inline]
fn distance(above: u32) -> Coded {
    if above < 4 {
        return Coded { symbol: above as usize, extra: 0, extra_bits: 0 };
    }
    let power = above.ilog2();
    let extra_bits = power - 1;
    let symbol = (2 * power + (above >> extra_bits & 1)) as usize;
    Coded { symbol, extra: above & ((1 << extra_bits) - 1), extra_bits }
}

/// How often each symbol occurs.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
    /// Sum of all extra bits.
    pub(super) extra_bits: u64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Counts { literals: [0; LITERALS], distances: [0; DISTANCES], extra_bits: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, symbol: Symbol) {
        match symbol.parts() {
            Ok(literal) => self.literals[literal] += 1,
            Err((length, distance)) => {
                self.literals[length.symbol] += 1;
                self.distances[distance.symbol] += 1;
                self.extra_bits += u64::from(length.extra_bits + distance.extra_bits);
            }
        }
    }

    pub(super) fn with(&self, other: &Counts) -> Counts {
        let mut sum = self.clone();
        for (sum, more) in sum.literals.iter_mut().zip(other.literals) {
            *sum += more;
        }
        for (sum, more) in sum.distances.iter_mut().zip(other.distances) {
            *sum += more;
        }
        sum.extra_bits += other.extra_bits;
        sum
    }

    /// About how many bits the symbols take with the best codes for them, in units of 1/256 bit.
    pub(super) fn entropy(&self) -> u64 {
        entropy(&self.literals) + entropy(&self.distances)
    }
}

fn entropy(counts: &[u32]) -> u64 {
    let times_log = |count: u32| u64::from(count) * log2(count);
    let total: u32 = counts.iter().sum();
    let parts: u64 = counts.iter().map(|&count| times_log(count)).sum();
    times_log(total).saturating_sub(parts)
}

/// The binary logarithm in units of 1/256, from a table of integers: the same on every machine.
fn log2(number: u32) -> u64 {
    const TABLE: [u8; 256] = table();
    let Some(power) = number.checked_ilog2() else { return 0 };
    // The eight bits behind the highest one.
    let fraction = (((u64::from(number) << 8) >> power) & 0xff) as usize;
    u64::from(power) * 256 + u64::from(TABLE[fraction])
}

/// The logarithm of 1 + n/256: squaring a number doubles its logarithm, which yields one bit at a time.
const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut mantissa = (256 + at as u64) << 22;
        let mut bit = 128;
        while bit > 0 {
            mantissa = (mantissa * mantissa) >> 30;
            if mantissa >= 1 << 31 {
                mantissa >>= 1;
                table[at] += bit;
            }
            bit /= 2;
        }
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_distances_have_the_symbols_of_the_standard() {
        // Rows of the tables of RFC 1951, 3.2.5: length, symbol, extra bits, their value.
        for (bytes, symbol, extra_bits, extra) in [
            (3, 257, 0, 0),
            (10, 264, 0, 0),
            (11, 265, 1, 0),
            (12, 265, 1, 1),
            (19, 269, 2, 0),
            (130, 280, 4, 15),
            (227, 284, 5, 0),
            (257, 284, 5, 30),
            (258, 285, 0, 0),
        ] {
            assert_eq!(length(bytes - 3), Coded { symbol, extra, extra_bits }, "{bytes}");
        }
        for (far, symbol, extra_bits, extra) in [
            (1, 0, 0, 0),
            (4, 3, 0, 0),
            (5, 4, 1, 0),
            (6, 4, 1, 1),
            (7, 5, 1, 0),
            (1025, 20, 9, 0),
            (24577, 29, 13, 0),
            (32768, 29, 13, 8191),
        ] {
            assert_eq!(distance(far - 1), Coded { symbol, extra, extra_bits }, "{far}");
        }
    }

    #[test]
    fn symbols_keep_what_they_stand_for() {
        assert_eq!(Symbol::literal(7).parts(), Ok(7));
        let far = Symbol::matched(Match { length: 258, distance: 32768 });
        assert_eq!(far.parts(), Err((length(255), distance(32767))));
    }

    #[test]
    fn logarithms_and_entropy_are_right() {
        for number in [1, 2, 3, 100, 255, 256, 257, 65_535, 1 << 20] {
            let exact = f64::from(number).log2() * 256.0;
            #[allow(clippy::cast_precision_loss)]
            let difference = (log2(number) as f64 - exact).abs();
            assert!(difference <= 1.5, "{number}: {difference}");
        }
        assert_eq!(log2(0), 0);
        // Four symbols of equal frequency: two bits each.
        assert_eq!(entropy(&[8, 8, 0, 8, 8]), 64 * 256);
    }
}
