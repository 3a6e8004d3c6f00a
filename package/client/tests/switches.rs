//! What opkg does only with a switch, and what not even then.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::fs;

use common::{Answer, Feed, KERNEL, Scratch, file, package};
use formats::{Format, Package, ipk};

/// `a` needs `b`, which like `c` needs `d`; `a` also needs a virtual package that `v2` provides.
fn chain() -> Vec<Package> {
    let virtual_one = Package { provides: vec!["v".parse().unwrap()], ..package("v2", "1", "") };
    vec![package("a", "1", "b, v"), package("b", "1", "d"), package("c", "1", "d"), package("d", "1", ""), virtual_one]
}

/// Writes a package file into the root's folder, and returns its path.
fn write(root: &Scratch, package: &Package) -> String {
    let path = root.path(&format!("{}.ipk", package.name));
    fs::write(&path, ipk::to_vec(package).unwrap()).unwrap();
    path.into_string()
}

fn names(root: &Scratch) -> String {
    root.installed().iter().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_came_along_goes_with_the_last_one_that_needs_it() {
    let feed = Feed::new(&chain());
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a", "c"]).done();
    let answer = root.opkg(&["remove", "a", "--autoremove"]).done();
    let steps = [
        "Removing package a from root...",
        "b was autoinstalled and is now orphaned, removing.",
        "Removing package b from root...",
        "v2 was autoinstalled and is now orphaned, removing.",
        "Removing package v2 from root...",
    ];
    assert_eq!(answer.out.lines().collect::<Vec<_>>(), steps);
    assert_eq!(names(&root), "c d");
    root.opkg(&["--autoremove", "remove", "c"]).done();
    assert_eq!(names(&root), "");

    // What the user asked for stays, under any name; so does everything without the option.
    root.opkg(&["install", "d", "v"]).done();
    root.opkg(&["install", "a"]).done();
    root.opkg(&["remove", "--autoremove", "a"]).done();
    assert_eq!(names(&root), "d v2");
    root.opkg(&["install", "a"]).done();
    root.opkg(&["remove", "a"]).done();
    assert_eq!(names(&root), "b d v2");
}

#[test]
fn what_came_along_with_an_old_version_goes_with_it() {
    let (b, c) = (package("b", "1", "d"), package("c", "1", ""));
    let feed = Feed::new(&[package("a", "1", "b, c"), b, c, package("d", "1", ""), package("e", "1", "c")]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a"]).done();
    // The new version even has a file of the package that it no longer needs.
    let mut newer = package("a", "2", "c");
    newer.files.push(file("usr/share/b/version", "of a"));
    let newer = write(&root, &newer);
    let answer = root.opkg(&["install", &newer]).done().says("b was autoinstalled and is now orphaned, removing.");
    assert!(!answer.out.contains("package d "), "{}", answer.out);
    assert_eq!((names(&root), root.read("usr/share/b/version")), ("a c d".into(), "of a".into()));
    // What another package needs stays, and what the user asked for.
    root.opkg(&["install", "e"]).done();
    let last = write(&root, &package("a", "3", ""));
    root.opkg(&["install", &last, "--autoremove"]).done();
    assert_eq!(names(&root), "a c d e");
    assert!(!root.has("usr/share/b"));
    root.opkg(&["remove", "e", "--autoremove"]).done();
    assert_eq!(names(&root), "a d", "nobody that goes names the other one");
}

#[test]
fn a_package_goes_in_spite_of_those_that_need_it_or_with_them() {
    let mut plans = chain();
    plans.push(Package { essential: true, ..package("base", "1", "d") });
    let feed = Feed::new(&plans);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a", "c"]).done();
    root.refuses(Format::Ipk, &["remove", "d"], "INST023", "depended upon by packages: b, c");
    let answer = root.opkg(&["remove", "d", "--force-removal-of-dependent-packages"]).done();
    let place = |name: &str| answer.out.find(&format!("Removing package {name} ")).expect(name);
    assert!(place("a") < place("b") && place("b") < place("d") && place("c") < place("d"), "{}", answer.out);
    assert_eq!(names(&root), "v2");

    // Older scripts use this spelling.
    root.opkg(&["install", "c"]).done();
    root.opkg(&["-force_depends", "remove", "d"]).done();
    assert_eq!(names(&root), "c v2");
    root.opkg(&["install", "base"]).done();
    for option in ["--force-depends", "--force-removal-of-dependent-packages"] {
        let before = root.tree();
        root.opkg(&["remove", "base", option]).refused("INST023").says("the system itself");
        assert_eq!(root.tree(), before);
    }
    root.refuses(Format::Ipk, &["remove", "d", "--recursive"], "INST023", "Package base is depended upon");
    root.opkg(&["remove", "v*"]).done();
    assert_eq!(names(&root), "base c d");
}

#[test]
fn a_conflict_can_be_forced_and_a_missing_dependency_cannot() {
    let other = "kernel (=6.12.1~ffffffffffffffffffffffffffffffff-r1)";
    let foe = Package { conflicts: vec!["b".parse().unwrap()], ..package("foe", "1", "") };
    let feed = Feed::new(&[foe, package("b", "1", ""), package("kmod", "1", other), package("top", "1", "gone")]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "b"]).done();
    root.refuses(Format::Ipk, &["install", "foe"], "OPKG018", "conflicts with b");
    root.opkg(&["install", "foe", "--force-depends"]).done();
    assert_eq!(names(&root), "b foe");
    for option in ["--force-depends", "--nodeps"] {
        root.refuses(Format::Ipk, &["install", "kmod", option], "OPKG016", &format!("runs the kernel {KERNEL}"));
        root.refuses(Format::Ipk, &["install", "top", option], "OPKG016", "gone");
    }
}

#[test]
fn only_what_is_named_comes() {
    let feed = Feed::new(&chain());
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "--nodeps", "a"]).done();
    assert_eq!(names(&root), "a");
}

