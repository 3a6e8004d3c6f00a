//! Prefix codes: code lengths from counts, codes from lengths (RFC 1951, 3.2.2).

/// The longest code for literals, lengths and distances, in bits.
pub(super) const LONGEST: usize = 15;

/// A prefix code for `N` symbols.
pub(super) struct Code<const N: usize> {
    /// Length of each symbol's code in bits; 0 for a symbol that does not occur.
    pub(super) lengths: [u8; N],
    /// The codes, with their first bit lowest.
    pub(super) bits: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The best code for these counts in which no code is longer than `longest` bits, or nearly the best: where the
    /// limit applies, codes are shortened in the simplest way that keeps the code complete.
    pub(super) fn for_counts(counts: &[u32; N], longest: usize) -> Self {
        Self::of_lengths(lengths(counts, longest))
    }

    /// The canonical code with these lengths.
    pub(super) fn of_lengths(lengths: [u8; N]) -> Self {
        let mut next = [0_u16; LONGEST + 1];
        for length in lengths {
            next[usize::from(length)] += 1;
        }
        next[0] = 0;
        let mut first = 0;
        for slot in &mut next {
            (*slot, first) = (first, (first + *slot) << 1);
        }
        let mut bits = [0; N];
        for (bits, length) in bits.iter_mut().zip(lengths) {
            if length > 0 {
                let code = &mut next[usize::from(length)];
                *bits = code.reverse_bits() >> (16 - u32::from(length));
                *code += 1;
            }
        }
        Code { lengths, bits }
    }

    /// Bits that all counted symbols take.
    pub(super) fn cost(&self, counts: &[u32; N]) -> u64 {
        self.lengths.iter().zip(counts).map(|(&length, &count)| u64::from(length) * u64::from(count)).sum()
    }
}

fn lengths<const N: usize>(counts: &[u32; N], longest: usize) -> [u8; N] {
    let mut used: Vec<usize> = (0..N).filter(|&symbol| counts[symbol] > 0).collect();
    let mut lengths = [0; N];
    if let [only] = used[..] {
        // A code for a single symbol still takes one bit; the other code of one bit goes to a symbol that never occurs.
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return lengths;
    }
    used.sort_by_key(|&symbol| (counts[symbol], symbol));
    let sorted: Vec<u32> = used.iter().map(|&symbol| counts[symbol]).collect();
    let mut of_length = count_lengths(&sorted, longest);
    shorten(&mut of_length, longest);
    // The rarest symbols get the longest codes.
    let mut symbols = used.into_iter();
    for length in (1..=longest).rev() {
        for symbol in symbols.by_ref().take(of_length[length]) {
            lengths[symbol] = u8::try_from(length).unwrap_or(u8::MAX);
        }
    }
    lengths
}

/// How many codes of each length Huffman's algorithm makes; longer ones count as `longest`.
fn count_lengths(sorted: &[u32], longest: usize) -> [usize; LONGEST + 1] {
    // Leaves and inner nodes are two queues in rising order, so the two lightest are at their heads.
    let leaves = sorted.len();
    let mut weights: Vec<u64> = sorted.iter().map(|&count| count.into()).collect();
    let mut parents = vec![0; leaves];
    let (mut leaf, mut inner) = (0, leaves);
    while weights.len() + 1 < 2 * leaves {
        let parent = weights.len();
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < leaves && (inner == parent || weights[leaf] <= weights[inner]);
            let lightest = if take_leaf { &mut leaf } else { &mut inner };
            weight += weights[*lightest];
            parents[*lightest] = parent;
            *lightest += 1;
        }
        weights.push(weight);
        parents.push(parent);
    }
    let mut depths = vec![0; parents.len()];
    let mut of_length = [0; LONGEST + 1];
    for node in (0..parents.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < leaves {
            of_length[depths[node].min(longest)] += 1;
        }
    }
    of_length
}

/// After codes were cut off at `longest`, lengthens shorter ones until all fit (Kraft's inequality).
fn shorten(of_length: &mut [usize; LONGEST + 1], longest: usize) {
    let room = 1 << longest;
    let mut taken: usize = (1..=longest).map(|length| of_length[length] << (longest - length)).sum();
    while taken > room {
        let Some(length) = (1..longest).rev().find(|&length| of_length[length] > 0) else { return };
        // One code becomes two that are one bit longer; one of the cut codes takes the second.
        of_length[length] -= 1;
        of_length[length + 1] += 2;
        of_length[longest] -= 1;
        taken -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sum of 2^-length, in units of 2^-15; it is 2^15 for a complete code.
    fn kraft(lengths: &[u8]) -> u32 {
        lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (LONGEST - usize::from(length))).sum()
    }

    #[test]
    fn a_frequent_symbol_has_a_short_code() {
        let code = Code::for_counts(&[1, 1, 2, 4, 0], LONGEST);
        assert_eq!(code.lengths, [3, 3, 2, 1, 0]);
        // Canonical: 0, 10, 110, 111, here with the first bit lowest.
        assert_eq!(code.bits, [0b011, 0b111, 0b01, 0b0, 0]);
        assert_eq!(code.cost(&[1, 1, 2, 4, 0]), 14);
    }

    #[test]
    fn nothing_and_one_symbol_have_codes_too() {
        assert_eq!(Code::for_counts(&[0; 4], LONGEST).lengths, [0; 4]);
        assert_eq!(Code::for_counts(&[0, 0, 9, 0], LONGEST).lengths, [1, 0, 1, 0]);
        assert_eq!(Code::for_counts(&[9, 0, 0, 0], LONGEST).lengths, [1, 1, 0, 0]);
    }

    #[test]
    fn counts_that_grow_like_fibonaccis_stay_below_the_limit() {
        let mut counts = [1_u32; 30];
        for at in 2..30 {
            counts[at] = counts[at - 1] + counts[at - 2];
        }
        for longest in [5, 7, LONGEST] {
            let lengths = Code::for_counts(&counts, longest).lengths;
            assert_eq!(usize::from(lengths.into_iter().max().unwrap()), longest);
            assert_eq!(kraft(&lengths), 1 << LONGEST);
        }
    }

    proptest! {
        #[test]
        fn codes_are_complete_and_no_rarer_symbol_has_a_shorter_one(counts in prop::array::uniform32(prop_oneof![Just(0_u32), 0..50_u32, any::<u32>()])) {
            prop_assume!(counts.iter().filter(|&&count| count > 0).count() > 1);
            for longest in [7, LONGEST] {
                let code = Code::for_counts(&counts, longest);
                prop_assert_eq!(kraft(&code.lengths), 1 << LONGEST);
                for (a, b) in (0..32).flat_map(|a| (0..32).map(move |b| (a, b))) {
                    if counts[a] > counts[b] && counts[b] > 0 {
                        prop_assert!(code.lengths[a] <= code.lengths[b]);
                    }
                }
            }
        }
    }
}
