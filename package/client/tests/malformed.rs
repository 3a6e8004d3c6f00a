//! Packages and feeds with one defect each: what the real managers do with them, and what we do.
//!
//! Those of apk are the golden files of the crate `formats`; some of both try to write to `/golden-outside`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use common::Scratch;
use formats::Format;
use formats::usign::PublicKey;

/// Name, defect, what opkg does, and the id with which we refuse it.
const OPKG_REFUSED: &[(&str, &str, &str, &str)] = &[
    ("trunc-outer", "the outer gzip is cut off", "refuses", "INST012"),
    ("trunc-data", "data.tar.gz is cut off", "installs what came out", "INST012"),
    ("crc-data", "wrong gzip checksum", "installs", "INST012"),
    ("flip-data", "one bit of the data changed", "installs junk", "INST012"),
    ("order", "members in another order", "installs", "INST012"),
    ("nodata", "no data.tar.gz", "installs nothing, says installed", "INST012"),
    ("noctl", "no control.tar.gz", "refuses", "INST012"),
    ("nodeb", "no debian-binary", "installs", "INST012"),
    ("dotdot", "../ in a path", "writes outside of the root", "INST013"),
    ("abs", "an absolute path", "tries to write there", "INST013"),
    ("symdir", "a link, then a file through it", "writes outside of the root", "INST013"),
    ("hardlink", "a hard link to a file outside", "links it", "INST013"),
    ("hugesize", "a size of 8 GiB", "installs what there is", "INST012"),
    ("b256", "a base-256 size", "loses the rest, says installed", "INST012"),
    ("negsize", "a negative size", "loses the rest, says installed", "INST012"),
    ("longlinkhuge", "a long name of 8 GiB", "installs nothing, says installed", "INST012"),
    ("badchk", "a wrong header checksum", "loses the rest, says installed", "INST012"),
    ("pax", "a pax header", "loses the rest, says installed", "INST012"),
    ("dev", "a device node", "makes it", "INST014"),
    ("name", "Package: ../../x", "writes info files elsewhere", "INST012"),
    ("nofields", "no Package", "refuses", "INST012"),
    ("noarch", "no Architecture", "refuses", "INST012"),
    ("wrongarch", "another architecture", "refuses", "OPKG017"),
    ("crlf", "line ends of Windows", "refuses", "INST012"),
    ("empty", "an empty file", "refuses", "INST012"),
    ("ar", "an ar container", "refuses", "INST012"),
    ("ctlscript", "a control file with ../", "writes outside of the root", "INST013"),
    ("trail", "junk after the end", "installs", "INST012"),
    ("tarplain", "not compressed", "refuses", "INST012"),
    ("dup", "a path twice", "installs the second", "INST012"),
];

/// Packages that we install, and the files that they bring.
const OPKG_ACCEPTED: &[(&str, &[&str])] = &[
    ("good", &["/a", "/b", "/c"]),
    // Any target is allowed: following the link cannot leave the root.
    ("symabs", &["/s"]),
    ("setuid", &["/su"]),
    // A dependency on itself, 18 kB of it.
    ("longline", &["/a"]),
];

/// What is refused with each id. apk installs many of them, and crashes on some.
const APK_REFUSED: &[(&str, &str)] = &[
    (
        "APKC003",
        "unsigned unknown-key adb-bitflip data-before-sig two-adb-blocks sig-wrong-schema sig-sha256 sig-alg5-truncated sig-ver1",
    ),
    ("APKC005", "val-array-tag"), // well-formed, and needs a package that nobody has
    (
        "INST013",
        "path-dotdot-dir path-dotdot-mid path-abs-dir file-dotdot file-slash file-is-dotdot dir-is-dotdot control-char \
         symlink-dir hardlink-outside file-in-unlisted-dir hash-missing hash-short hash-sha1-len20 hash-sha512",
    ),
    (
        "INST012",
        "data-bitflip truncated truncated-after-adb deflate-truncated deflate-trailing-garbage none-trailing-garbage \
         nul-in-name unsorted-dirs unsorted-files dup-file dup-dir size-mismatch data-order-swapped data-missing-one \
         data-extra pad-nonzero magic-bad schema-unknown schema-indx compat-ver-1 empty-file short-file block-size-0 \
         block-huge ext-huge ext-small ext-x_size-4 data-block-huge val-root-oob val-root-null val-root-blob \
         val-num-huge val-num-0 val-num-1 val-name-oob val-name-null val-name-int val-name-blob32 val-self \
         val-unaligned val-type-f val-type-4 val-special-7 val-cycle val-unsorted-deps",
    ),
];

