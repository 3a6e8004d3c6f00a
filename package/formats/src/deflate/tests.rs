//! The encoder's output is read by another decoder, is small, and depends only on the content.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;

use super::*;

fn encode(pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    for piece in pieces {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

/// The size to which zlib compresses the content at a level.
fn zlib(content: &[u8], level: u32) -> usize {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap().len()
}

/// Pseudo-random bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[7]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Text in a language of `kinds` words, each of them pseudo-random.
fn words(length: usize, kinds: usize) -> Vec<u8> {
    let (letters, picks) = (noise(kinds * 7), noise(length));
    let word = |pick: &u8| letters[usize::from(*pick) % kinds * 7..][..3 + usize::from(*pick) % 5].to_vec();
    let mut text: Vec<u8> = picks.iter().flat_map(word).take(length).collect();
    text.truncate(length);
    text
}

/// Text, noise, zeros and text again: each needs another kind of block.
fn mixed() -> Vec<u8> {
    [words(200_000, 200), noise(150_000), vec![0; 700_000], words(100_000, 31), noise(70_000)].concat()
}

#[test]
fn content_of_every_kind_comes_out_as_it_went_in() {
    for content in [vec![], b"a".to_vec(), b"abcabcabcabc".to_vec(), mixed(), noise(300_000), vec![7; 1 << 20]] {
        assert!(decode(&encode(&[&content])) == content, "{} bytes", content.len());
    }
}

#[test]
fn lengths_around_the_intake_come_out_as_they_went_in() {
    let content = words(2 * INTAKE + 3 * HORIZON, 100);
    for length in [INTAKE, INTAKE + HORIZON, 2 * INTAKE + HORIZON].into_iter().flat_map(|at| at - 2..at + 3) {
        assert!(decode(&encode(&[&content[..length]])) == content[..length], "{length}");
    }
}

#[test]
fn the_stream_does_not_depend_on_how_it_was_handed_over() {
    let content = mixed();
    let whole = encode(&[&content]);
    for size in [977, 65_536, 300_001] {
        assert!(encode(&content.chunks(size).collect::<Vec<_>>()) == whole, "{size}");
    }
}

#[test]
fn it_is_smaller_than_zlib_at_its_usual_level() {
    for content in [words(600_000, 200), [words(50_000, 60), noise(50_000)].concat().repeat(3)] {
        let (ours, usual) = (encode(&[&content]).len(), zlib(&content, 6));
        assert!(ours <= usual, "{ours} instead of {usual} bytes");
    }
}

#[test]
fn noise_is_stored_and_zeros_nearly_vanish() {
    let noise = noise(1 << 20);
    assert!(encode(&[&noise]).len() < noise.len() + noise.len() / 5_000);
    assert!(encode(&[&vec![0; 1 << 20]]).len() < 2_000);
}

#[test]
fn a_match_reaches_over_the_whole_window_and_no_further() {
    let block = noise(300);
    for (gap, found) in [(WINDOW - 300, true), (WINDOW - 299, false)] {
        // Zeros in between, so that nothing else takes space.
        let content = [&block[..], &vec![0; gap], &block].concat();
        let packed = encode(&[&content]);
        assert!(decode(&packed) == content);
        assert_eq!(packed.len() < 500, found, "{} bytes", packed.len());
    }
}

#[test]
fn memory_is_bounded_however_long_the_stream_is() {
    let mut encoder = Encoder::new(io::sink());
    let part = mixed();
    for _ in 0..12 {
        encoder.write_all(&part).unwrap();
        let Compressor { content, block, out, .. } = &encoder.compressor;
        for memory in [content.capacity(), block.capacity(), out.bytes.capacity()] {
            assert!(memory < 2 << 20, "{memory}");
        }
    }
}

#[test]
fn a_writer_that_fails_is_told() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Encoder::new(Full).write_all(&noise(4 << 20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(Encoder::new(Full).finish().is_err());
}

proptest! {
    #[test]
    fn what_went_in_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(decode(&encode(&[&bytes])), bytes);
    }

    #[test]
    fn repetitions_come_out(pieces in prop::collection::vec((any::<u8>(), 1..700_usize, 0..40_usize), 0..40)) {
        let mut bytes = Vec::new();
        for (byte, length, back) in pieces {
            match bytes.len().checked_sub(back + 1) {
                Some(from) if byte % 3 > 0 => (0..length).for_each(|at| bytes.push(bytes[from + at])),
                _ => bytes.extend(std::iter::repeat_n(byte, length % 9 + 1)),
            }
        }
        prop_assert_eq!(decode(&encode(&[&bytes])), bytes);
    }
}
