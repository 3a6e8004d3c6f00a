//! Packages and feeds that are wrong in one way each: what opkg does with them, and what we do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::fs;

use camino::Utf8PathBuf;
use common::Scratch;
use formats::usign::PublicKey;

fn golden(path: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// Name, what is wrong, what opkg does, and the id we refuse it with.
const PACKAGES: &[(&str, &str, &str, &str)] = &[
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

/// Those that are installed, and the files that come of them.
const ACCEPTED: &[(&str, &[&str])] = &[
    ("good", &["/a", "/b", "/c"]),
    // Where a link leads is no matter: following it stays in the root.
    ("symabs", &["/s"]),
    ("setuid", &["/su"]),
    // A dependency on itself, 18 kB of it.
    ("longline", &["/a"]),
];

#[test]
fn every_malformed_package_is_refused_and_leaves_no_trace() {
    for (name, wrong, opkg, id) in PACKAGES {
        let root = Scratch::new(&[]);
        let before = root.tree();
        let answer = root.opkg(&["install", golden(&format!("ipk/{name}.ipk")).as_str()]);
        let shown = format!("{name} ({wrong}; opkg {opkg}): {}", answer.err);
        assert!(answer.code == 255 && answer.err.contains(&format!("[{id}]")), "{shown}");
        assert_eq!(root.tree(), before, "{shown}");
        assert!(!camino::Utf8Path::new("/golden-outside/evil").exists(), "{shown}");
    }
    for (name, files) in ACCEPTED {
        let root = Scratch::new(&[]);
        root.opkg(&["install", golden(&format!("ipk/{name}.ipk")).as_str()]).done();
        assert_eq!(root.read("usr/lib/opkg/info/good.list").lines().collect::<Vec<_>>(), *files, "{name}");
    }
    let count = fs::read_dir(golden("ipk")).unwrap().count();
    assert_eq!(count, PACKAGES.len() + ACCEPTED.len(), "every package has its line");
}

/// Name, what opkg does, what to install, the id that `update` fails with, and that of `install`;
/// no id where it succeeds.
const FEEDS: &[(&str, &str, &str, &str, &str)] = &[
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
    ("md5sum-wrong-only", "refuses; has no SHA256sum", "foo", "", "OPKG010"),
    ("filename-with", "fetches from above the feed", "foo", "", "OPKG010"),
    ("index-says-bar-file-says-foo", "installs foo as bar", "bar", "", "INST011"),
    ("index-version-9-9-file-1-0", "installs 1.0 as 9.9", "foo", "", "INST011"),
];

#[test]
fn every_malformed_feed_is_refused_and_leaves_no_trace() {
    for (name, opkg, package, update, install) in FEEDS {
        let root = Scratch::new(&[golden(&format!("feed/{name}")).as_str()]);
        let key = fs::read_to_string(golden("test-only-usign.pub")).unwrap();
        let fingerprint = PublicKey::parse(&key).unwrap().fingerprint;
        root.write(&format!("etc/opkg/keys/{fingerprint}"), &key);
        for (words, id) in [(&["update"][..], update), (&["install", package], install)] {
            let before = root.tree();
            let answer = root.opkg(words);
            let shown = format!("{name} {words:?} (opkg {opkg}): {}{}", answer.out, answer.err);
            if id.is_empty() {
                assert_eq!(answer.code, 0, "{shown}");
            } else {
                assert!(answer.code == 255 && answer.err.contains(&format!("[{id}]")), "{shown}");
                assert_eq!(root.tree(), before, "{shown}");
            }
        }
        assert_eq!(root.has("foo"), install.is_empty(), "{name}");
    }
    assert_eq!(fs::read_dir(golden("feed")).unwrap().count(), FEEDS.len(), "every feed has its line");
}
