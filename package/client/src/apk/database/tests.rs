//! The database as apk wrote it, as we write it, and damaged.

use super::super::installed::{Checksum, identity_in_index};
use super::super::owners::Owners;
use super::*;
use formats::adb::Adb;
use formats::apk::{Dependency, Info, Script};
use formats::{Limits, apk};
use proptest::prelude::*;

/// Written by the real apk, with the packages beside it.
const GOLDEN: &str = include_str!("../../../../formats/tests/golden/apk/installed-db.txt");

fn parse(text: &str) -> Result<Database, String> {
    Database::read(text.as_bytes())
}

#[test]
fn what_apk_wrote_is_read_and_written_back_byte_for_byte() {
    let database = parse(GOLDEN).unwrap();
    assert_eq!(
        database.0.keys().collect::<Vec<_>>(),
        ["hello", "jshn", "kernel", "libc", "libfoo3", "sh", "ubus", "uci", "zlib"]
    );
    assert_eq!(database.text(), GOLDEN);
    let hello = &database.0["hello"];
    assert!(hello.is_complete() && hello.is_configured());
    assert_eq!(hello.folders().count(), 14);
    assert!(hello.files().any(|(path, checksum)| path == "/usr/share/hello/empty"
        && checksum.is_some_and(|sum| sum.to_string() == "Q147DEQpj8HBSa+/TImW+5JCeuQeQ=")));
}

#[test]
fn our_entries_of_the_same_packages_are_those_that_apk_made() {
    let database = parse(GOLDEN).unwrap();
    let owners = Owners::parse("svc:x:850:850::/:/bin/sh\n", "svc:x:850:\n");
    for (name, file) in [("hello", "hello-1.2.3-r4.apk"), ("libfoo3", "libfoo3-1.0.0-r1.apk")] {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/golden/apk").join(file);
        let bytes = std::fs::read(path).unwrap();
        let digest = Adb::read(&bytes[..], &Limits::default()).unwrap().digest();
        let mut metadata = apk::inspect(&bytes[..], &Limits::default(), |_| Ok(())).unwrap();
        metadata.info.unique_id = Some(identity_in_index(&digest));
        let ours = Installed::new(&metadata, bytes.len() as u64, &owners, &BTreeSet::new());
        let text = |package: &Installed| {
            let mut text = Vec::new();
            package.write(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(&ours), text(&database.0[name]));
    }
}

#[test]
fn a_long_description_is_cut_where_apk_cuts_it() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/golden/apk/tiny-0.1.apk");
    let bytes = std::fs::read(path).unwrap();
    let mut metadata = apk::inspect(&bytes[..], &Limits::default(), |_| Ok(())).unwrap();
    for (text, length) in [("ü".repeat(300), 512), (format!("x{}", "ü".repeat(300)), 511), ("short".into(), 5)] {
        metadata.info.description = text;
        let ours = Installed::new(&metadata, 1, &Owners::default(), &BTreeSet::new());
        assert_eq!(ours.info.description.len(), length);
    }
}

