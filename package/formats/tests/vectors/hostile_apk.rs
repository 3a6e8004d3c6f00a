//! Malformed packages and feeds that apk installs or crashes on, and random damage.

use formats::adb::{Adb, Compression, Schema};
use formats::apk::index::Index;
use formats::apk::{self, Metadata};
use formats::ec::SecretKey;
use formats::{Content, Entry, Limits, Package};
use proptest::prelude::*;

use crate::apk::{golden, index, keys, limits, neutral, text, written};
use crate::common;

/// Reads a malformed package as a client would: signature with the golden key, then everything.
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
    ("sig-sha256", "ADB009"), // a hash for signatures that we do not support
    ("sig-alg5-truncated", "ADB009"),
    ("sig-ver1", "ADB009"),
    ("sig-bad-then-good", ""), // one good signature suffices
    ("sig-huge", ""),          // an unknown block is skipped
    ("pad-nonzero", "ADB003"),
    ("magic-bad", "ADB001"),
    ("schema-unknown", "ADB001"),
    ("schema-indx", "ADB001"),
    ("compat-ver-1", "ADB004"),
    ("adb-ver-9", ""), // only the compatibility version stops a reader
    ("empty-file", "ADB001"),
    ("short-file", "ADB003"),
    ("block-size-0", "ADB003"),
    ("block-huge", "IDX001"),
    ("ext-huge", "GZ006"),
    ("ext-small", "ADB003"),
    ("ext-x_size-4", "ADB003"),
    ("data-block-huge", "APK005"),
    ("val-root-oob", "ADB005"),
    ("val-root-null", "APK001"),
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
    ("val-array-tag", ""), // both tags are accepted
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
/// Reads a feed as a client does: the signed index first, then each package against its entry. Returns the step that
/// refuses it, and the id.
fn walk(folder: &str) -> (&'static str, &'static str) {
    let file = |name: &str| common::golden(&format!("malformed/adb/{folder}/{name}"));
    let limits = Limits::default();
    let index = match Index::read(&std::fs::read(file("packages.adb")).unwrap()[..], &keys()[..1], &limits) {
        Ok((index, _)) => index,
        Err(error) => return ("index", error.id()),
    };
    for listed in &index.packages {
        let name = match index.file_name(listed) {
            Ok(name) => name,
            Err(error) => return ("file name", error.id()),
        };
        let bytes = std::fs::read(file(&name)).unwrap();
        let trusted = |adb: &Adb| listed.check_file(adb, bytes.len() as u64, &limits);
        if let Err(error) = apk::inspect(&bytes[..], &limits, trusted) {
            return ("package", error.id());
        }
    }
    ("installs", "")
}

/// What happens to each malformed feed; apk's behaviour is in `results-index.csv`.
#[test]
fn every_malformed_feed_is_refused_at_the_right_step() {
    let table = [
        ("downgrade", "installs", ""), // refusing older versions is the client's task
        ("idx-arch-all", "package", "IDX004"),
        ("idx-arch-foreign", "package", "IDX004"),
        ("idx-arch-noarch", "package", "IDX004"),
        ("idx-bad-name", "index", "APK001"),
        ("idx-bad-version", "index", "APK001"),
        ("idx-bitflip", "index", "ADB009"),
        ("idx-dep-bad", "installs", ""), // so does a dependency that nothing provides
        ("idx-dotdot-name", "index", "APK001"),
        ("idx-dup", "index", "APK003"),
        ("idx-dup-diff", "index", "APK003"),
        ("idx-good", "installs", ""),
        ("idx-hash-31bytes", "index", "APK001"),
        ("idx-hash160", "index", "APK001"),
        ("idx-hash160-wrong", "index", "APK001"),
        ("idx-hash160-wrong-unsigned", "index", "APK001"),
        ("idx-hash512", "index", "APK001"),
        ("idx-installed-size-0", "package", "IDX004"),
        ("idx-name-mismatch", "package", "IDX004"),
        ("idx-nohash", "index", "APK001"),
        ("idx-pkg-as-index", "index", "ADB001"),
        ("idx-size-wrong", "package", "IDX004"),
        ("idx-spec-abs", "file name", "IDX003"),
        ("idx-truncated", "index", "ADB002"),
        ("idx-unknown-key", "index", "ADB009"),
        ("idx-unsigned", "index", "ADB009"),
        ("idx-unsorted", "index", "APK003"),
        ("idx-version-mismatch", "package", "IDX004"),
        ("pkg-swapped", "package", "IDX004"),
        ("pkg-swapped-signed", "package", "IDX004"),
    ];
    assert_eq!(std::fs::read_dir(common::golden("malformed/adb")).unwrap().count(), table.len());
    for (folder, step, id) in table {
        assert_eq!(walk(folder), (step, id), "{folder}");
    }
}

#[test]
fn a_name_pattern_stays_in_the_feed() {
    let mut index = index(5..6);
    let mut named = |spec: &str| {
        index.name_spec = spec.into();
        index.file_name(&index.packages[0]).map_err(|error| error.id())
    };
    assert_eq!(named("").unwrap(), "tiny-0.1.apk");
    assert_eq!(named("${arch}/${name}_${version}.apk").unwrap(), "noarch/tiny_0.1.apk");
    for spec in ["https://x/${name}", "/${name}", "../${name}", "${hash:8}", "${name}?x"] {
        assert_eq!(named(spec), Err("IDX003"), "{spec}");
    }
}

