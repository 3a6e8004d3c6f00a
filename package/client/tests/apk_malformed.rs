//! Packages and feeds of apk that are wrong in one way each: what apk does with them, and what we do.
//!
//! The inputs are the golden ones of crate `formats`; some try to write to `/golden-outside`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use common::Scratch;

fn golden(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/golden").join(path)
}

/// A root that trusts the key that the golden files are signed with.
fn root(repositories: &[&str]) -> Scratch {
    let root = Scratch::for_apk(repositories);
    root.write("etc/apk/keys/golden.pem", &fs::read_to_string(golden("apk/test-only-a.pub.pem")).unwrap());
    root
}

/// What is refused with each id. Apk installs many of them, and crashes on some.
const PACKAGES: &[(&str, &str)] = &[
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

/// Those that are installed, and a file that comes of each.
const ACCEPTED: &[(&str, &str)] = &[
    ("good", "etc/foo"),
    ("sig-bad-then-good", "etc/foo"),
    ("sig-huge", "etc/foo"),
    ("adb-ver-9", "etc/foo"),
    // Where a link leads is no matter: following it stays in the root.
    ("symlink-abs-target", "s"),
];

#[test]
fn every_malformed_package_is_refused_and_leaves_no_trace() {
    let mut known = BTreeSet::new();
    for (id, names) in PACKAGES {
        for name in names.split_ascii_whitespace() {
            known.insert(name);
            let root = root(&[]);
            let before = root.tree();
            let answer = root.apk_live(&["add", golden(&format!("malformed/apk/{name}.apk")).as_str()]);
            let shown = format!("{name}: {}", answer.err);
            assert!(answer.code == 1 && answer.err.contains(&format!("[{id}]")), "{shown}");
            assert_eq!(root.tree(), before, "{shown}");
            assert!(!Utf8Path::new("/golden-outside/evil").exists(), "{shown}");
        }
    }
    for (name, path) in ACCEPTED {
        known.insert(name);
        let root = root(&[]);
        root.apk(&["add", golden(&format!("malformed/apk/{name}.apk")).as_str()]).done();
        assert!(root.has(path), "{name}");
    }
    let there = fs::read_dir(golden("malformed/apk")).unwrap().count();
    assert_eq!(known.len(), there, "every package has its line");
}

/// Name, what apk does, what to install, the id that `update` fails with, and that of `add`; no id where it
/// succeeds.
const FEEDS: &[(&str, &str, &str, &str, &str)] = &[
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

#[test]
fn every_malformed_feed_is_refused_and_leaves_no_trace() {
    for (name, apk, package, update, add) in FEEDS {
        let root = root(&[golden(&format!("malformed/adb/{name}/packages.adb")).as_str()]);
        for (words, id) in [(&["update"][..], update), (&["add", package], add)] {
            let before = root.tree();
            let answer = root.apk_live(words);
            let shown = format!("{name} {words:?} (apk {apk}): {}{}", answer.out, answer.err);
            if id.is_empty() {
                assert_eq!(answer.code, 0, "{shown}");
            } else {
                assert!(answer.code == 1 && answer.err.contains(&format!("[{id}]")), "{shown}");
                assert_eq!(root.tree(), before, "{shown}");
            }
        }
        assert_eq!(root.has("usr/bin/foo"), add.is_empty(), "{name}");
    }
    assert_eq!(fs::read_dir(golden("malformed/adb")).unwrap().count(), FEEDS.len(), "every feed has its line");
}
