//! Kernel modules never panic.
#![no_main]

use formats::modinfo::ModuleInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModuleInfo::read(bytes);
});
