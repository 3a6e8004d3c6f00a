//! Generated content that compresses about as well as that of real packages.

/// Pseudo-random numbers, the same in every run (Marsaglia's xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        (wide >> 64).try_into().unwrap_or(0)
    }

    /// Small numbers are much more frequent, like common words in a language.
    fn skewed(&mut self, bound: usize) -> usize {
        let below = self.below(bound) + 1;
        self.below(below)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 16] =
            ["ba", "con", "de", "er", "flow", "ing", "ka", "lo", "mi", "net", "or", "per", "re", "st", "ti", "u"];
        (0..=self.below(4)).map(|_| SYLLABLES[self.below(SYLLABLES.len())]).collect()
    }
}

/// How many different items a content of this length has.
fn kinds(length: usize, most: usize) -> usize {
    (length / 16 + 4).min(most)
}

/// Sentences of made-up words, with some phrases repeated.
pub(super) fn text(length: usize, random: &mut Random) -> Vec<u8> {
    let words: Vec<String> = (0..kinds(length, 1500)).map(|_| random.word()).collect();
    let mut pick =
        |count: usize| -> Vec<&str> { (0..count).map(|_| words[random.skewed(words.len())].as_str()).collect() };
    let phrases: Vec<String> = (0..kinds(length, 300)).map(|number| pick(2 + number % 7).join(" ")).collect();
    let mut text = String::with_capacity(length + 64);
    while text.len() < length {
        let of_words = random.below(3) < 2;
        text.push_str(if of_words {
            &words[random.skewed(words.len())]
        } else {
            &phrases[random.skewed(phrases.len())]
        });
        text.push_str(if random.below(9) == 0 { ".\n" } else { " " });
    }
    text.truncate(length);
    text.into()
}

/// Imitates machine code with symbols, relocations and strings.
pub(super) fn program(length: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0".to_vec();
    bytes.extend(code(length * 6 / 10, random));
    bytes.extend(records(length * 15 / 100, random));
    bytes.extend(text(length / 10, random));
    bytes.resize(length.max(bytes.len()), 0);
    bytes.truncate(length);
    bytes
}

/// Functions made of idioms: the same instructions with other registers, offsets and call targets.
fn code(length: usize, random: &mut Random) -> Vec<u8> {
    let instructions: Vec<Vec<u8>> =
        (0..kinds(length, 400)).map(|_| (0..=random.below(4)).map(|_| random.byte()).collect()).collect();
    let idioms: Vec<Vec<usize>> = (0..kinds(length, 600))
        .map(|_| (0..2 + random.below(6)).map(|_| random.skewed(instructions.len())).collect())
        .collect();
    let mut code = Vec::with_capacity(length + 64);
    while code.len() < length {
        for &instruction in &idioms[random.skewed(idioms.len())] {
            code.extend(&instructions[instruction]);
        }
        match random.below(6) {
            0 => code.extend([0xe8, random.byte(), random.byte(), 0xff, 0xff]),
            1 | 2 => code.extend([0x48, 0x8b, random.byte() & 0xc7, 8 * (random.byte() & 15)]),
            _ => {}
        }
        if random.below(40) == 0 {
            code.push(0xc3);
            code.resize(code.len().next_multiple_of(16), 0xcc);
        }
    }
    code
}

/// Relocations: a growing address, one of a few kinds, another address.
fn records(length: usize, random: &mut Random) -> Vec<u8> {
    let mut records = Vec::with_capacity(length + 24);
    let mut address = 0x4000_u64;
    while records.len() < length {
        address += 8 * (1 + random.skewed(4) as u64);
        let kind: u64 = if random.below(10) == 0 { 6 } else { 8 };
        for field in [address, kind, 0x1000 + 16 * random.below(1 << 12) as u64] {
            records.extend(field.to_le_bytes());
        }
    }
    records
}

/// Incompressible bytes, like firmware, pictures or archives.
pub(super) fn noise(length: usize, random: &mut Random) -> Vec<u8> {
    std::iter::repeat_with(|| random.byte()).take(length).collect()
}
