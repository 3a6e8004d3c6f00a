//! opkg's queries and command line, with the texts that real opkg printed for the same feed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use common::{Feed, Scratch, file, package};
use formats::Package;

/// The state that real opkg had: `a` and its dependencies are installed, and `d`.
fn router() -> (Feed, Scratch) {
    let described =
        |name: &str, version: &str, needs: &str| Package { description: "x".into(), ..package(name, version, needs) };
    let mut a = described("a", "1", "b (>= 1), c | d, e");
    a.files.push(file("etc/config/a", "x"));
    a.conffiles = vec!["/etc/config/a".into()];
    let b = Package {
        provides: vec!["v".parse().unwrap()],
        conflicts: vec!["z".parse().unwrap()],
        ..described("b", "1", "")
    };
    let plans = [
        a,
        b,
        described("c", "1", "b"),
        described("d", "2", "v"),
        described("e", "3", ""),
        described("z", "1", ""),
        described("kmod-x", "1", ""),
    ];
    let feed = Feed::new(&plans);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a", "d"]).done();
    (feed, root)
}

#[test]
fn answers_are_those_of_real_opkg() {
    let (_feed, root) = router();
    root.write("etc/config/a", "changed");
    for (question, answer) in [
        ("list kmod*", "kmod-x - 1 - x\n"),
        ("list --nocase KMOD*", "kmod-x - 1 - x\n"),
        ("find *x*", "a - 1 - x\nb - 1 - x\nc - 1 - x\nd - 2 - x\ne - 3 - x\nkmod-x - 1 - x\nz - 1 - x\n"),
        ("list_installed a", "a - 1\n"),
        ("list-changed-conffiles", "/etc/config/a\n"),
        ("search */b/version", "b - 1\n"),
        ("depends a", "a depends on:\n\tb (>= 1)\n\tc | d\n\te\n"),
        ("depends -A z", "z depends on:\n"),
        ("depends z", ""),
        (
            "whatdepends b",
            "Root set:\n  b\nWhat depends on root set\n\ta 1\tdepends on b (>= 1)\n\tc 1\tdepends on b\n\td 2\tdepends on v\n",
        ),
        ("whatconflicts -A z", "Root set:\n  z\nWhat conflicts with root set\n\tb 1\tconflicts with z\n"),
        ("whatconflicts z", "Root set:\nWhat conflicts with root set\n"),
        ("whatprovides v", "What provides v\n    b\n"),
        ("-V0 depends a", ""),
        ("--noaction install kmod-x", "Installing kmod-x (1) to root...\n"),
    ] {
        let words: Vec<&str> = question.split(' ').collect();
        assert_eq!(root.opkg(&words).done().out, answer, "{question}");
    }
    let sized = root.opkg(&["--size", "list", "z"]).done().out;
    assert!(sized.starts_with("z - 1 - ") && sized.ends_with(" - x\n"), "{sized}");
    assert!(!root.has("usr/share/kmod-x"), "nothing was done");
    let before = root.tree();
    root.opkg(&["--test", "remove", "a"]).done().says("Removing package a from root...");
    assert_eq!(root.tree().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(root.opkg(&["info", "z"]).done().out.contains("Package: z\n"));
    assert_eq!(root.opkg(&["status", "z"]).done().out, "", "it is not installed");
}

#[test]
fn flags_hold_a_package_and_let_it_go() {
    let (_feed, root) = router();
    root.opkg(&["flag", "hold", "a", "nobody"])
        .done()
        .says("Setting flags for package a to hold.")
        .says("not installed");
    root.opkg(&["upgrade", "a"]).done().says("Not upgrading package a which is marked hold.");
    root.opkg(&["flag", "ok", "a"]).done();
    assert!(!root.opkg(&["upgrade", "a"]).done().err.contains("marked hold"));
    assert!(root.read("usr/lib/opkg/status").contains("Package: b\nVersion: 1\n"));
    root.opkg(&["flag", "user", "b"]).done();
    root.opkg(&["--autoremove", "remove", "a"]).done();
    assert!(root.installed().contains(&"b - 1".to_owned()), "it counts as asked for");
    root.opkg(&["flag", "unpacked", "b"]).done();
    root.opkg(&["configure"]).done().says("Configuring b.");
    assert!(root.read("usr/lib/opkg/status").contains("Status: install user installed"));
    root.opkg(&["flag", "noprune", "b"]).refused("INST001").says("is no flag");
}

/// As with real opkg, except that it fetches with `--download-only`.
#[test]
fn with_noaction_no_command_changes_a_package() {
    let (_feed, root) = router();
    root.opkg(&["flag", "unpacked", "b"]).done();
    let before = root.tree();
    let here = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = root.command(&[&["--noaction", "--force-postinstall"], words].concat());
        common::Answer::of(command.current_dir(here.path()))
    };
    run(&["configure"]).done().says("Configuring b.");
    run(&["flag", "hold", "a"]).done().says("Setting flags for package a to hold.");
    run(&["flag", "noprune", "a"]).refused("INST001");
    run(&["--download-only", "install", "kmod-x"]).done().says("Installing kmod-x (1) to root...");
    run(&["remove", "a"]).done().says("Removing package a from root...");
    assert_eq!(here.path().read_dir().unwrap().count(), 0);
    assert_eq!(root.tree(), before);
    // What is fetched is no change of a package.
    run(&["update"]).done().says("Updated list");
    run(&["download", "kmod-x"]).done();
    assert_eq!(here.path().read_dir().unwrap().count(), 1);
}

#[test]
fn conffiles_are_replaced_when_that_is_said() {
    for (words, expected) in [(&["install"][..], "changed"), (&["--force-maint", "install"], "new")] {
        let (_feed, root) = router();
        root.write("etc/config/a", "changed");
        let mut newer = package("a", "2", "");
        newer.files.push(file("etc/config/a", "new"));
        newer.conffiles = vec!["/etc/config/a".into()];
        let path = root.path("a.ipk");
        std::fs::write(&path, formats::ipk::to_vec(&newer).unwrap()).unwrap();
        root.opkg(&[words, &[path.as_str()]].concat()).done();
        assert_eq!(root.read("etc/config/a"), expected);
    }
}

#[test]
fn what_is_not_there_is_refused_with_the_reason() {
    let (_feed, root) = router();
    for (words, why) in [
        (&["--force-checksum", "install", "z"][..], "never installed"),
        (&["--force-signature", "update"], "without a trusted signature"),
        (&["-d", "usb", "install", "z"], "packages are only installed into the root"),
        (&["--cache", "/x", "install", "z"], "packages are not cached"),
        (&["--force-re", "remove", "a"], "could be any of --force-reinstall"),
        (&["whatsuggests", "a"], "OpenWrt's packages suggest nothing"),
        (&["--query-all=1", "depends", "a"], "takes no value"),
        (&["list", "-t"], "needs a value"),
    ] {
        root.opkg(words).refused("INST001").says(why);
    }
    root.opkg(&["-d", "root", "--lists-dir", "/usr/lists", "update"]).done();
    assert!(root.has("usr/lists/feed0.sig"));
    root.opkg(&["--version"]).done().says("opkg version ");
}
