//! Files of apk that zstd has packed never panic, and never give more than their limit.
#![no_main]

use formats::adb::Adb;
use formats::{Limits, apk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { unpacked: 1 << 20, devices: true, ..Limits::default() };
    // Whole files are seeds as they are; anything else gets the header that says how it is packed.
    let packed = match bytes.starts_with(b"ADBc") {
        true => bytes.to_vec(),
        false => [b"ADBc\x02\x00", bytes].concat(),
    };
    if let Ok(adb) = Adb::read(&packed[..], &limits) {
        assert!(adb.payload.len() as u64 <= limits.unpacked);
        let _ = apk::inspect(&packed[..], &limits, |_| Ok(()));
    }
});