/// Packages that we install, and the files that they bring.
const APK_ACCEPTED: &[(&str, &[&str])] = &[
    ("good", &["/etc/foo"]),
    ("sig-bad-then-good", &["/etc/foo"]),
    ("sig-huge", &["/etc/foo"]),
    ("adb-ver-9", &["/etc/foo"]),
    // Any target is allowed: following the link cannot leave the root.
    ("symlink-abs-target", &["/s"]),
];

/// Name, what the real manager does, what to install, and the ids of the errors of `update` and of the installation; an
/// empty id means success.
type FeedCase = (&'static str, &'static str, &'static str, &'static str, &'static str);

const OPKG_FEEDS: &[FeedCase] = &[
    ("good-signed-feed", "installs", "foo", "", ""),
    ("three-versions-in-one-feed", "installs the newest", "foo", "", ""),
    ("feed-older-than-installed", "installs; keeps a newer one", "foo", "", ""),
    ("packages-sig-missing", "update exits 1", "foo", "OPKG006", "OPKG015"),
    ("packages-changed-after-signing", "update exits 0", "foo", "OPKG008", "OPKG015"),
    ("packages-gz-truncated", "update exits 0", "foo", "INST009", "OPKG015"),
    ("forged-fingerprint-in-signature", "update exits 0", "foo", "OPKG008", "OPKG015"),
    ("upper-case-right-digest", "has no signature", "foo", "OPKG006", "OPKG015"),
    ("wrong-sha256sum", "refuses", "foo", "", "OPKG004"),
    ("upper-case-wrong", "refuses", "foo", "", "OPKG004"),
    ("wrong-size", "refuses", "foo", "", "OPKG004"),
    ("short-sha256sum", "installs unchecked", "foo", "", "OPKG010"),
    ("no-sha256sum-no-size", "installs unchecked", "foo", "", "OPKG010"),
    ("md5sum-wrong-only", "refuses; installs a right one", "foo", "", "OPKG010"),
    ("filename-with", "fetches from above the feed", "foo", "", "OPKG010"),
    ("index-says-bar-file-says-foo", "installs foo as bar", "bar", "", "INST011"),
    ("index-version-9-9-file-1-0", "installs 1.0 as 9.9", "foo", "", "INST011"),
];

const APK_FEEDS: &[FeedCase] = &[
    ("idx-good", "installs", "foo", "", ""),
    ("downgrade", "installs; downgrades if told so", "foo", "", ""),
    ("idx-unsigned", "refuses", "foo", "APKC002", "APKC005"),
    ("idx-unknown-key", "refuses", "foo", "APKC002", "APKC005"),
    ("idx-bitflip", "refuses", "foo", "APKC002", "APKC005"),
    ("idx-truncated", "refuses", "foo", "INST009", "APKC005"),
    ("pkg-swapped", "refuses", "foo", "", "APKC004"),
    ("pkg-swapped-signed", "refuses", "foo", "", "APKC004"),
    ("idx-size-wrong", "installs", "foo", "", "APKC004"),
    ("idx-name-mismatch", "installs bar as foo", "foo", "", "INST011"),
    ("idx-version-mismatch", "installs 1.0 as 9.9", "foo", "", "INST011"),
    ("idx-nohash", "refuses", "foo", "INST009", "APKC005"),
    ("idx-hash160", "wants the package signed", "foo", "INST009", "APKC005"),
    ("idx-hash160-wrong", "installs a signed package", "foo", "INST009", "APKC005"),
    ("idx-hash160-wrong-unsigned", "refuses", "foo", "INST009", "APKC005"),
    ("idx-hash512", "installs", "foo", "INST009", "APKC005"),
    ("idx-hash-31bytes", "refuses", "foo", "INST009", "APKC005"),
    ("idx-installed-size-0", "says installed, fetches nothing", "foo", "", "INST011"),
    ("idx-arch-all", "refuses", "foo", "", "APKC005"),
    ("idx-arch-noarch", "installs", "foo", "", "INST011"),
    ("idx-arch-foreign", "refuses", "foo", "", "APKC005"),
    ("idx-unsorted", "installs", "foo", "INST009", "APKC005"),
    ("idx-dup", "installs", "foo", "INST009", "APKC005"),
    ("idx-dup-diff", "installs one of them", "foo", "INST009", "APKC005"),
    ("idx-pkg-as-index", "refuses", "foo", "INST009", "APKC005"),
    ("idx-bad-name", "finds nothing", "foo", "INST009", "APKC005"),
    ("idx-bad-version", "installs", "foo", "INST009", "APKC005"),
    ("idx-dotdot-name", "fetches from above the feed", "foo", "INST009", "APKC005"),
    ("idx-spec-abs", "fetches from elsewhere", "foo", "INST009", "APKC005"),
    ("idx-dep-bad", "refuses", "foo", "", "APKC005"),
];

fn golden(manager: Format, path: &str) -> Utf8PathBuf {
    let folder = match manager {
        Format::Ipk => "tests/golden",
        Format::Apk => "../formats/tests/golden",
    };
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(path)
}

/// A root that trusts the key that signed the golden files.
fn root(manager: Format, feeds: &[&str]) -> Scratch {
    let key = |path| fs::read_to_string(golden(manager, path)).unwrap();
    match manager {
        Format::Ipk => {
            let root = Scratch::new(feeds);
            let key = key("test-only-usign.pub");
            root.write(&format!("etc/opkg/keys/{}", PublicKey::parse(&key).unwrap().fingerprint), &key);
            root
        }
        Format::Apk => {
            let root = Scratch::for_apk(feeds);
            root.write("etc/apk/keys/golden.pem", &key("apk/test-only-a.pub.pem"));
            root
        }
    }
}

/// Asserts that the command ends with this id and changes nothing; an empty id means success.
fn ends(manager: Format, root: &Scratch, words: &[&str], id: &str, shown: &str) {
    let before = root.tree();
    let answer = root.run_live(manager, words);
    let shown = format!("{shown} {words:?}: {}{}", answer.out, answer.err);
    if id.is_empty() {
        assert_eq!(answer.code, 0, "{shown}");
    } else {
        let refused = answer.code == common::refusal(manager) && answer.err.contains(&format!("[{id}]"));
        assert!(refused, "{shown}");
        assert_eq!(root.tree(), before, "{shown}");
    }
    assert!(!Utf8Path::new("/golden-outside/evil").exists(), "{shown}");
}

/// Checks the `refused` packages of a folder, with how each is shown and its id, and the `accepted` ones.
fn packages(manager: Format, folder: &str, refused: &[(&str, String, &str)], accepted: &[(&str, &[&str])]) {
    let file = |name: &str| golden(manager, &format!("{folder}/{name}.{manager}"));
    let add = common::add(manager);
    for (name, shown, id) in refused {
        ends(manager, &root(manager, &[]), &[add, file(name).as_str()], id, shown);
    }
    for (name, files) in accepted {
        let root = root(manager, &[]);
        ends(manager, &root, &[add, file(name).as_str()], "", name);
        assert!(files.iter().all(|path| root.has(path.trim_start_matches('/'))), "{name}");
        if manager == Format::Ipk {
            assert_eq!(root.read("usr/lib/opkg/info/good.list").lines().collect::<Vec<_>>(), *files, "{name}");
        }
    }
    let known: BTreeSet<&str> =
        refused.iter().map(|(name, ..)| *name).chain(accepted.iter().map(|(name, _)| *name)).collect();
    assert_eq!(known.len(), fs::read_dir(golden(manager, folder)).unwrap().count(), "every package has its line");
}

/// Checks feeds: `index` completes the address of each, and `file` is what the one package of all of them installs.
fn feeds(manager: Format, folder: &str, index: &str, file: &str, cases: &[FeedCase]) {
    for (name, real, package, update, install) in cases {
        let root = root(manager, &[golden(manager, &format!("{folder}/{name}{index}")).as_str()]);
        let shown = format!("{name} (the real one {real})");
        ends(manager, &root, &["update"], update, &shown);
        ends(manager, &root, &[common::add(manager), package], install, &shown);
        assert_eq!(root.has(file), install.is_empty(), "{name}");
    }
    assert_eq!(fs::read_dir(golden(manager, folder)).unwrap().count(), cases.len(), "every feed has its line");
}

#[test]
fn every_malformed_package_is_refused_and_leaves_no_trace() {
    let opkg: Vec<_> = OPKG_REFUSED
        .iter()
        .map(|(name, wrong, opkg, id)| (*name, format!("{name} ({wrong}; opkg {opkg})"), *id))
        .collect();
    packages(Format::Ipk, "ipk", &opkg, OPKG_ACCEPTED);
    let named = |(id, names): &(&'static str, &'static str)| {
        let id = *id;
        names.split_ascii_whitespace().map(move |name| (name, name.to_owned(), id))
    };
    let apk: Vec<_> = APK_REFUSED.iter().flat_map(named).collect();
    packages(Format::Apk, "malformed/apk", &apk, APK_ACCEPTED);
}

#[test]
fn every_malformed_feed_is_refused_and_leaves_no_trace() {
    feeds(Format::Ipk, "feed", "", "foo", OPKG_FEEDS);
    feeds(Format::Apk, "malformed/adb", "/packages.adb", "usr/bin/foo", APK_FEEDS);
}
