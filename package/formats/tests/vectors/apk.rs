//! Packages and indexes made by apk itself, and malformed ones.

use std::io::Read;

use formats::adb::{Adb, Compression};
use formats::apk::index::{Index, Listed};
use formats::apk::{self, Metadata};
use formats::ec::{PublicKey, SecretKey};
use formats::{Kind, Limits};

use crate::common;

/// The golden packages in the order of the golden index.
const PACKAGES: [(&str, &str); 6] = [
    ("bigscript", "bigscript-2.0_rc1.apk"),
    ("edge+x.y_z", "edge+x.y_z-0.9_git20240101~deadbeef-r7.apk"),
    ("hello", "hello-1.2.3-r4.apk"),
    ("libfoo3", "libfoo3-1.0.0-r1.apk"),
    ("metaonly", "metaonly-1-r0.apk"),
    ("tiny", "tiny-0.1.apk"),
];

fn limits() -> Limits {
    Limits { devices: true, ..Limits::default() }
}

fn golden(name: &str) -> Vec<u8> {
    common::bytes(&format!("apk/{name}"))
}

fn keys() -> Vec<PublicKey> {
    ["a", "b"].map(|key| PublicKey::parse(&text(&format!("test-only-{key}.pub.pem"))).unwrap()).to_vec()
}

fn text(name: &str) -> String {
    String::from_utf8(golden(name)).unwrap()
}

/// The bytes behind the compression.
fn plain(bytes: &[u8]) -> Vec<u8> {
    if bytes.starts_with(b"ADB.") {
        return bytes.to_vec();
    }
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(&bytes[4..]).read_to_end(&mut plain).unwrap();
    plain
}

fn written(name: &str, keys: &[&SecretKey], compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    apk::write(&common::apk_plan(name), keys, compression, &mut bytes).unwrap();
    bytes
}

#[test]
fn writes_the_same_bytes_as_mkpkg() {
    for (name, file) in PACKAGES {
        let golden = plain(&golden(file));
        let ours = written(name, &[], Compression::None);
        let first = ours.iter().zip(&golden).position(|(a, b)| a != b);
        assert!(ours == golden, "{name}: differs at {first:?} of {} and {} bytes", ours.len(), golden.len());
    }
    assert_eq!(written("tiny", &[], Compression::None), golden("tiny.none.apk"));
    assert_eq!(written("hello", &[], Compression::None), golden("hello.none.apk"));
    assert_eq!(plain(&written("hello", &[], Compression::Deflate)), golden("hello.none.apk"));
}

#[test]
fn shows_files_as_adbdump_does() {
    let mut shown = 0;
    for entry in std::fs::read_dir(common::golden("apk")).unwrap() {
        let dump = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = dump.strip_suffix(".dump.txt").filter(|name| !name.contains("rsa")) else { continue };
        assert_eq!(apk::dump(&golden(name)[..], &keys(), &limits()).unwrap(), text(&dump), "{name}");
        shown += 1;
    }
    assert_eq!(shown, 17);
    let unknown = apk::dump(&golden("hello.signed-rsa.none.apk")[..], &keys(), &limits()).unwrap();
    assert_eq!(unknown, text("hello.signed-rsa.none.apk.dump.txt").replace(": OK", ": UNTRUSTED signature"));
}

#[test]
fn every_compression_of_a_package_reads_the_same() {
    let all = ["hello-1.2.3-r4", "hello.none", "hello.deflate-1", "hello.deflate-9", "hello.zstd", "hello.zstd-19"];
    let read = |name: &str| apk::inspect(&golden(&format!("{name}.apk"))[..], &limits(), |_| Ok(())).unwrap();
    let first = read(all[0]);
    for name in all {
        assert_eq!(read(name), first, "{name}");
    }
    assert_eq!(read("edge.zstd-1"), read("edge+x.y_z-0.9_git20240101~deadbeef-r7"));
}

#[test]
fn reads_what_was_written() {
    let secret = SecretKey::parse(&text("test-only-a.pem")).unwrap();
    for (name, _) in PACKAGES {
        let plan = common::apk_plan(name);
        let bytes = written(name, &[&secret], Compression::Deflate);
        let (read, key) = apk::read(&bytes[..], &keys(), &limits()).unwrap();
        assert_eq!(key, secret.public().id());
        assert_eq!(read.scripts, plan.scripts);
        assert_eq!(read.triggers, plan.triggers);
        assert_eq!(read.replaces_priority, plan.replaces_priority);
        let mut depends = plan.info.depends.clone();
        depends.sort_by(|a, b| a.name.cmp(&b.name));
        depends.dedup();
        assert_eq!(read.info.depends, depends);
        for entry in &plan.files {
            let member = read.members.iter().find(|member| member.entry.path == entry.path).unwrap();
            assert_eq!((&member.entry.kind, member.entry.mode), (&entry.kind, entry.mode), "{}", entry.path);
            assert_eq!(member.entry.owner.name, entry.owner.name);
            assert_eq!(member.xattrs.len(), plan.xattrs.get(&entry.path).map_or(0, Vec::len));
        }
    }
}

