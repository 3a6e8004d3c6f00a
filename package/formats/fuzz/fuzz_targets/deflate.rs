//! Whatever is packed, in whatever pieces, comes out as it went in.
#![no_main]

use std::io::Write;

use formats::gzip::{self, Level, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [piece, times, rest @ ..] = bytes else { return };
    // Repeated, so that matches reach over the whole window and beyond.
    let content = rest.repeat(usize::from(*times % 16) + 1);
    let mut writer = Writer::new(Vec::new(), Level::Default).expect("memory");
    for piece in content.chunks(usize::from(*piece).pow(2) + 1) {
        writer.write_all(piece).expect("memory");
    }
    let packed = writer.finish().expect("memory");
    let unpacked = gzip::decompress(&packed[..], content.len() as u64 + 1).expect("what was packed");
    assert!(unpacked == content);
});
