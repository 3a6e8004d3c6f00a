//! Feeds of both formats, each spoiled in one way.

use std::collections::BTreeSet;

use formats::adb::{Adb, Compression};
use formats::apk::index as apk_index;
use formats::lint::Options;
use formats::packages::{self, Listed};
use formats::{Package, ec, ipk, usign};
use model::Digest;

use crate::support::{File, apk_file, hello, ipk_file, judge, kmod};

fn usign_key(seed: u8) -> usign::SecretKey {
    usign::SecretKey::from_random([seed; 40])
}

fn ec_key(seed: u8) -> ec::SecretKey {
    ec::SecretKey::from_random([seed; 32]).unwrap()
}

fn options() -> Options {
    Options { usign_keys: vec![usign_key(1).public()], ec_keys: vec![ec_key(1).public()], ..Options::default() }
}

fn one() -> Package {
    hello()
}

fn two() -> Package {
    Package { name: "other".into(), files: Vec::new(), conffiles: Vec::new(), ..hello() }
}

/// The entries that opkg's index would have for these package files.
fn listed(files: &[File]) -> Vec<Listed> {
    let list = |(path, bytes): &File| Listed {
        control: ipk::inspect(&bytes[..], &Options::default().limits).unwrap().control,
        filename: path.strip_prefix("feed/").unwrap().to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    files.iter().map(list).collect()
}

/// `Packages`, `Packages.gz` and `Packages.sig`.
fn index(listed: &[Listed], key: &usign::SecretKey) -> [File; 3] {
    let text = packages::packages(&packages::manifest(listed));
    let signature = key.sign(text.as_bytes()).to_text().into_bytes();
    [
        ("feed/Packages".into(), text.clone().into_bytes()),
        ("feed/Packages.gz".into(), packages::compressed(&text).unwrap()),
        ("feed/Packages.sig".into(), signature),
    ]
}

/// `packages.adb`.
fn adb(files: &[File], change: fn(&mut apk_index::Index), key: Option<&ec::SecretKey>) -> File {
    let limits = Options::default().limits;
    let list = |(_, bytes): &File| {
        let adb = Adb::read(&bytes[..], &limits).unwrap();
        apk_index::Listed::of_package(&adb, bytes.len() as u64, &limits).unwrap()
    };
    let mut index = apk_index::Index { packages: files.iter().map(list).collect(), ..apk_index::Index::default() };
    change(&mut index);
    let mut adb = index.to_adb().unwrap();
    if let Some(key) = key {
        adb.sign(key).unwrap();
    }
    let mut bytes = Vec::new();
    adb.write(&mut bytes, Compression::Deflate).unwrap();
    ("feed/packages.adb".into(), bytes)
}

fn found(files: &[File], options: &Options) -> BTreeSet<&'static str> {
    judge(files, options).iter().map(|finding| finding.id).collect()
}

/// Swaps the files of two entries.
fn exchange(list: &mut [Listed]) {
    let first = list[0].filename.clone();
    list[0].filename = std::mem::replace(&mut list[1].filename, first);
}

/// Asserts the one id found in a feed, or with an empty id that there is none.
fn assert_found(files: &[File], id: &str, why: &str) {
    let expected = if id.is_empty() { BTreeSet::new() } else { BTreeSet::from([id]) };
    assert_eq!(found(files, &options()), expected, "{why}: {:#?}", judge(files, &options()));
}

#[test]
fn opkgs_feed() {
    let packages = [ipk_file(&one()), ipk_file(&two())];
    let feed = |change: fn(&mut Vec<Listed>), seed| {
        let mut entries = listed(&packages);
        change(&mut entries);
        [&packages[..], &index(&entries, &usign_key(seed))].concat()
    };
    let good = feed(|_| (), 1);
    assert_found(&good, "", "a good feed");
    assert_found(&feed(|list| list[0].control.stanza.remove("Installed-Size"), 1), "", "an index may leave it out");
    assert_found(&feed(|list| list[0].control.stanza.set("Installed-Size", "9"), 1), "LINT501", "installed size");
    assert_found(&feed(|list| list[0].size += 1, 1), "LINT501", "size");
    assert_found(&feed(|list| list[0].sha256 = Digest::of("other"), 1), "LINT501", "digest");
    assert_found(&feed(|list| exchange(list), 1), "LINT501", "another package's file");
    // opkg checks this digest too, where it can read it.
    let zeros = |list: &mut Vec<Listed>| list[0].control.stanza.set("MD5Sum", "0".repeat(32));
    assert_found(&feed(zeros, 1), "LINT501", "MD5");
    assert!(format!("{:?}", judge(&feed(zeros, 1), &options())).contains("MD5Sum is 00000000"), "the field is named");
    assert_found(&feed(|list| list[0].control.stanza.set("MD5sum", "0".repeat(32)), 1), "LINT501", "MD5, spelled so");
    assert_found(&feed(|list| list[0].control.stanza.set("MD5Sum", "0".repeat(31)), 1), "LINT512", "short MD5");
    assert_found(&[&good[1..]].concat(), "LINT502", "one file is missing");
    assert_found(&feed(|list| list.push(list[0].clone()), 1), "LINT503", "listed twice");
    assert_found(&feed(|list| drop(list.pop()), 1), "LINT504", "not listed");
    assert_found(&good[..4], "LINT505", "no signature");
    assert_found(&feed(|_| (), 2), "LINT506", "another key");
    assert_found(&good[2..], "LINT507", "nothing but the index");
    let mut changed = good.clone();
    changed[4].1 = index(&listed(&packages[..1]), &usign_key(1))[2].1.clone();
    assert_found(&changed, "LINT506", "a signature of another index");
    changed[4].1 = b"no signature".to_vec();
    assert_found(&changed, "LINT506", "rubbish");
    let mut stale = good.clone();
    stale[3].1 = packages::compressed("").unwrap();
    assert_found(&stale, "LINT509", "an older Packages.gz");
    assert_eq!(found(&good, &Options::default()), BTreeSet::from(["LINT508"]), "without a key");
}

