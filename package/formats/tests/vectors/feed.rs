//! A feed made by OpenWrt's scripts, and malformed ones that the real opkg accepts.

use model::Digest;

use crate::common;
use formats::control::Control;
use formats::md5::Md5;
use formats::packages::{self, Listed};
use formats::{Limits, gzip, ipk, usign};
use proptest::prelude::*;

fn golden_feed() -> Vec<Listed> {
    let files = [
        "tiny_0.1_all.ipk",
        "libfoo3_1.0.0-r1_aarch64_cortex-a53.ipk",
        "kmod-dummy_6.6.93-r1_aarch64_cortex-a53.ipk",
        "kernel_6.6.93~0123456789abcdef0123456789abcdef-r1_aarch64_cortex-a53.ipk",
        "hello_1.2.3-r4_all.ipk",
    ];
    files
        .into_iter()
        .map(|filename| {
            let bytes = common::bytes(&format!("ipk/{filename}"));
            let control = ipk::inspect(&bytes[..], &Limits::default()).unwrap().control;
            Listed { control, filename: filename.into(), size: bytes.len() as u64, sha256: Digest::of(&bytes) }
        })
        .collect()
}

#[test]
fn writes_the_same_index_as_openwrt() {
    let golden = |name: &str| String::from_utf8(common::bytes(&format!("ipk/{name}"))).unwrap();
    let manifest = packages::manifest(&golden_feed());
    assert_eq!(manifest, golden("Packages.manifest"));
    let text = packages::packages(&manifest);
    assert_eq!(text, golden("Packages"));
    let listed = packages::read(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(packages::index_json("aarch64_cortex-a53", &listed), golden("index.json"));
    let unpacked = packages::decompress(&common::bytes("ipk/Packages.gz")[..], &Limits::default()).unwrap();
    assert_eq!(unpacked, text.as_bytes());
    let packed = packages::compressed(&text).unwrap();
    assert_eq!(gzip::decompress(&packed[..], 1 << 20).unwrap(), text.as_bytes());
}

#[test]
fn reads_back_what_the_packages_say() {
    let feed = packages::read(&common::bytes("ipk/Packages"), &Limits::default()).unwrap();
    let names: Vec<_> = feed.iter().map(|listed| listed.control.package.as_str()).collect();
    assert_eq!(names, ["hello", "kmod-dummy", "libfoo3", "tiny"]);
    for listed in &feed {
        let bytes = common::bytes(&format!("ipk/{}", listed.filename));
        listed.check_file(bytes.len() as u64, Digest::of(&bytes), || Ok(Md5::of(&bytes))).unwrap();
        listed.check_control(&ipk::inspect(&bytes[..], &Limits::default()).unwrap().control).unwrap();
    }
    assert!(feed[2].control.satisfies(&"libfoo".parse().unwrap()));
}

#[test]
fn feeds_merge_and_compare() {
    let read = || packages::read(&common::bytes("ipk/Packages"), &Limits::default()).unwrap();
    let (old, mut new) = (read(), read());
    assert!(packages::changes(&old, &new).is_empty());
    new.remove(0);
    new[0].control.version = "6.6.94-r1".into();
    new[1].sha256 = Digest::of("rebuilt");
    new[2].control.package = "small".into();
    let changes = packages::changes(&old, &new);
    assert_eq!(changes.added.keys().collect::<Vec<_>>(), ["small"]);
    assert_eq!(changes.removed.keys().collect::<Vec<_>>(), ["hello", "tiny"]);
    assert_eq!(changes.changed["kmod-dummy"], ("6.6.93-r1".to_owned(), "6.6.94-r1".to_owned()));
    assert_eq!(changes.rebuilt["libfoo3"], "1.0.0-r1");
    packages::merge(&mut new, old);
    assert_eq!(new.len(), 6);
    // An older version beside a newer one is not a change.
    assert!(packages::changes(&new[..3], &new).changed.is_empty());
}

#[test]
fn an_empty_feed_is_one_empty_line() {
    assert_eq!(packages::manifest(&[]), "\n");
    assert_eq!(packages::packages("\n"), "\n");
    assert_eq!(packages::read(b"\n", &Limits::default()).unwrap(), []);
    assert_eq!(
        packages::index_json("x", &[]),
        "{\n  \"version\": 2,\n  \"architecture\": \"x\",\n  \"packages\": {}\n}\n"
    );
}

#[test]
fn a_field_is_left_out_with_all_its_lines() {
    let manifest = "Package: a\nSource: b\n more\nVersion: 1\nMaintainer: c\n\nPackage: d\n";
    assert_eq!(packages::packages(manifest), "Package: a\nVersion: 1\n\nPackage: d\n");
}

#[test]
fn lengths_that_old_verifiers_get_wrong_are_padded() {
    for (length, expected) in [(45, 45), (46, 48), (47, 49), (48, 48), (174, 176)] {
        let text = format!("{}\n", "x".repeat(length - 1));
        assert_eq!(packages::packages(&text).len(), expected);
    }
}

/// What happens to each malformed feed: the step that refuses it, and the id. The real opkg's behaviour is in
/// `results-feed.csv`.
#[test]
fn every_malformed_feed_is_refused_at_the_right_step() {
    let table = [
        ("good-signed-feed", "installs", ""),
        ("packages-sig-missing", "no signature", ""),
        ("packages-changed-after-signing", "signature", "SIG005"),
        ("packages-gz-truncated", "unpack", "GZ001"),
        ("wrong-sha256sum", "file", "IDX004"),
        ("short-sha256sum", "index", "SHA001"),
        ("no-sha256sum-no-size", "index", "IDX002"),
        ("md5sum-wrong-only", "index", "IDX002"),
        ("wrong-size", "file", "IDX004"),
        ("upper-case-wrong", "file", "IDX004"),
        ("upper-case-right-digest", "no signature", ""),
        ("index-says-bar-file-says-foo", "control", "IDX004"),
        ("index-version-9-9-file-1-0", "control", "IDX004"),
        ("filename-with", "index", "IDX003"),
        ("feed-older-than-installed", "installs", ""),
        ("three-versions-in-one-feed", "installs", ""),
        ("forged-fingerprint-in-signature", "signature", "SIG005"),
    ];
    let folders = std::fs::read_dir(common::golden("malformed/feed")).unwrap().count();
    assert_eq!(folders, table.len());
    for (folder, step, id) in table {
        let (found_step, found_id) = walk(folder);
        assert_eq!((found_step, found_id), (step, id), "{folder}");
    }
}

/// Reads a feed as a client does, up to the step that refuses it.
fn walk(folder: &str) -> (&'static str, &'static str) {
    let path = |name: &str| format!("malformed/feed/{folder}/{name}");
    let limits = Limits::default();
    let text = match packages::decompress(&common::bytes(&path("Packages.gz"))[..], &limits) {
        Ok(text) => text,
        Err(error) => return ("unpack", error.id()),
    };
    if !common::golden(&path("Packages.sig")).exists() {
        return ("no signature", "");
    }
    let key = usign::PublicKey::parse(include_str!("../golden/ipk/test-only-usign.pub")).unwrap();
    let signature = String::from_utf8(common::bytes(&path("Packages.sig"))).unwrap();
    let signature = usign::Signature::parse(&signature).unwrap();
    if let Err(error) = key.verify(&text, &signature) {
        return ("signature", error.id());
    }
    let feed = match packages::read(&text, &limits) {
        Ok(feed) => feed,
        Err(error) => return ("index", error.id()),
    };
    for listed in &feed {
        let bytes = common::bytes(&path(&listed.filename));
        if let Err(error) = listed.check_file(bytes.len() as u64, Digest::of(&bytes), || Ok(Md5::of(&bytes))) {
            return ("file", error.id());
        }
        if let Err(error) = listed.check_control(&ipk::inspect(&bytes[..], &limits).unwrap().control) {
            return ("control", error.id());
        }
    }
    ("installs", "")
}

#[test]
fn an_index_beyond_the_limit_is_refused() {
    let limits = Limits { index: 100, ..Limits::default() };
    assert_eq!(packages::read(&[b'\n'; 101], &limits).unwrap_err().id(), "IDX001");
    assert_eq!(packages::decompress(&common::bytes("ipk/Packages.gz")[..], &limits).unwrap_err().id(), "GZ006");
}

#[test]
fn a_file_name_may_only_name_a_file_of_the_feed() {
    let entry = |filename: &str| {
        let sha256 = Digest::of(b"");
        format!("Package: a\nVersion: 1\nArchitecture: all\nFilename: {filename}\nSize: 1\nSHA256sum: {sha256}\n")
    };
    let read = |filename: &str| packages::read(entry(filename).as_bytes(), &Limits::default());
    assert_eq!(read("./kmods/a_1_all.ipk").unwrap()[0].filename, "./kmods/a_1_all.ipk");
    // Clients escape characters that have a meaning in URLs, as opkg does.
    assert_eq!(read("a_1:2%?#.ipk").unwrap()[0].filename, "a_1:2%?#.ipk");
    for filename in ["/a.ipk", "../a.ipk", "a/../../b", "http://x/a.ipk", "a\\b"] {
        assert_eq!(read(filename).unwrap_err().id(), "IDX003", "{filename}");
    }
    let no_number = entry("a").replace("Size: 1", "Size: 1k");
    assert_eq!(packages::read(no_number.as_bytes(), &Limits::default()).unwrap_err().id(), "CTL003");
}

proptest! {
    #[test]
    fn damage_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut text = common::bytes("ipk/Packages");
        let at = at.index(text.len());
        text[at] = value;
        let _ = packages::read(&text, &Limits::default());
        text.truncate(at);
        let _ = packages::read(&text, &Limits::default());
        let _ = Control::parse(&text);
    }
}