#[test]
fn an_older_version_comes_when_it_is_forced() {
    let feed = Feed::new(&[package("a", "2", "")]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a"]).done();
    let older = write(&root, &package("a", "1", ""));
    let tree = root.tree();
    root.opkg(&["install", &older]).done().says("Not downgrading package a on root from 2 to 1.");
    assert_eq!(root.tree(), tree);
    root.opkg(&["install", &older, "--force-downgrade"]).done().says("Downgrading a on root from 2 to 1...");
    assert_eq!((names(&root), root.read("usr/share/a/version")), ("a".into(), "1".into()));
    root.opkg(&["install", &older, "--force-downgrade"]).done().says("up to date");
    let kernel = write(&root, &package("kernel", "6.1", ""));
    root.refuses(Format::Ipk, &["install", &kernel, "--force-downgrade"], "OPKG019", KERNEL);
}

#[test]
fn files_are_taken_over_and_belong_to_one() {
    let shared = |name: &str| {
        let files = vec![file("usr/f", name), file("etc/config/x", name), file(&format!("usr/{name}"), name)];
        Package { files, conffiles: vec!["/etc/config/x".into()], ..package(name, "1", "") }
    };
    let folder = Package { files: vec![file("usr/f/inner", "")], ..package("folder", "1", "") };
    let feed = Feed::new(&[shared("a"), shared("b"), folder]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a"]).done();
    root.refuses(Format::Ipk, &["install", "b"], "INST020", "already provided by package a");
    root.opkg(&["install", "b", "--force-overwrite"]).done();
    assert_eq!((root.read("usr/f"), root.read("etc/config/x")), ("b".into(), "a".into()), "a conffile is the owner's");
    assert_eq!(root.read("etc/config/x-opkg"), "b");
    assert_eq!(root.read("usr/lib/opkg/info/a.list"), "/usr/a\n");
    root.refuses(
        Format::Ipk,
        &["install", "folder", "--force-overwrite"],
        "INST013",
        "its path goes through /usr/f, which is not a folder",
    );
    root.opkg(&["remove", "a"]).done();
    assert_eq!(root.read("usr/f"), "b");
    root.opkg(&["remove", "b"]).done();
    assert!(!root.has("usr/f") && !root.has("usr/b"));

    // Of two packages in one command, the later one gets the file; a configuration file can set the switch, too.
    root.write("etc/opkg/force.conf", "option force_overwrite\n");
    root.opkg(&["install", "a", "b"]).done();
    assert_eq!((root.read("usr/f"), root.read("usr/lib/opkg/info/a.list")), ("b".into(), "/usr/a\n".into()));
    root.write("etc/opkg/force.conf", "option force_overwrite 0\n");
    root.opkg(&["remove", "a", "b"]).done();
    root.opkg(&["install", "a", "b"]).refused("INST020");
}

#[test]
fn packages_are_downloaded_and_nothing_else() {
    let feed = Feed::new(&chain());
    let root = Scratch::updated(&feed);
    let before = root.tree();
    let here = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| Answer::of(root.command(words).current_dir(here.path()));
    let there = || {
        let names = fs::read_dir(here.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.join(" ")
    };
    run(&["install", "b", "--download-only"]).done().says("Downloading ");
    assert_eq!(there(), "b_1_all.ipk d_1_all.ipk");
    run(&["download", "gone", "a", "v"]).refused("OPKG015").says("Downloaded a as ./a_1_all.ipk.");
    assert_eq!(there(), "a_1_all.ipk b_1_all.ipk d_1_all.ipk v2_1_all.ipk");
    feed.flip("c_1_all.ipk");
    run(&["download", "c"]).refused("OPKG004");
    assert_eq!(there(), "a_1_all.ipk b_1_all.ipk d_1_all.ipk v2_1_all.ipk");
    assert_eq!(root.tree(), before);
}