#[test]
fn one_odd_entry_hides_no_other() {
    let packages = [ipk_file(&one()), ipk_file(&two())];
    let text = packages::packages(&packages::manifest(&listed(&packages)));
    let feed = |text: String| {
        let signature = usign_key(1).sign(text.as_bytes()).to_text().into_bytes();
        let index = [("feed/Packages".to_owned(), text.into_bytes()), ("feed/Packages.sig".to_owned(), signature)];
        [&packages[..], &index].concat()
    };
    assert_found(&feed(text.replace("Version: 1.0-r1", "Version: 1.0/r1")), "LINT401", "nothing is left");
    assert_found(&feed(text.replacen("Version: 1.0-r1", "Version: 1.0/r1", 1)), "LINT511", "no version");
    assert_found(&feed(text.replacen("Architecture", "# made by hand\nArchitecture", 1)), "LINT512", "a comment");
    let wrong = text.replacen("Version: 1.0-r1", "Version: 1.0/r1", 1).replace("Size: ", "Size: 1");
    assert!(found(&feed(wrong), &options()).is_superset(&BTreeSet::from(["LINT501", "LINT511"])));
}

#[test]
fn kmods_have_an_address_of_their_own_for_each_kernel() {
    let package = ipk_file(&kmod("a", ""));
    let index = index(&listed(std::slice::from_ref(&package)), &usign_key(1));
    let at = |folder: &str| -> Vec<File> {
        let files = std::iter::once(&package).chain(&index);
        files.map(|(path, bytes)| (path.replacen("feed", folder, 1), bytes.clone())).collect()
    };
    for folder in ["feed", "http://10.0.0.1/feed", "feed/x86_64"] {
        assert_found(&at(folder), "LINT510", folder);
    }
    for folder in ["feed/kmods/6.12.94-1-0123", "http://host/releases/24.10.0/targets/x86/64/packages"] {
        assert_found(&at(folder), "", folder);
    }
}

#[test]
fn apks_feed() {
    let packages = [apk_file(&one()), apk_file(&two())];
    let feed = |change: fn(&mut apk_index::Index), seed| {
        [&packages[..], &[adb(&packages, change, Some(&ec_key(seed)))]].concat()
    };
    let good = feed(|_| (), 1);
    assert_found(&good, "", "a good feed");
    assert_found(&feed(|index| index.packages[0].file_size += 1, 1), "LINT501", "size");
    assert_found(&feed(|index| index.packages[0].info.installed_size = 0, 1), "LINT501", "apk would not fetch it");
    assert_found(&feed(|index| index.packages[0].sha256 = Digest::of("other"), 1), "LINT501", "digest");
    assert_found(&good[1..], "LINT502", "one file is missing");
    assert_found(&feed(|index| drop(index.packages.pop()), 1), "LINT504", "not listed");
    assert_found(&[&packages[..], &[adb(&packages, |_| (), None)]].concat(), "LINT505", "no signature");
    assert_found(&feed(|_| (), 2), "LINT506", "another key");
    assert_found(&good[2..], "LINT507", "nothing but the index");
    assert_eq!(found(&good, &Options::default()), BTreeSet::from(["LINT508"]), "without a key");
}

#[test]
fn what_images_have_need_not_be_listed() {
    let kernel = ipk_file(&Package { name: "kernel".into(), ..two() });
    let files = [ipk_file(&one()), kernel];
    assert_found(&[&files[..], &index(&listed(&files[..1]), &usign_key(1))].concat(), "", "kernel");
}

#[test]
fn an_unreadable_package_or_signature_is_not_missing_as_well() {
    let mut files = [ipk_file(&one()), ipk_file(&two())];
    let index = index(&listed(&files), &usign_key(1));
    files[0].1.truncate(100);
    assert_found(&[&files[..], &index].concat(), "LINT001", "cut off");
}

#[test]
fn feeds_that_real_opkg_took() {
    let folder = format!("{}/tests/golden/malformed/feed", env!("CARGO_MANIFEST_DIR"));
    let key = std::fs::read_to_string(format!("{folder}/../../ipk/test-only-usign.pub")).unwrap();
    for (name, id) in [
        ("wrong-size", "LINT501"),
        ("wrong-sha256sum", "LINT501"),
        ("index-says-bar-file-says-foo", "LINT501"),
        ("index-version-9-9-file-1-0", "LINT501"),
        ("packages-sig-missing", "LINT505"),
        ("packages-changed-after-signing", "LINT506"),
        ("short-sha256sum", "LINT001"),
        ("no-sha256sum-no-size", "LINT001"),
        ("filename-with", "LINT001"),
        ("packages-gz-truncated", "LINT001"),
    ] {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(format!("{folder}/{name}")).unwrap() {
            let path = entry.unwrap().path();
            files.push((path.to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()));
        }
        let key = usign::PublicKey::parse(&key).unwrap();
        let found = found(&files, &Options { usign_keys: vec![key], ..Options::default() });
        assert!(found.contains(id), "{name}: {found:?}");
    }
}
