//! Packages made by OpenWrt's `ipkg-build`, and malformed ones that the real opkg installs.

use crate::common;
use std::collections::BTreeMap;
use std::io::Read;

use formats::{Content, Entry, Error, Kind, Limits, Package, ipk, tar};
use proptest::prelude::*;

const GOLDEN: [&str; 5] = [
    "hello_1.2.3-r4_all.ipk",
    "kernel_6.6.93~0123456789abcdef0123456789abcdef-r1_aarch64_cortex-a53.ipk",
    "kmod-dummy_6.6.93-r1_aarch64_cortex-a53.ipk",
    "libfoo3_1.0.0-r1_aarch64_cortex-a53.ipk",
    "tiny_0.1_all.ipk",
];

fn plan_of(file: &str) -> Package {
    common::ipk_plan(file.split('_').next().unwrap())
}

/// The uncompressed outer archive and its members, all of them uncompressed.
fn unpack(ipk: &[u8]) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let gunzip = |bytes: &[u8]| formats::gzip::decompress(bytes, 1 << 20).unwrap();
    let outer = gunzip(ipk);
    let mut members = BTreeMap::new();
    let mut reader = tar::Reader::new(&outer[..], &Limits::default());
    while let Some(member) = reader.next_member().unwrap() {
        let bytes = reader.bytes().unwrap();
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { gunzip(&bytes) } else { bytes };
        members.insert(member.entry.path, bytes);
    }
    (outer, members)
}

#[test]
fn writes_the_same_archives_as_ipkg_build() {
    for file in GOLDEN {
        let plan = plan_of(file);
        assert_eq!(ipk::file_name(&plan), file);
        let (outer, members) = unpack(&ipk::to_vec(&plan).unwrap());
        let (golden_outer, golden) = unpack(&common::bytes(&format!("ipk/{file}")));
        assert!(members["data.tar.gz"] == golden["data.tar.gz"], "{file}: payload archive differs");
        assert_eq!(members["debian-binary"], golden["debian-binary"]);
        // Same member order and headers; only the length of compressed members may differ.
        assert_eq!(outer[..124], golden_outer[..124], "{file}");
        assert_eq!(outer[124..1024], golden_outer[124..1024], "{file}");
        assert_eq!(outer[1024..1024 + 124], golden_outer[1024..1024 + 124], "{file}");
    }
}

#[test]
fn writes_the_same_control_files_as_ipkg_build() {
    for file in GOLDEN {
        let ours = ipk::inspect(&ipk::to_vec(&plan_of(file)).unwrap()[..], &Limits::default()).unwrap();
        let golden = ipk::inspect(&common::bytes(&format!("ipk/{file}"))[..], &Limits::default()).unwrap();
        assert_eq!(ours.files.keys().collect::<Vec<_>>(), golden.files.keys().collect::<Vec<_>>());
        for (name, golden) in &golden.files {
            assert_eq!(ours.files[name].mode, golden.mode, "{file} {name}");
            // The two generated scripts take the same steps in our own wording.
            if !matches!(name.as_str(), "postinst" | "prerm") {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let (mut ours, golden) = (text(&ours.files[name].bytes), text(&golden.bytes));
                if !golden.contains("SourceDateEpoch") {
                    // Some inputs lack what OpenWrt's build always sets.
                    ours = ours.replace("SourceDateEpoch: 1700000000\n", "");
                }
                assert_eq!(ours, golden, "{file} {name}");
            }
        }
    }
}

#[test]
fn the_generated_scripts_hand_over_to_base_files() {
    let metadata = ipk::inspect(&ipk::to_vec(&plan_of(GOLDEN[0])).unwrap()[..], &Limits::default()).unwrap();
    for (name, helper) in [("postinst", "default_postinst"), ("prerm", "default_prerm")] {
        let text = String::from_utf8(metadata.file(name).unwrap().to_vec()).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"));
        assert!(text.ends_with(&format!("\n{helper} \"$0\" \"$@\"\n")), "{text}");
        assert!(text.contains("/lib/functions.sh"));
    }
}

#[test]
fn reads_what_it_wrote() {
    for file in GOLDEN {
        let plan = plan_of(file);
        let read = ipk::read(&ipk::to_vec(&plan).unwrap()[..], &Limits::default()).unwrap();
        let mut expected = plan.tree().unwrap();
        for entry in &mut expected {
            (entry.owner.name, entry.group.name) = Default::default();
        }
        assert_eq!(read.entries, expected, "{file}");
        assert_eq!(read.metadata.control.package, plan.full_name());
        assert_eq!(read.metadata.control.depends, plan.depends);
    }
}

