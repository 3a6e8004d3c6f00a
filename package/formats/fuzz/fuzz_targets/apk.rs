//! Files of apk never panic, whether read as a package, as an index or as text.
#![no_main]

use formats::adb::Adb;
use formats::apk::{self, index::Index};
use formats::{Limits, tar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { unpacked: 1 << 20, devices: true, ..Limits::default() };
    let _ = apk::dump(bytes, &[], &limits);
    if let Ok(adb) = Adb::read(bytes, &limits) {
        let _ = Index::from_adb(&adb, &limits);
    }
    if let Ok(metadata) = apk::inspect(bytes, &limits, |_| Ok(())) {
        assert_eq!(metadata.members.iter().count(), metadata.members.len());
        for member in metadata.files() {
            assert!(tar::path_problem(&member.entry.path).is_none());
        }
    }
});
