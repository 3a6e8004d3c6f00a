//! The one table of oddities in a feed's index: what opkg does with each, and what we do.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use formats::Limits;
use formats::packages::{self, Oddity};

/// What happens to the package of an odd stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is read like any other.
    Taken,
    /// It is read without the odd part, which is reported.
    Warned,
    /// It is skipped and reported with the reason.
    Refused,
}

const DIGEST: &str = "4ec6cadf2f683f5298e9c1423dae25dc6b19473f875916b49299f1c3b45df312";

/// Each row: lines that replace those of a plain stanza, what we do, what opkg-lede 38eccbb did when asked to install
/// the package, and why we differ or not.
const TABLE: &[(&str, &str, &str, Fate, &str, &str)] = &[
    ("a comment", "Version: ", "# made by hand\nVersion: 1", Fate::Warned, "installs", "it says nothing"),
    ("line ends of Windows", "Version: ", "Version: 1\r", Fate::Refused, "refuses", "no field has its value"),
    (
        "a second line without a blank",
        "Description: ",
        "Description:  A\nmore",
        Fate::Warned,
        "installs",
        "it says nothing",
    ),
    (
        "a field twice that matters to nobody",
        "License: ",
        "License: X\nLicense: MIT",
        Fate::Warned,
        "installs",
        "it says nothing",
    ),
    (
        "a field twice that matters",
        "Version: ",
        "Version: 1\nVersion: 2",
        Fate::Refused,
        "takes the last",
        "which one is meant?",
    ),
    ("a dot in front", "Filename: ", "Filename: ./odd.ipk", Fate::Taken, "installs", "it leads nowhere else"),
    ("the way up", "Filename: ", "Filename: ../x/odd.ipk", Fate::Refused, "installs", "it leads out of the feed"),
    (
        "a greedy dependency",
        "Depends: ",
        "Depends: libc, foo *",
        Fate::Refused,
        "installs all that fit",
        "what comes along is not said",
    ),
    (
        "a digest of another kind alone",
        "SHA256sum: ",
        "MD5Sum: 0123456789abcdef0123456789abcdef",
        Fate::Refused,
        "installs if it is the file's",
        "files with one MD5 can be made at will",
    ),
    (
        "a digest of another kind besides",
        "License: ",
        "MD5Sum: 0123456789abcdef0123456789ABCDEF",
        Fate::Taken,
        "installs if both are the file's",
        "so do we",
    ),
    (
        "a digest of another kind besides, spelled so",
        "License: ",
        "MD5sum: 0123456789abcdef0123456789abcdef",
        Fate::Taken,
        "installs if both are the file's",
        "so do we",
    ),
    (
        "a short digest of another kind besides",
        "License: ",
        "MD5Sum: 0123",
        Fate::Warned,
        "installs",
        "it checks nothing",
    ),
    (
        "no hex digits besides",
        "License: ",
        "MD5Sum: 0123456789abcdef0123456789abcdeg",
        Fate::Warned,
        "installs",
        "it checks nothing",
    ),
    (
        "a digest of another kind twice",
        "License: ",
        "MD5Sum: 0123456789abcdef0123456789abcdef\nMD5Sum: 1123456789abcdef0123456789abcdef",
        Fate::Refused,
        "checks the last",
        "which one is meant?",
    ),
    ("no digest", "SHA256sum: ", "", Fate::Refused, "installs unverified", "the file cannot be verified"),
    (
        "a short digest",
        "SHA256sum: ",
        "SHA256sum: 4ec6",
        Fate::Refused,
        "installs unverified",
        "the file cannot be verified",
    ),
    ("no architecture", "Architecture: ", "", Fate::Refused, "refuses", "nobody knows whom it is for"),
    ("no size", "Size: ", "", Fate::Refused, "installs", "nothing bounds what is fetched"),
    (
        "a size in hexadecimal digits",
        "Size: ",
        "Size: 0x236",
        Fate::Refused,
        "installs",
        "other readers see nothing or 0",
    ),
    (
        "an installed size with a unit",
        "Installed-Size: ",
        "Installed-Size: 10240 KB",
        Fate::Warned,
        "installs",
        "it decides nothing",
    ),
    ("an empty item", "Depends: ", "Depends: libc,", Fate::Warned, "installs", "it says nothing"),
    (
        "an item of blanks",
        "Depends: ",
        "Depends: libc, , foo",
        Fate::Refused,
        "crashes, whatever was asked",
        "no router can read the feed",
    ),
    ("a field with an underscore", "License: ", "X_Note: a", Fate::Warned, "installs", "it says nothing"),
    (
        "a digest in capitals",
        "SHA256sum: ",
        "SHA256sum: 4EC6CADF2F683F5298E9C1423DAE25DC6B19473F875916B49299F1C3B45DF312",
        Fate::Taken,
        "installs",
        "it is the same digest",
    ),
    (
        "a version with other characters",
        "Version: ",
        "Version: v1.0@abc",
        Fate::Refused,
        "installs",
        "no dependency can name it",
    ),
    (
        "an epoch",
        "Version: ",
        "Version: 1:2.0-r1\nFilename: odd_1:2.0-r1_all.ipk",
        Fate::Taken,
        "installs",
        "the server is asked for %3a",
    ),
    (
        "a name with other characters",
        "Package: ",
        "Package: ../odd",
        Fate::Refused,
        "writes outside",
        "it leads out of its place",
    ),
    ("a provided version", "Depends: ", "Provides: x=1.0", Fate::Taken, "installs", "nobody finds x, as with opkg"),
    (
        "a provided version in parentheses",
        "Depends: ",
        "Provides: x (= 1.0), y z",
        Fate::Taken,
        "installs",
        "x, y and z are found",
    ),
];

