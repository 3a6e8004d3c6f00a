//! What apk's commands do with names and options, as tried with real apk.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::apk::Feed;
use common::{Scratch, file, package};
use formats::{Entry, Package, apk};

/// `a` needs `b`, which needs `c`.
fn chain(version: &str) -> Vec<Package> {
    [("a", "b"), ("b", "c"), ("c", ""), ("d", "")].map(|(name, needs)| package(name, version, needs)).into()
}

#[test]
fn a_name_that_is_known_will_do_and_a_pattern_stands_for_many() {
    let feed = Feed::new(&chain("1"));
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "a", "d"]).done();
    let before = root.tree();
    let mut plans: Vec<apk::Plan> = chain("1").iter().map(|plan| apk::from_plan(plan).unwrap()).collect();
    plans[3].info.install_if = vec!["spoken-of".parse().unwrap()];
    let other = Feed::of(&plans[3..]);
    root.repositories(&[&feed.url(), &other.url()]);
    root.apk(&["update"]).done();
    for command in ["upgrade", "fix", "del"] {
        root.apk(&[command, "spoken-of"]).done();
        root.apk(&[command, "no*one"]).done();
        root.apk(&[command, "d", "no-one"]).refused_by_apk("APKC006").says("No such package: no-one");
    }
    assert_eq!(root.read("lib/apk/db/installed"), {
        root.apk(&["fix", "[cd]*", "c*"]).done().says("(1/1) Reinstalling c (1)");
        root.read("lib/apk/db/installed")
    });
    assert_eq!(root.apk_installed(), ["a-1", "b-1", "c-1", "d-1"]);
    assert!(before.keys().all(|path| root.has(path)));
    root.apk(&["del", "*"]).refused_by_apk("INST023").says("kernel");
    root.apk(&["del", "?", "*d"]).done();
    assert_eq!(root.apk_installed(), ["a-1", "b-1", "c-1"]);
}

#[test]
fn what_is_added_can_be_made_the_newest_with_all_it_needs() {
    let old = Feed::new(&chain("1"));
    let root = Scratch::with_index(&old);
    root.apk(&["add", "a", "d"]).done();
    let new = Feed::new(&chain("2"));
    root.repositories(&[&new.url()]);
    root.apk(&["update"]).done();
    root.apk(&["add", "a"]).done();
    root.apk(&["upgrade", "b"]).done();
    assert_eq!(root.apk_installed(), ["a-1", "b-2", "c-1", "d-1"]);
    root.apk(&["add", "-u", "a"]).done();
    assert_eq!(root.apk_installed(), ["a-2", "b-2", "c-2", "d-1"]);
    root.apk(&["upgrade", "-u"]).refused_by_apk("INST001").says("--upgrade is an option of `add`");
}

#[test]
fn what_needs_a_package_goes_with_it_when_that_is_said() {
    let feed = Feed::new(&chain("1"));
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "a", "b", "d"]).done();
    root.apk(&["del", "c"]).done().says("not removed due to:\n  c: b");
    assert_eq!(root.apk_installed().len(), 4);
    // LuCI puts the option first.
    root.apk(&["-r", "del", "c"]).done().says("(3/3) Purging c (1)");
    assert_eq!((root.apk_installed(), root.read("etc/apk/world")), (vec!["d-1".to_owned()], "d\nkernel\n".to_owned()));
    root.apk(&["add", "--rdepends", "a"]).refused_by_apk("INST001");
}

#[test]
fn a_file_of_another_package_is_taken_over_when_that_is_said() {
    let mut plans = chain("1");
    plans[2].files.push(file("usr/share/both", "of c"));
    plans[3].files.push(file("usr/share/both", "of d"));
    let feed = Feed::new(&plans);
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "c"]).done();
    root.apk(&["add", "d"]).refused_by_apk("INST020").says("already provided by package c");
    root.apk(&["--force-overwrite", "add", "d"]).done();
    assert_eq!(root.read("usr/share/both"), "of d");
    root.apk(&["del", "c"]).done();
    assert_eq!(root.read("usr/share/both"), "of d", "it is no longer c's");
    root.apk(&["del", "d"]).done();
    assert!(!root.has("usr/share/both"));
}

#[test]
fn one_name_can_be_bounded_from_both_sides() {
    let mut plans: Vec<apk::Plan> = chain("1").iter().map(|plan| apk::from_plan(plan).unwrap()).collect();
    for bounds in [["c", "c<3"], ["c>0", "c<3"], ["!c>3", "c"], ["c=1", "c>0"]] {
        plans[0].info.depends = bounds.map(|bound| bound.parse().unwrap()).into();
        let root = Scratch::with_index(&Feed::of(&plans));
        root.apk(&["add", "--simulate", "a"]).done().says("(1/2) Installing c (1)");
    }
    plans[0].info.depends = ["c", "c>1"].map(|bound| bound.parse().unwrap()).into();
    Scratch::with_index(&Feed::of(&plans)).apk(&["add", "a"]).refused_by_apk("APKC005");
}

#[test]
fn a_link_in_etc_that_its_owner_made_or_changed_stays() {
    let with_link = |version: &str, target: &str| {
        let mut plan = package("resolver", version, "");
        plan.files.push(Entry::symlink("etc/resolv.conf", target));
        Feed::new(&[plan])
    };
    let (one, two) = (with_link("1", "/tmp/resolv.conf"), with_link("2", "/var/resolv.conf"));
    let target = |root: &Scratch, path: &str| fs::read_link(root.path(path)).unwrap().display().to_string();
    for (made_before, kept) in [(Some("/own"), true), (Some("/tmp/resolv.conf"), false), (None, false)] {
        let root = Scratch::with_index(&one);
        let relink = |to: &str| {
            let _none = fs::remove_file(root.path("etc/resolv.conf"));
            symlink(to, root.path("etc/resolv.conf")).unwrap();
        };
        made_before.iter().for_each(|to| relink(to));
        root.apk(&["add", "resolver"]).done();
        assert_eq!(target(&root, "etc/resolv.conf"), made_before.unwrap_or("/tmp/resolv.conf"));
        assert_eq!(root.has("etc/resolv.conf.apk-new"), kept, "{made_before:?}");
        if kept {
            continue;
        }
        relink("/changed");
        root.repositories(&[&two.url()]);
        root.apk(&["update"]).done();
        root.apk(&["upgrade"]).done().says("Installing file to /etc/resolv.conf.apk-new");
        assert_eq!(target(&root, "etc/resolv.conf"), "/changed");
        assert_eq!(target(&root, "etc/resolv.conf.apk-new"), "/var/resolv.conf");
        root.apk(&["del", "resolver"]).done();
        assert_eq!(target(&root, "etc/resolv.conf"), "/changed");
        assert!(!root.has("etc/resolv.conf.apk-new"));
    }
}
