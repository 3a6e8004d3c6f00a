//! No upgrade loses a file: whatever two versions of a package contain and whatever links a router has, either all
//! files of the new version are there afterwards, or nothing was changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use common::apk::{bytes, key};
use common::{Scratch, file, package};
use formats::{Entry, Kind, Package, apk, ipk};
use proptest::prelude::*;

/// A router's root, with one package in its two versions and a folder beside the root.
struct Router {
    root: Scratch,
    apk: bool,
}

impl Router {
    fn new(apk: bool) -> Router {
        let root = if apk { Scratch::for_apk(&[]) } else { Scratch::new(&[]) };
        for path in ["b/keep", "d/keep", "p/real/keep"] {
            root.write(path, "foreign");
        }
        Router { root, apk }
    }

    /// Installs a version in this process; fails with the id of a refusal.
    fn install(&self, version: &str, files: &[Entry]) -> Result<(), &'static str> {
        self.install_as("a", version, files)
    }

    fn install_as(&self, name: &str, version: &str, files: &[Entry]) -> Result<(), &'static str> {
        let plan = Package { files: files.to_vec(), ..package(name, version, "") };
        let (suffix, content) = match self.apk {
            true => (".apk", bytes(&apk::from_plan(&plan).unwrap(), &[&key()])),
            false => (".ipk", ipk::to_vec(&plan).unwrap()),
        };
        let package = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        fs::write(package.path(), content).unwrap();
        let path = format!("{}", package.path().display());
        let done = match self.apk {
            true => self.as_apk().add(&[path], &mut |_| ()),
            false => self.as_opkg().reinstall(&[path], &mut |_| ()),
        };
        done.map_err(|error| error.id())
    }

    fn remove(&self) {
        let names = ["a".to_owned()];
        match self.apk {
            true => self.as_apk().del(&names, &mut |_| ()).unwrap(),
            false => self.as_opkg().remove(&names, &mut |_| ()).unwrap(),
        }
    }

    fn as_apk(&self) -> client::apk::Client {
        let root = client::apk::Root::open(&self.root.path("")).unwrap();
        let config = client::apk::Config { run_scripts: false, ..client::apk::Config::load(&root).unwrap() };
        client::apk::Client::new(root, config)
    }

    fn as_opkg(&self) -> client::opkg::Client {
        let root = client::opkg::Root::open(&self.root.path("")).unwrap();
        let config = client::opkg::Config::load_offline(&root).unwrap();
        client::opkg::Client::new(root, config)
    }

    /// Where a path leads on the router, with links followed.
    fn follow(&self, path: &str, last: bool) -> Utf8PathBuf {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut way: Vec<String> = Vec::new();
        for _link in 0..100 {
            let Some(name) = left.pop() else { break };
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    way.pop();
                    continue;
                }
                _ => way.push(name),
            }
            let here = self.root.path(&way.join("/"));
            if let Ok(target) = here.read_link_utf8()
                && (last || !left.is_empty())
            {
                way.pop();
                if target.is_absolute() {
                    way.clear();
                }
                left.extend(target.as_str().split('/').rev().map(str::to_owned));
            }
        }
        self.root.path(&way.join("/"))
    }

    /// The entries that are not there as the package ships them.
    fn missing(&self, files: &[Entry]) -> Vec<String> {
        let there = |entry: &&Entry| {
            let place = self.follow(&entry.path, false);
            match &entry.kind {
                Kind::Dir => self.follow(&entry.path, true).is_dir(),
                Kind::Symlink(target) => place.read_link_utf8().is_ok_and(|found| found == *target),
                Kind::HardLink(target) => fs::read(place).ok() == fs::read(self.follow(target, false)).ok(),
                _ => {
                    let found =
                        place.symlink_metadata().is_ok_and(|about| about.is_file()).then(|| fs::read(&place).unwrap());
                    found.is_some_and(|found| found == text_of(entry).as_bytes())
                }
            }
        };
        files.iter().filter(|entry| !there(entry)).map(|entry| entry.path.clone()).collect()
    }

    fn tree(&self) -> BTreeMap<String, String> {
        self.root.tree()
    }
}