#[test]
fn a_damaged_database_is_no_empty_one() {
    let good = "C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nP:a\nV:1\n";
    assert!(parse(good).is_ok());
    for bad in [
        "nonsense",
        "P:a\nV:1\n",
        "C:Q1AAAA\nP:a\nV:1\n",
        &format!("{good}X:1\n"),
        &format!("{good}S:many\n"),
        &format!("{good}D:=1\n"),
        &format!("{good}R:file\n"),
        &format!("{good}F:a\nZ:Q1\n"),
        &format!("{good}F:a/../b\n"),
        &format!("{good}F:a\nR:..\n"),
        &format!("{good}F:a\nR:b/c\n"),
        &format!("{good}F:a\nP:b\n"),
        &format!("{good}\n{good}"),
        &good.replace("P:a", "P:../a"),
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
    root.make_parents(INSTALLED.into()).unwrap();
    for bytes in [&b"nonsense"[..], b"P:\xff"] {
        root.write(INSTALLED.into(), Access::root(0o644), false, &mut &bytes[..]).unwrap();
        let error = Database::load(&root).unwrap_err();
        assert!(error.id() == "INST024" && error.line().contains(INSTALLED), "{}", error.line());
    }
}

#[test]
fn scripts_and_triggers_come_back_with_the_package_they_belong_to() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
    let mut package = Installed::kernel("6.12-r1", "x86_64");
    package.scripts = Script::ALL.into_iter().map(|script| (script, script.name().as_bytes().to_vec())).collect();
    package.triggers = vec!["/lib/modules/*".into(), "/etc".into()];
    let database = Database([("kernel".to_owned(), package.clone())].into());
    sidecars::save(&root, &database.0).unwrap();
    database.save(&root).unwrap();
    assert_eq!(Database::load(&root).unwrap(), database);

    // The other version has no scripts or triggers.
    let other = Database([("kernel".to_owned(), Installed::kernel("6.12-r2", "x86_64"))].into());
    other.save(&root).unwrap();
    assert_eq!(Database::load(&root).unwrap(), other);
    root.write(sidecars::SCRIPTS.into(), Access::root(0o644), false, &mut &b"nonsense"[..]).unwrap();
    let error = Database::load(&root).unwrap_err();
    assert!(error.id() == "INST024" && error.line().contains(sidecars::SCRIPTS), "{}", error.line());
}

fn package() -> impl Strategy<Value = Installed> {
    let info = (
        "[a-z][a-z0-9+.-]{0,8}",
        "[0-9](\\.[0-9]{1,3}){0,2}(-r[0-9])?",
        any::<[u8; 20]>(),
        "[ -~]{0,20}",
        any::<Option<[u8; 20]>>(),
    );
    let list = prop::collection::vec("!?[a-z]{1,5}(<|>|=|~|>=)[0-9]|[a-z]{1,5}", 0..4);
    let file =
        ("[a-zA-Z0-9_]{1,6}", prop::option::of("0:0:755"), prop::option::of("Q1[a-zA-Z0-9+/]{27}=|[0-9a-f]{32}"));
    let folder = ("[a-z]{1,3}(/[a-z]{1,3}){0,2}", prop::option::of("1:2:1777"), prop::collection::vec(file, 0..3));
    let folders = prop::collection::vec(folder, 0..4);
    (info, list, folders, prop::collection::btree_set("[fsxS]", 0..4), prop::collection::vec("[xs]:[ -~]{1,9}", 0..2))
        .prop_map(|((name, version, id, text, commit), list, folders, marks, kept)| {
            let depends: Vec<Dependency> = list.iter().map(|item| item.parse().unwrap()).collect();
            let files = |list: Vec<(String, Option<String>, Option<String>)>| {
                let mut files = Files::default();
                for (name, access, checksum) in &list {
                    let (access, checksum) = (access.as_deref(), checksum.as_deref().map(Checksum::parse));
                    files.extend([File { name, access, checksum }]);
                }
                files
            };
            Installed {
                info: Info {
                    name,
                    version,
                    unique_id: Some(id),
                    description: text,
                    build_time: commit.map(|bytes| u64::from(bytes[0])),
                    repo_commit: commit,
                    replaces: depends.clone(),
                    depends,
                    ..Info::default()
                },
                marks: marks.iter().flat_map(|mark| mark.chars()).collect(),
                folders: folders
                    .into_iter()
                    .map(|(path, access, list)| Folder { path, access, files: files(list) })
                    .collect(),
                replaces_priority: u64::from(id[0] / 2),
                kept,
                ..Installed::default()
            }
        })
}

proptest! {
    #[test]
    fn what_was_written_is_read(packages in prop::collection::vec(package(), 0..4)) {
        let database = Database(packages.into_iter().map(|package| (package.info.name.clone(), package)).collect());
        let read = parse(&database.text()).unwrap();
        prop_assert_eq!(&read.text(), &database.text());
        prop_assert_eq!(read, database);
    }

    #[test]
    fn no_text_makes_it_panic(text in "([CPVASITULotckDpigrqsfFMRaZ]:|[ -~]{0,4}|\n)*") {
        if let Ok(database) = parse(&text) {
            prop_assert!(parse(&database.text()).is_ok());
        }
    }
}