#[test]
fn no_cut_off_file_passes() {
    let secret = SecretKey::parse(&text("test-only-a.pem")).unwrap();
    for compression in [Compression::None, Compression::Deflate] {
        let good = written("hello", &[&secret], compression);
        for length in 0..good.len() {
            assert!(apk::read(&good[..length], &keys(), &limits()).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn zstd_is_held_to_the_same() {
    let good = golden("hello.zstd.apk");
    assert!(apk::inspect(&good[..], &limits(), |_| Ok(())).is_ok());
    for length in 0..good.len() {
        assert!(apk::inspect(&good[..length], &limits(), |_| Ok(())).is_err(), "cut at {length}");
    }
    let more = [&good[..], b"x"].concat();
    assert_eq!(apk::inspect(&more[..], &limits(), |_| Ok(())).unwrap_err().id(), "GZ005");
    let bomb = golden("edge.zstd-1.apk");
    let refused = apk::inspect(&bomb[..], &Limits { unpacked: 60_000, ..limits() }, |_| Ok(()));
    assert_eq!(refused.unwrap_err().id(), "GZ006");
}

#[test]
fn limits_hold() {
    let bytes = golden("edge+x.y_z-0.9_git20240101~deadbeef-r7.apk");
    let refused = |limits| apk::inspect(&bytes[..], &limits, |_| Ok(())).unwrap_err().id();
    assert_eq!(refused(Limits::default()), "APK006");
    assert_eq!(refused(Limits { unpacked: 60_000, ..limits() }), "GZ006");
    assert_eq!(refused(Limits { entries: 5, ..limits() }), "TAR011");
    assert_eq!(refused(Limits { index: 1000, ..limits() }), "IDX001");
    assert_eq!(refused(Limits { control: 100, ..limits() }), "APK001");
}

/// Signs changed metadata, so that the damage lies behind a valid signature.
fn resigned(mut adb: Adb) -> Vec<u8> {
    adb.signatures.clear();
    adb.sign(&SecretKey::from_random([7; 32]).unwrap()).unwrap();
    let mut bytes = Vec::new();
    adb.write(&mut bytes, Compression::None).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damage_behind_a_good_signature_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), package in any::<bool>()) {
        let mut adb = Adb::read(&golden(if package { "hello.none.apk" } else { "packages.none.adb" })[..], &limits()).unwrap();
        let at = at.index(adb.payload.len());
        adb.payload[at] = value;
        let _ = Index::from_adb(&adb, &limits());
        if let Ok(metadata) = Metadata::read(adb.clone(), &limits()) {
            prop_assert_eq!(metadata.members.iter().count(), metadata.members.len());
            for member in metadata.files() {
                prop_assert_eq!(formats::tar::path_problem(&member.entry.path), None);
            }
        }
        let bytes = resigned(adb);
        let _ = apk::dump(&bytes[..], &[], &limits());
    }

    #[test]
    fn damage_anywhere_never_passes(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let good = golden("hello.signed-a.none.apk");
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let read = apk::read(&bytes[..], &keys(), &limits());
        prop_assert!(read.is_err(), "byte {}", at);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for start in [&b""[..], b"ADB.pckg", b"ADB.indx", b"ADBd", b"ADBc\x01\x09", b"ADBc\x02\x09\x28\xb5\x2f\xfd"] {
            let bytes = [start, &bytes].concat();
            let _ = apk::dump(&bytes[..], &[], &limits());
            let _ = apk::inspect(&bytes[..], &limits(), |_| Ok(()));
        }
        let payload = [&[0, 0, 0, 0][..], &bytes, &[0; 8]].concat();
        for schema in [Schema::Package, Schema::Index] {
            let adb = Adb { schema, payload: payload.clone(), signatures: Vec::new() };
            let _ = Index::from_adb(&adb, &limits());
            let _ = Metadata::read(adb, &limits());
        }
    }

    #[test]
    fn any_plan_survives_a_round_trip(
        files in prop::collection::vec(("[a-z]{1,20}(/[a-z.-]{1,3}x){0,2}", 0u32..=0o7777, prop::collection::vec(any::<u8>(), 0..300)), 1..8),
        time in any::<u64>(),
    ) {
        let files: Vec<Entry> = files.into_iter().map(|(path, mode, bytes)| Entry::file(path, mode, Content::from(bytes))).collect();
        let package = Package { files: files.clone(), source_date_epoch: time, ..neutral() };
        prop_assume!(package.tree().is_ok());
        let plan = apk::Plan { files: files.clone(), time, ..apk::from_plan(&neutral()).unwrap() };
        let key = SecretKey::from_random([7; 32]).unwrap();
        let mut bytes = Vec::new();
        apk::write(&plan, &[&key], Compression::Deflate, &mut bytes).unwrap();
        let (_, read, _) = apk::read(&bytes[..], &[key.public()], &limits()).unwrap();
        for entry in files {
            let member = read.iter().find(|member| member.entry.path == entry.path).unwrap();
            prop_assert_eq!(&member.entry, &entry);
            prop_assert_eq!(member.time, time);
        }
    }
}
