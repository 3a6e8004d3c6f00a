//! An index that is read can be written, and then reads the same.
#![no_main]

use formats::{Limits, packages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(listed) = packages::read(bytes, &limits) else { return };
    let manifest = packages::manifest(&listed);
    let again = packages::read(manifest.as_bytes(), &limits).expect("our own index");
    assert_eq!(packages::manifest(&again), manifest);
    let _ = packages::read(packages::packages(&manifest).as_bytes(), &limits).expect("our own index");
    let _ = packages::index_json("all", &listed);
});