fn plain() -> Vec<String> {
    let lines = [
        "Package: odd",
        "Version: 1.0-r1",
        "Depends: libc",
        "License: MIT",
        "Architecture: all",
        "Installed-Size: 10240",
        "Filename: odd_1.0-r1_all.ipk",
        "Size: 566",
        &format!("SHA256sum: {DIGEST}"),
        "Description:  A thing",
    ];
    lines.map(str::to_owned).to_vec()
}

/// A stanza in which `lines` replace the fields that they name, or `field` when they name none.
fn odd(field: &str, lines: &str) -> String {
    let names: Vec<&str> = lines.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    let mut text = String::new();
    for line in plain() {
        if line.starts_with(field) {
            text += format!("{lines}\n").replace("\n\n", "\n").trim_start_matches('\n');
        } else if !names.iter().any(|name| line.starts_with(&format!("{name}: "))) {
            text += &format!("{line}\n");
        }
    }
    text
}

#[test]
fn blanks_between_two_stanzas_do_not_make_them_one() {
    let other = plain().join("\n").replace("odd", "other");
    let text = format!("{}\n \n more of it\n \n{other}\n", plain().join("\n"));
    let (listed, oddities) = packages::read_each(text.as_bytes(), &Limits::default()).unwrap();
    assert!(oddities.is_empty(), "{oddities:?}");
    assert_eq!(listed[0].control.stanza.get("Description"), Some("A thing\n\nmore of it"));
    assert_eq!(listed[1].control.package, "other");
}

#[test]
fn one_odd_stanza_does_not_hide_the_others() {
    let other = plain().join("\n").replace("odd", "other");
    for (what, field, lines, fate, opkg, why) in TABLE {
        assert!(!opkg.is_empty() && !why.is_empty(), "{what}");
        let text = format!("{other}\n\n{}\n{}\n", odd(field, lines), other.replace("other", "last"));
        let (listed, oddities) = packages::read_each(text.as_bytes(), &Limits::default()).unwrap();
        let names: Vec<&str> = listed.iter().map(|listed| listed.control.package.as_str()).collect();
        let expected: &[&str] = if *fate == Fate::Refused { &["other", "last"] } else { &["other", "odd", "last"] };
        assert_eq!(names, expected, "{what}: {oddities:?}");
        let found: Vec<Fate> = oddities.iter().map(fate_of).collect();
        let expected: &[Fate] = if *fate == Fate::Taken { &[] } else { &[*fate] };
        assert_eq!(found, expected, "{what}: {oddities:?}");
        assert!(oddities.iter().all(|oddity| oddity.package.as_deref().is_some_and(|name| name.contains("odd"))));
        assert!(oddities.iter().all(|oddity| oddity.line == plain().len() + 2), "{what}: {oddities:?}");
        // Reading the index as a whole fails with it, or not.
        assert_eq!(packages::read(text.as_bytes(), &Limits::default()).is_ok(), *fate == Fate::Taken, "{what}");
    }
}

fn fate_of(oddity: &Oddity) -> Fate {
    if oddity.is_refused { Fate::Refused } else { Fate::Warned }
}