/// What happens to each malformed package; opkg installs most of them (see `results-ipk.csv`).
const MALFORMED: [(&str, &str); 34] = [
    ("good", ""),
    ("trunc-outer", "GZ002"),
    ("trunc-data", "GZ002"),
    ("crc-data", "GZ004"),
    ("flip-data", "GZ004"),
    ("order", "IPK002"),
    ("nodata", "IPK001"),
    ("noctl", "IPK001"),
    ("nodeb", "IPK002"),
    ("dotdot", "TAR004"),
    ("abs", "TAR004"),
    ("symdir", "TAR008"),
    ("hardlink", "TAR009"),
    ("symabs", ""), // absolute links are common and harmless when nothing is written through them
    ("hugesize", "TAR001"),
    ("b256", "TAR003"),
    ("negsize", "TAR003"),
    ("longlinkhuge", "TAR010"),
    ("badchk", "TAR002"),
    ("pax", "TAR005"),
    ("dev", "TAR006"),
    ("setuid", ""), // allowed in a package; the lint reports it
    ("name", "CTL003"),
    ("nofields", "CTL002"),
    ("noarch", "CTL002"),
    ("wrongarch", ""), // well-formed; whether it fits is for the client to decide
    ("crlf", "CTL001"),
    ("longline", ""), // opkg reads lines of up to 1 MiB
    ("empty", "GZ001"),
    ("ar", "GZ001"),
    ("ctlscript", "TAR004"),
    ("trail", "GZ005"),
    ("tarplain", "GZ001"),
    ("dup", "TAR007"),
];

#[test]
fn every_malformed_package_is_refused_for_its_own_reason() {
    let observed = String::from_utf8(common::bytes("malformed/results-ipk.csv")).unwrap();
    assert_eq!(observed.lines().count() - 1, MALFORMED.len(), "one row for each observation");
    for (name, id) in MALFORMED {
        assert!(observed.contains(&format!("ipk/{name}.ipk,")));
        let bytes = common::bytes(&format!("malformed/ipk/{name}.ipk"));
        let found = ipk::read(&bytes[..], &Limits::default()).map(|_| "").unwrap_or_else(|error| {
            assert!(!error.to_string().is_empty() && !error.fix().is_empty());
            error.id()
        });
        assert_eq!(found, id, "{name}");
    }
}

#[test]
fn devices_are_read_when_asked_for() {
    let limits = Limits { devices: true, ..Limits::default() };
    let read = ipk::read(&common::bytes("malformed/ipk/dev.ipk")[..], &limits).unwrap();
    assert!(read.entries.iter().any(|entry| matches!(entry.kind, Kind::Device(_))));
}

/// An ipk made of hand-made inner archives.
fn assemble(format: &[u8], control: &[(&str, &str)], extra: Option<&str>) -> Vec<u8> {
    let gzip = |bytes: &[u8]| formats::gzip::compress(bytes, formats::gzip::Level::Default).unwrap();
    let archive = |files: &[(&str, &[u8])]| {
        let mut writer = tar::Writer::new(Vec::new(), 0);
        for (name, bytes) in files {
            writer.entry(&Entry::file(*name, 0o644, Content::from(bytes.to_vec()))).unwrap();
        }
        writer.finish().unwrap().0
    };
    let control: Vec<_> = control.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let (data, control) = (gzip(&archive(&[])), gzip(&archive(&control)));
    let mut members = vec![("debian-binary", format), ("data.tar.gz", &data[..]), ("control.tar.gz", &control[..])];
    if let Some(extra) = extra {
        members.push((extra, b"x"));
    }
    gzip(&archive(&members))
}

#[test]
fn the_outer_archive_and_the_control_files_are_checked() {
    let control = ("control", "Package: a\nVersion: 1\nArchitecture: all\n");
    let limits = Limits { control: 100, ..Limits::default() };
    let refused = |bytes: &[u8]| ipk::read(bytes, &limits).map(|_| "").unwrap_or_else(|error| error.id());
    assert_eq!(refused(&assemble(b"2.0\n", &[control], None)), "");
    assert_eq!(refused(&assemble(b"3.0\n", &[control], None)), "IPK003");
    assert_eq!(refused(&assemble(b"2.0\n", &[control], Some("extra"))), "IPK002");
    assert_eq!(refused(&assemble(b"2.0\n", &[control, ("sub/file", "")], None)), "IPK002");
    assert_eq!(refused(&assemble(b"2.0\n", &[], None)), "IPK001");
    assert_eq!(refused(&assemble(b"2.0\n", &[control, ("postinst", &"x".repeat(101))], None)), "IPK004");
    for conffile in ["etc/x", "/etc/../x", "/"] {
        assert_eq!(refused(&assemble(b"2.0\n", &[control, ("conffiles", conffile)], None)), "IPK005");
    }
}