#[test]
fn signatures_of_apk_verify_and_ours_are_deterministic() {
    for (name, good) in [
        ("hello.signed-a.apk", 1),
        ("hello.signed-a.none.apk", 1),
        ("hello.signed-ab.none.apk", 2),
        ("hello.signed-rsa.none.apk", 0),
        ("hello.none.apk", 0),
        ("packages.signed-a.adb", 1),
        ("packages.signed-ab.adb", 2),
        ("packages.resigned.adb", 2),
    ] {
        let adb = Adb::read(&golden(name)[..], &limits()).unwrap();
        let verified = keys().into_iter().filter(|key| adb.verify(std::slice::from_ref(key)).is_ok()).count();
        assert_eq!(verified, good, "{name}");
        if good == 0 {
            assert_eq!(adb.verify(&keys()).unwrap_err().id(), "ADB009");
        }
    }
    let secret = SecretKey::parse(&text("test-only-a.pem")).unwrap();
    let signed = written("hello", &[&secret], Compression::None);
    assert_eq!(signed, written("hello", &[&secret], Compression::None));
    // The signature does not change what an index stores of the package.
    let digest = |bytes: &[u8]| Adb::read(bytes, &limits()).unwrap().digest();
    assert_eq!(digest(&signed), digest(&golden("hello.none.apk")));
}

/// The golden index, from the golden packages in the given order.
fn index(order: impl Iterator<Item = usize>) -> Index {
    let packages = order.map(|at| {
        let bytes = golden(PACKAGES[at].1);
        Listed::of_package(&Adb::read(&bytes[..], &limits()).unwrap(), bytes.len() as u64, &limits()).unwrap()
    });
    Index { packages: packages.collect(), ..Index::default() }
}

#[test]
fn writes_the_same_index_as_mkndx() {
    let bytes = |index: &Index| {
        let mut bytes = Vec::new();
        index.to_adb().unwrap().write(&mut bytes, Compression::None).unwrap();
        bytes
    };
    let forward = index(0..6);
    assert!(bytes(&forward) == golden("packages.none.adb"));
    assert!(bytes(&index((0..6).rev())) == golden("packages.reversed.none.adb"));
    let described =
        Index { description: "golden set".into(), name_spec: "${name}-${version}.apk".into(), ..forward.clone() };
    assert!(bytes(&described) == golden("packages.spec.none.adb"));
    assert_eq!(plain(&golden("packages.adb")), golden("packages.none.adb"));
    assert_eq!(forward.index_json("aarch64_cortex-a53"), text("index.json"));
}

#[test]
fn reads_an_index_that_is_signed_by_one_of_the_keys() {
    let (read, _) = Index::read(&golden("packages.signed-a.adb")[..], &keys(), &limits()).unwrap();
    let mut expected = index(0..6);
    for listed in &mut expected.packages {
        listed.info.unique_id = None;
    }
    // Lists come back sorted.
    let names = |index: &Index| index.packages.iter().map(|listed| listed.info.file_name()).collect::<Vec<_>>();
    assert_eq!(names(&read), names(&expected));
    assert_eq!(read, expected);
    for name in ["packages.adb", "packages.none.adb"] {
        assert_eq!(Index::read(&golden(name)[..], &keys(), &limits()).unwrap_err().id(), "ADB009");
    }
    let hash160 = Adb::read(&golden("packages.hash160.none.adb")[..], &limits()).unwrap();
    assert_eq!(Index::from_adb(&hash160, &limits()).unwrap_err().id(), "APK001");
}

#[test]
fn indexes_merge_and_compare() {
    let (old, mut new) = (index(0..4), index(2..6));
    new.packages[0].info.version = "1.2.4-r1".into();
    new.packages[1].sha256 = formats::sha256::Digest::of("rebuilt");
    let changes = apk::index::changes(&old, &new);
    assert_eq!(changes.added.keys().collect::<Vec<_>>(), ["metaonly", "tiny"]);
    assert_eq!(changes.removed.keys().collect::<Vec<_>>(), ["bigscript", "edge+x.y_z"]);
    assert_eq!(changes.changed["hello"], ("1.2.3-r4".to_owned(), "1.2.4-r1".to_owned()));
    assert_eq!(changes.rebuilt.keys().collect::<Vec<_>>(), ["libfoo3"]);
    let rebuilt = new.packages[1].sha256;
    new.merge(old);
    let names: Vec<_> = new.packages.iter().map(|listed| listed.info.file_name()).collect();
    assert_eq!(names.len(), 7);
    assert_eq!(names[2..4], ["hello-1.2.3-r4.apk", "hello-1.2.4-r1.apk"]);
    assert_eq!(new.packages[4].sha256, rebuilt);
    assert_eq!(index([0, 0].into_iter()).to_adb().unwrap_err().id(), "APK003");
}

