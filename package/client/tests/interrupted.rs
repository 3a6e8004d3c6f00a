//! Two runs at once, and runs that are killed at any moment: the next run completes the work.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Answer, AnyFeed, Feed, Scratch, apk, file, package};
use formats::{Format, Package, Scripts};

/// The longest wait for something that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn installed(manager: Format, root: &Scratch) -> Vec<String> {
    match manager {
        Format::Ipk => root.installed(),
        Format::Apk => root.apk_installed(),
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A script that reports that it runs, and ends once the file `hold` is gone, at the latest after a minute.
fn blocking() -> Option<String> {
    Some("#!/bin/sh\n: > $IPKG_INSTROOT/running\nn=0\nwhile [ -e $IPKG_INSTROOT/hold ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done\n".into())
}

fn spawn(manager: Format, root: &Scratch, words: &[&str]) -> Child {
    root.command_of(manager, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Starts an installation that blocks in a script, and kills it there.
fn killed_in_script(manager: Format, scripts: Scripts) -> (Scratch, AnyFeed) {
    let scripted = Package { scripts, ..package("a", "1", "b") };
    let feed = AnyFeed::new(manager, &[scripted, package("b", "1", ""), package("needs-a", "1", "a")]);
    let root = feed.root();
    let live = match manager {
        Format::Ipk => "--force-postinstall",
        Format::Apk => "--force-scripts",
    };
    root.write("hold", "");
    let mut child = spawn(manager, &root, &[live, common::add(manager), "a"]);
    until("the script runs", || root.has("running"));
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(root.path("hold")).unwrap();
    (root, feed)
}

#[test]
fn apk_killed_before_the_files() {
    let (root, _feed) = killed_in_script(Format::Apk, Scripts { preinst: blocking(), ..Scripts::default() });
    assert_eq!(root.apk_installed(), ["b-1"], "what is not complete does not count");
    root.apk_live(&["add", "a"]).done().says("Installing a (1)");
    assert_eq!(root.read("usr/share/a/version"), "1");
}

#[test]
fn apk_killed_before_the_last_script() {
    for word in ["a", "needs-a"] {
        let (root, _feed) = killed_in_script(Format::Apk, Scripts { postinst: blocking(), ..Scripts::default() });
        assert_eq!(root.apk_installed(), ["a-1", "b-1"]);
        // Installed by name, or as a dependency.
        let answer = root.apk_live(&["add", word]).done().says("Executing a-1.post-install");
        assert!(!answer.out.contains("Installing a "), "the files are all there: {}", answer.out);
        let again = root.apk_live(&["add", word]).done();
        assert!(!again.out.contains("Executing"), "{}", again.out);
    }
}

#[test]
fn killed_before_the_files() {
    let (root, _feed) = killed_in_script(Format::Ipk, Scripts { preinst: blocking(), ..Scripts::default() });
    assert_eq!(root.installed(), ["b - 1"], "what is not complete does not count");
    root.opkg(&["status", "a"]).done().says("half-installed");
    root.opkg(&["update"]).done().says("Package a is half-installed");
    root.live(&["install", "a"]).done().says("Installing a (1)").says("Configuring a.");
    assert_eq!(root.read("usr/share/a/version"), "1");
    root.opkg(&["status", "a"]).done().says("Status: install user installed");
}

#[test]
fn killed_before_the_configuration() {
    for word in ["a", "needs-a"] {
        killed_before_the_configuration_of(word);
    }
}

fn killed_before_the_configuration_of(word: &str) {
    let (root, _feed) = killed_in_script(Format::Ipk, Scripts { postinst: blocking(), ..Scripts::default() });
    root.opkg(&["status", "a"]).done().says("Status: install user unpacked");
    // Installed by name, or as a dependency.
    let answer = root.live(&["install", word]).done().says("Configuring a.");
    assert!(!answer.out.contains("Installing a"), "the files are all there: {}", answer.out);
    root.opkg(&["status", "a"]).done().says("Status: install user installed");
}

/// Two versions with files that stay, are added and are removed, and with conffiles.
fn version(version: &str, numbers: std::ops::Range<u32>) -> Package {
    let mut plan = package("many", version, "");
    plan.files = numbers.map(|number| file(&format!("usr/many/{number}/file"), &version.repeat(20_000))).collect();
    plan.files.push(file("etc/many", version));
    plan.conffiles = vec!["/etc/many".into()];
    plan
}

/// What an interrupted and an uninterrupted run must agree on: everything but times and lists.
fn result(manager: Format, root: &Scratch) -> BTreeMap<String, String> {
    let mut tree = root.tree();
    tree.retain(|path, _| !path.starts_with("var") && path != "usr/lib/opkg/status");
    tree.insert("installed".into(), installed(manager, root).join(", "));
    tree
}

#[track_caller]
fn same(manager: Format, root: &Scratch, expected: &BTreeMap<String, String>, step: u32) {
    let found = result(manager, root);
    let paths: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let wrong: Vec<_> = paths.into_iter().filter(|path| found.get(*path) != expected.get(*path)).collect();
    assert!(wrong.is_empty(), "after {step} steps these differ: {wrong:?}");
}

/// Runs `words` on roots made by `prepare`: killed a little later each time, then again to the end.
fn killed_at_any_moment(manager: Format, prepare: impl Fn() -> Scratch, words: &[&str]) {
    const STEPS: u32 = 24;
    let whole = prepare();
    let begin = Instant::now();
    Answer::of(&mut whole.command_of(manager, words)).done();
    let step_length = begin.elapsed() / STEPS;
    let expected = result(manager, &whole);
    let mut dead = 0;
    for step in 0..STEPS {
        let root = prepare();
        let mut child = spawn(manager, &root, words);
        std::thread::sleep(step_length * step);
        child.kill().unwrap();
        if !child.wait().unwrap().success() {
            dead += 1;
            let again = Answer::of(&mut root.command_of(manager, words));
            let gone = again.err.contains("OPKG015") || again.err.contains("APKC006");
            let removed = ["remove", "del"].contains(&words[0]) && gone;
            assert!(again.code == 0 || removed, "after {step} steps: {}{}", again.out, again.err);
        }
        same(manager, &root, &expected, step);
    }
    assert!(dead > 2, "the run was killed {dead} times only");
}

fn killed_during_an_install(manager: Format) {
    let feed = AnyFeed::new(manager, &[version("1", 0..20)]);
    killed_at_any_moment(manager, || feed.root(), &[common::add(manager), "many"]);
}

fn killed_during_a_removal(manager: Format) {
    let feed = AnyFeed::new(manager, &[version("1", 0..40)]);
    let prepare = || {
        let root = feed.root();
        Answer::of(&mut root.command_of(manager, &[common::add(manager), "many"])).done();
        root
    };
    killed_at_any_moment(manager, prepare, &[common::remove(manager), "many"]);
}

#[test]
fn killed_at_any_moment_of_an_install() {
    killed_during_an_install(Format::Ipk);
}

#[test]
fn apk_killed_at_any_moment_of_an_install() {
    killed_during_an_install(Format::Apk);
}

#[test]
fn killed_at_any_moment_of_a_removal() {
    killed_during_a_removal(Format::Ipk);
}

#[test]
fn apk_killed_at_any_moment_of_a_removal() {
    killed_during_a_removal(Format::Apk);
}

#[test]
fn killed_at_any_moment_of_an_upgrade() {
    let (old, new) = (Feed::new(&[version("1", 0..20)]), Feed::new(&[version("2", 10..30)]));
    let prepare = || {
        let root = Scratch::updated(&old);
        root.opkg(&["install", "many"]).done();
        root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", new.path()));
        root.opkg(&["update"]).done();
        root
    };
    killed_at_any_moment(Format::Ipk, prepare, &["install", "many"]);
}

#[test]
fn apk_killed_at_any_moment_of_an_upgrade() {
    let feed = apk::Feed::new(&[version("1", 0..20), version("2", 10..30)]);
    let prepare = || {
        let root = Scratch::with_index(&feed);
        root.apk(&["add", "many=1"]).done();
        root
    };
    killed_at_any_moment(Format::Apk, prepare, &["add", "many=2"]);
}

#[test]
fn runs_at_the_same_time_take_turns() {
    let names = ["a", "b", "c", "d", "e"];
    let plans: Vec<_> =
        names.iter().map(|name| package(name, "1", "shared")).chain([package("shared", "1", "")]).collect();
    let (feed, apk_feed) = (Feed::new(&plans), apk::Feed::new(&plans));
    let (root, apk_root) = (Scratch::updated(&feed), Scratch::with_index(&apk_feed));
    for (manager, root, word) in [(Format::Ipk, &root, "install"), (Format::Apk, &apk_root, "add")] {
        let start = |name: &&str| {
            let mut command = root.command_of(manager, &[word, name]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = names.iter().map(start).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert_eq!(root.installed(), ["a - 1", "b - 1", "c - 1", "d - 1", "e - 1", "shared - 1"]);
    assert_eq!(apk_root.apk_installed(), ["a-1", "b-1", "c-1", "d-1", "e-1", "shared-1"]);
    assert!(!root.has("var/lock/opkg.lock") && !apk_root.has("lib/apk/db/lock"), "the last one takes the lock with it");
}