#[test]
fn limits_hold() {
    let plan = Package {
        files: vec![Entry::file("big", 0o644, Content::from(vec![0; 4 << 20])), Entry::dir("d", 0o755)],
        ..plan_of("tiny_")
    };
    let bytes = ipk::to_vec(&plan).unwrap();
    let refused = |limits| ipk::inspect(&bytes[..], &limits).unwrap_err().id();
    assert_eq!(refused(Limits { unpacked: 1 << 20, ..Limits::default() }), "TAR001");
    assert_eq!(refused(Limits { unpacked: (4 << 20) + 600, ..Limits::default() }), "GZ006");
    assert_eq!(refused(Limits { entries: 2, ..Limits::default() }), "TAR011");
}

#[test]
fn a_visitor_can_stop_the_reading() {
    let bytes = common::bytes("malformed/ipk/good.ipk");
    let error = ipk::visit(&bytes[..], &Limits::default(), &mut |_, _| Err(std::io::ErrorKind::StorageFull.into()));
    assert!(matches!(error, Err(Error::Io { source }) if source.kind() == std::io::ErrorKind::StorageFull));
}

#[test]
fn no_cut_off_package_passes() {
    let good = ipk::to_vec(&plan_of(GOLDEN[0])).unwrap();
    for length in 0..good.len() {
        assert!(ipk::inspect(&good[..length], &Limits::default()).is_err(), "cut at {length}");
    }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let kind = prop_oneof![
        Just(Kind::Dir),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(|bytes| Kind::File(Content::from(bytes))),
        "[a-z/.]{1,150}".prop_map(Kind::Symlink),
    ];
    let entry =
        ("[a-z]{1,60}(/[a-z.-]{1,3}x){0,2}", 0u32..=0o7777, 0u32..70_000, kind).prop_map(|(path, mode, id, kind)| {
            let owner = formats::Owner { id, name: String::new() };
            Entry { path, mode, group: owner.clone(), owner, kind }
        });
    prop::collection::vec(entry, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_plan_survives_a_round_trip(files in entries()) {
        let plan = Package { files, ..common_plan() };
        let Ok(mut expected) = plan.tree() else { return Ok(()) };
        for entry in &mut expected {
            (entry.owner.name, entry.group.name) = Default::default();
        }
        let read = ipk::read(&ipk::to_vec(&plan).unwrap()[..], &Limits::default()).unwrap();
        prop_assert_eq!(read.entries, expected);
    }

    #[test]
    fn damage_in_the_uncompressed_archives_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let package = ipk::to_vec(&common_plan()).unwrap();
        let (mut outer, members) = unpack(&package);
        let at_outer = at.index(outer.len());
        outer[at_outer] = value;
        let _ = ipk::read(&formats::gzip::compress(&outer, formats::gzip::Level::Default).unwrap()[..], &Limits::default());
        let mut data = members["data.tar.gz"].clone();
        let at_data = at.index(data.len());
        data[at_data] = value;
        let mut reader = tar::Reader::new(&data[..], &Limits::default());
        while let Ok(Some(_)) = reader.next_member() {
            let mut sink = Vec::new();
            let _ = reader.content().read_to_end(&mut sink);
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_changes_nothing(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let good = ipk::to_vec(&common_plan()).unwrap();
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Some bits have no meaning: the time in gzip's header, and those between the end of its data and its checksum.
        if let Ok(read) = ipk::read(&bytes[..], &Limits::default()) {
            prop_assert_eq!(read, ipk::read(&good[..], &Limits::default()).unwrap());
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = ipk::read(&bytes[..], &Limits::default());
        let mut reader = tar::Reader::new(&bytes[..], &Limits::default());
        let _ = reader.next_member();
    }
}

fn common_plan() -> Package {
    Package {
        name: "x".into(),
        version: "1".into(),
        architecture: "all".into(),
        files: vec![
            Entry::file("a/b", 0o644, Content::from("text")),
            Entry::file("l".repeat(150), 0o644, Content::from("")),
            Entry::symlink("s", "t".repeat(150)),
        ],
        ..Package::default()
    }
}