#[test]
fn a_package_must_be_the_one_that_was_listed() {
    let adb = |name: &str| Adb::read(&golden(name)[..], &limits()).unwrap();
    let index = index(0..6);
    index.packages[2].check(&adb("hello.signed-a.apk"), &limits()).unwrap();
    assert_eq!(index.packages[2].check(&adb("tiny-0.1.apk"), &limits()).unwrap_err().id(), "IDX004");
    let mut renamed = index.packages[2].clone();
    renamed.info.name = "other".into();
    assert_eq!(renamed.check(&adb("hello.none.apk"), &limits()).unwrap_err().id(), "IDX004");
}

/// Reads a malformed package the way a client would: signature by the golden key, then everything.
fn refusal(name: &str) -> &'static str {
    let bytes = common::bytes(&format!("malformed/apk/{name}.apk"));
    match apk::read(&bytes[..], &keys()[..1], &Limits::default()) {
        Ok(_) => "",
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.fix().is_empty());
            error.id()
        }
    }
}

/// What happens to each malformed package; apk installs or crashes on many of them (see the CSV files).
const MALFORMED: [(&str, &str); 75] = [
    ("good", ""),
    ("unsigned", "ADB009"),
    ("unknown-key", "ADB009"),
    ("adb-bitflip", "ADB009"),
    ("data-bitflip", "APK004"),
    ("truncated", "ADB002"),
    ("truncated-after-adb", "APK005"),
    ("deflate-truncated", "ADB002"),
    ("deflate-trailing-garbage", "GZ005"),
    ("none-trailing-garbage", "ADB003"),
    ("path-dotdot-dir", "APK002"),
    ("path-dotdot-mid", "APK002"),
    ("path-abs-dir", "APK002"),
    ("file-dotdot", "APK002"),
    ("file-slash", "APK002"),
    ("file-is-dotdot", "APK002"),
    ("dir-is-dotdot", "APK002"),
    ("control-char", "APK002"),
    ("nul-in-name", "ADB006"),
    ("symlink-dir", "APK002"),
    ("symlink-abs-target", ""), // common and harmless when nothing is written through it
    ("hardlink-outside", "APK002"),
    ("file-in-unlisted-dir", "APK002"),
    ("unsorted-dirs", "APK003"),
    ("unsorted-files", "APK003"),
    ("dup-file", "APK003"),
    ("dup-dir", "APK003"),
    ("size-mismatch", "APK005"),
    ("hash-missing", "APK002"),
    ("hash-short", "APK002"),
    ("hash-sha1-len20", "APK002"),
    ("hash-sha512", "APK002"),
    ("data-order-swapped", "APK005"),
    ("data-missing-one", "APK005"),
    ("data-extra", "APK005"),
    ("data-before-sig", "ADB009"),
    ("two-adb-blocks", "ADB009"),
    ("sig-wrong-schema", "ADB009"),
    ("sig-sha256", "ADB009"), // signed with what we do not count on
    ("sig-alg5-truncated", "ADB009"),
    ("sig-ver1", "ADB009"),
    ("sig-bad-then-good", ""), // one good signature suffices
    ("sig-huge", ""),          // a block that nobody understands is passed over
    ("pad-nonzero", "ADB003"),
    ("magic-bad", "ADB001"),
    ("schema-unknown", "ADB001"),
    ("schema-indx", "ADB001"),
    ("compat-ver-1", "ADB004"),
    ("adb-ver-9", ""), // only the compatibility version bars a reader
    ("empty-file", "ADB001"),
    ("short-file", "ADB003"),
    ("block-size-0", "ADB003"),
    ("block-huge", "GZ006"),
    ("ext-huge", "GZ006"),
    ("ext-small", "ADB003"),
    ("ext-x_size-4", "ADB003"),
    ("data-block-huge", "GZ006"),
    ("val-root-oob", "ADB005"),
    ("val-root-null", "ADB006"),
    ("val-root-blob", "ADB006"),
    ("val-num-huge", "ADB005"),
    ("val-num-0", "ADB006"),
    ("val-num-1", "ADB006"),
    ("val-name-oob", "ADB005"),
    ("val-name-null", "APK001"),
    ("val-name-int", "ADB006"),
    ("val-name-blob32", "ADB005"),
    ("val-self", "ADB006"),
    ("val-unaligned", "ADB005"),
    ("val-type-f", "ADB006"),
    ("val-type-4", "ADB006"),
    ("val-special-7", "ADB006"),
    ("val-cycle", "ADB006"),
    ("val-unsorted-deps", "APK003"),
    ("val-array-tag", ""), // either tag is as good
];

#[test]
fn every_malformed_package_is_refused_for_its_own_reason() {
    let observed = ["results-apk.csv", "results-apk-values.csv"]
        .map(|table| String::from_utf8(common::bytes(&format!("malformed/{table}"))).unwrap())
        .concat();
    assert_eq!(std::fs::read_dir(common::golden("malformed/apk")).unwrap().count(), MALFORMED.len());
    for (name, id) in MALFORMED {
        assert!(observed.contains(&format!("apk/{name}.apk,")), "{name}");
        assert_eq!(refusal(name), id, "{name}");
    }
}