/// The test files contain their version and path.
fn text_of(entry: &Entry) -> String {
    match &entry.kind {
        Kind::File(formats::Content::Bytes(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

fn hard_link(path: &str, target: &str) -> Entry {
    Entry { kind: Kind::HardLink(target.into()), ..file(path, "") }
}

const KINDS: [&str; 8] = ["none", "file", "empty", "link", "link to folder", "folder", "empty folder", "hard link"];

/// A payload in which `p/x` is of the given kind.
fn payload(kind: &str, version: &str) -> Vec<Entry> {
    let mut files = vec![file("p/base", &format!("{version} base"))];
    match kind {
        "file" => files.push(file("p/x", &format!("{version} file"))),
        "empty" => files.push(file("p/x", "")),
        "link" => files.push(Entry::symlink("p/x", format!("nowhere{version}"))),
        "link to folder" => files.push(Entry::symlink("p/x", "real")),
        "folder" => files.push(file("p/x/f", &format!("{version} inner"))),
        "empty folder" => files.push(Entry::dir("p/x", 0o755)),
        "hard link" => files.push(hard_link("p/x", "p/base")),
        _ => {}
    }
    files
}

/// From every kind of path to every other, then removal. What real opkg handles well works in both formats; a folder
/// that becomes something else is refused, where real opkg leaves it with exit code 0 and real apk loses both.
#[test]
fn a_path_may_become_anything_but_a_folder_stays_a_folder() {
    for apk in [false, true] {
        for (from, to) in KINDS.iter().flat_map(|from| KINDS.map(|to| (*from, to))) {
            let router = Router::new(apk);
            let case = format!("{from} to {to}, apk {apk}");
            router.install("1", &payload(from, "1")).unwrap_or_else(|id| panic!("{case}: {id}"));
            let before = router.tree();
            let is_folder = |kind: &str| ["folder", "empty folder"].contains(&kind);
            let done = router.install("2", &payload(to, "2"));
            if is_folder(from) && !is_folder(to) && to != "none" {
                assert_eq!((done, router.tree()), (Err("INST020"), before), "{case}");
                continue;
            }
            assert_eq!((done, router.missing(&payload(to, "2"))), (Ok(()), vec![]), "{case}");
            router.remove();
            // As with opkg, a link that the new version uses as a folder does not belong to it.
            let stays = from == "link to folder" && is_folder(to);
            assert_eq!(router.root.has("p/x"), stays, "{case}");
            assert!(!router.root.has("p/base") && !router.root.has("p/real/f"), "{case}");
            assert_eq!(router.root.read("p/real/keep"), "foreign", "{case}");
        }
    }
}

/// A file that moved between two names of one folder (one is a link to the other) is there afterwards.
#[test]
fn a_file_that_moves_to_where_a_link_leads_stays() {
    for apk in [false, true] {
        for (link, target, old, new) in
            [("lib64", "lib", "lib64/file", "lib/file"), ("usr/bin", "../bin", "bin/file", "usr/bin/file")]
        {
            let router = Router::new(apk);
            for folder in [router.root.path(link).parent().unwrap(), router.root.path("bin").as_path()] {
                fs::create_dir_all(folder).unwrap();
            }
            symlink(target, router.root.path(link)).unwrap();
            router.install("1", &[file(old, "1")]).unwrap();
            let new = [file(new, "2"), Entry::dir("lib/d", 0o755)];
            router.install("2", &new).unwrap();
            assert_eq!(router.missing(&new), Vec::<String>::new());
            router.install("1", &[file(old, "1")]).or_else(|id| if apk { Ok(()) } else { Err(id) }).unwrap();
            router.remove();
            assert!(!router.follow(old, false).exists() && router.root.path(link).is_symlink());
        }
    }
}

/// A changed conffile is not replaced by a folder.
#[test]
fn what_the_owner_may_have_changed_makes_way_for_nothing() {
    for apk in [false, true] {
        let router = Router::new(apk);
        let plan = |version: &str, files: Vec<Entry>, conffiles: &[&str]| Package {
            files,
            conffiles: conffiles.iter().map(|path| (*path).to_owned()).collect(),
            ..package("a", version, "")
        };
        let one = plan("1", vec![file("etc/x", "1")], &["/etc/x"]);
        let path = router.root.path(if apk { "a.apk" } else { "a.ipk" });
        let write = |plan: &Package| {
            let content =
                if apk { bytes(&apk::from_plan(plan).unwrap(), &[&key()]) } else { ipk::to_vec(plan).unwrap() };
            fs::write(&path, content).unwrap();
        };
        let add = || match apk {
            true => router.as_apk().add(&[path.to_string()], &mut |_| ()),
            false => router.as_opkg().install(&[path.to_string()], &mut |_| ()),
        };
        write(&one);
        add().unwrap();
        router.root.write("etc/x", "mine");
        write(&plan("2", vec![file("etc/x/f", "2")], &[]));
        assert_eq!(add().unwrap_err().id(), "INST013");
        assert_eq!(router.root.read("etc/x"), "mine");
    }
}

/// A link to a folder through which files are reached does not get another target: those files would be lost, and `d/x`
/// would be deleted in place of `b/x`. A link that keeps its target may be shipped.
#[test]
fn a_link_that_files_are_reached_through_leads_where_it_led() {
    for apk in [false, true] {
        for (target, whose) in [("d", "a"), ("l", "a"), ("d", "other"), ("nowhere", "other")] {
            let router = Router::new(apk);
            symlink("b", router.root.path("l")).unwrap();
            router.root.write("d/x", "foreign");
            router.install_as(whose, "1", &[file("l/x", "1")]).unwrap();
            let before = router.tree();
            assert_eq!(router.install("2", &[Entry::symlink("l", target)]), Err("INST020"), "{target} {whose} {apk}");
            assert_eq!(router.tree(), before);
            router.install("2", &[Entry::symlink("l", "../b")]).unwrap();
            assert_eq!(router.root.has("b/x"), whose == "other");
            router.remove();
            let reached = router.missing(&[file("l/x", "1")]).is_empty();
            assert_eq!((reached, router.root.read("d/x")), (whose == "other", "foreign".to_owned()));
        }
    }
}

/// Payloads over few paths, so that they collide: files, links and folders.
fn any_payload(version: &'static str) -> impl Strategy<Value = Vec<Entry>> {
    let path = "(b|b64|d|l)(/(x|y|d))?(/x)?";
    let target = "(\\.\\./)?(/)?(b|d|l|x|nowhere|\\.\\./\\.\\./outside)";
    let entry = (path, 0..5_u8, target);
    prop::collection::vec(entry, 0..5).prop_map(move |entries| {
        let mut files: BTreeMap<String, Entry> = BTreeMap::new();
        for (path, kind, target) in entries {
            let within = |one: &str, other: &str| Utf8Path::new(one).starts_with(other);
            if files.keys().any(|known| within(known, &path) || within(&path, known)) {
                continue;
            }
            let first =
                files.values().find(|entry| matches!(entry.kind, Kind::File(_))).map(|entry| entry.path.clone());
            let entry = match (kind, first) {
                (0, _) => Entry::dir(&path, 0o755),
                (1, _) => Entry::symlink(&path, target),
                // The writers need a hard link's target before the link.
                (2, Some(first)) if first < path => hard_link(&path, &first),
                _ => file(&path, &format!("{version} {path}")),
            };
            files.insert(path, entry);
        }
        files.into_values().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_the_new_version_ships_is_there_or_nothing_changed(
        links in prop::collection::vec(("(b64|l|d/y|b/d)", "(b|d|/d|\\.\\./b|\\.\\./\\.\\./\\.\\./outside|nowhere)"), 0..4),
        other in any_payload("3"),
        one in any_payload("1"),
        two in any_payload("2"),
        is_apk in any::<bool>(),
    ) {
        let router = Router::new(is_apk);
        for (place, target) in links {
            let _exists = symlink(target, router.root.path(&place));
        }
        let came = router.install_as("other", "3", &other).is_ok();
        // Its folders may be links of the router, which can come to belong to another package.
        let other: Vec<Entry> = other.into_iter().filter(|entry| came && entry.kind != Kind::Dir).collect();
        let before = router.tree();
        if router.install("1", &one).is_err() {
            prop_assert_eq!(router.tree(), before);
            return Ok(());
        }
        prop_assert_eq!(router.missing(&one), Vec::<String>::new());
        let before = router.tree();
        if router.install("2", &two).is_err() {
            prop_assert_eq!(router.tree(), before);
        } else {
            prop_assert_eq!(router.missing(&two), Vec::<String>::new());
        }
        for path in ["b/keep", "d/keep", "p/real/keep"] {
            prop_assert_eq!(router.root.read(path), "foreign");
        }
        prop_assert_eq!(router.missing(&other), Vec::<String>::new());
        router.remove();
        for path in ["b/keep", "d/keep", "p/real/keep"] {
            prop_assert_eq!(router.root.read(path), "foreign");
        }
        prop_assert_eq!(router.missing(&other), Vec::<String>::new());
    }
}
