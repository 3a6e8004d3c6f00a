//! Rules never panic, whatever the file is called and whatever is in a program or module of it.
#![no_main]

use formats::adb::Compression;
use formats::lint::{Options, examine, judge};
use formats::{Content, Entry, Limits, Package, apk};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 7] = [
    "hello_1.0-r1_all.ipk",
    "kmod-nft-nat_6.12.1-r1_x86_64.ipk",
    "kmod-nft-nat-6.12.1-r1.apk",
    "Packages",
    "Packages.gz",
    "Packages.sig",
    "packages.adb",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let limits = Limits { unpacked: 1 << 20, devices: true, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let file = |path: &str| Entry::file(path, 0o755, Content::from(rest.to_vec()));
    let package = Package {
        name: "kmod-hello".into(),
        version: "6.12.1-r1".into(),
        architecture: "x86_64".into(),
        description: "Says hello".into(),
        files: ["etc/modules.d/hello", "lib/modules/6.12.1/hello.ko", "usr/lib/libhello.so.1"].map(file).into(),
        ..Package::default()
    };
    // Not compressed: that would take most of the time.
    let mut within = Vec::new();
    let plan = apk::from_plan(&package).expect("a plan of ours");
    apk::write(&plan, &[], Compression::None, &mut within).expect("a package of ours");
    let examined = [examine(name, rest, &options), examine("kmod-hello-6.12.1-r1.apk", &within[..], &options)];
    for finding in judge(&examined, &options) {
        assert!(finding.id.starts_with("LINT") && finding.place.is_some_and(|place| !place.is_empty()));
    }
});
