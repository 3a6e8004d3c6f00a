//! The values inside a file never panic, and an index that is read can be written and read again.
#![no_main]

use formats::Limits;
use formats::adb::{Adb, Schema};
use formats::apk::{Metadata, index::Index};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Behind "ADB.", the schema and a block header, so that whole files are good seeds.
    let payload = bytes.get(12..).unwrap_or_default().to_vec();
    let limits = Limits { devices: true, ..Limits::default() };
    let _ = Metadata::read(Adb { schema: Schema::Package, payload: payload.clone(), signatures: Vec::new() }, &limits);
    let Ok(index) = Index::from_adb(&Adb { schema: Schema::Index, payload, signatures: Vec::new() }, &limits) else {
        return;
    };
    let again = Index::from_adb(&index.to_adb().expect("what was read"), &limits).expect("our own index");
    assert_eq!(again, index);
});
