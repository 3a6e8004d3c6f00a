//! Decompression never panics and never gives more than its limit.
#![no_main]

use formats::gzip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    const LIMIT: u64 = 1 << 20;
    if let Ok(unpacked) = gzip::decompress(bytes, LIMIT) {
        assert!(unpacked.len() as u64 <= LIMIT);
        let packed = gzip::compress(&unpacked, gzip::Level::Default).unwrap();
        assert_eq!(gzip::decompress(&packed[..], LIMIT).unwrap(), unpacked);
    }
});
