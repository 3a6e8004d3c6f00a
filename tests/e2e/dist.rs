//! The tree of feeds: published, published again, killed while it was, and by two runs at once.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::web::fixture;
use rustix::process::Signal;

use crate::place::Place;
use crate::run::{Run, SLOW, until};

const FIRST: [&str; 3] = ["dist", "--url", "https://example.org/feed"];

fn tree(place: &Place) -> Utf8PathBuf {
    place.path("results/trees").join(current(place).file_name().unwrap())
}

fn current(place: &Place) -> Utf8PathBuf {
    place.path("results/current").read_link_utf8().unwrap()
}

/// Folders that a run began, or left.
fn begun(trees: &Utf8Path) -> usize {
    let entries = trees.read_dir_utf8().into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().starts_with(".aside-")).count()
}

#[test]
fn a_tree_is_published_once_and_verified_and_not_believed_when_changed() {
    let place = Place::warm();
    place.run(&FIRST).fine();
    let (published, current) = (tree(&place), place.path("results/current"));
    let again = place.run(&["dist"]);
    again.fine();
    assert!(again.err.contains("nothing is different") && tree(&place) == published, "{}", again.err);
    assert_eq!(begun(&place.path("results/trees")), 0);
    let verified = place.run(&["dist", "verify", current.as_str()]);
    verified.fine();
    assert!(verified.out.contains("opkg and apk"), "{}", verified.out);

    let kernel = published.join("stand-in/x86/64/kmods").read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    let package = kernel.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    let package = package.into_iter().find(|file| file.extension() == Some("apk")).unwrap();
    for file in [package, kernel.join("Packages"), kernel.join("packages.adb"), published.join("subscribe.sh")] {
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        // The cache has a link to the same bytes.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bad).unwrap();
        place.run(&["dist", "verify", current.as_str()]).refused(5, "DIST002", &[file.file_name().unwrap()]);
        place.run(&["dist"]).refused(5, "DIST002", &[]);
        std::fs::write(&file, good).unwrap();
    }
    place.run(&["dist", "verify", current.as_str()]).fine();
}

#[test]
fn a_tree_and_a_feed_are_read_over_https() {
    let place = Place::warm();
    place.run(&FIRST).fine();
    let served = format!("https://{}", fixture::serve(&place.path("results/current")));
    let run = |authority: &Utf8Path, words: &[&str]| {
        let trusting = format!("SSL_CERT_FILE={authority}");
        Run::with(&place, &["env", &trusting, env!("CARGO_BIN_EXE_xtask")], words).ends_within(SLOW)
    };
    let authority = fixture::authority();
    let verified = run(&authority, &["dist", "verify", &served]);
    verified.fine();
    assert!(verified.out.contains("opkg and apk"), "{}", verified.out);
    // What is published is taken over from there.
    let again = run(&authority, &["dist", "--published", &served]);
    again.fine();
    assert!(again.err.contains("same inputs as the published one"), "{}", again.err);

    let kernel = tree(&place).join("stand-in/x86/64/kmods").read_dir_utf8().unwrap().next().unwrap().unwrap();
    let feed = format!("{served}/stand-in/x86/64/kmods/{}", kernel.file_name());
    let keys = ["opkg", "apk"].map(|manager| {
        let folder = tree(&place).join("keys").join(manager);
        folder.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path()
    });
    let trusted = ["--key", keys[0].as_str(), "--key", keys[1].as_str()];
    run(&authority, &[&["feed", "verify", &feed][..], &trusted].concat()).fine();
    run(&authority, &[&["lint", &feed][..], &trusted].concat()).fine();

    let stranger = fixture::stranger();
    for words in [&["dist", "verify", &served][..], &["dist", "--published", &served]] {
        run(&stranger, words).refused(4, "WEB002", &["UnknownIssuer"]);
    }
    run(&stranger, &["lint", &feed]).refused(4, "FEED011", &["UnknownIssuer"]);
    run(Utf8Path::new("/nowhere"), &["dist", "verify", &served]).refused(2, "WEB003", &["SSL_CERT_FILE", "/nowhere"]);
}

#[test]
fn a_run_that_is_killed_leaves_the_published_tree_as_it_was() {
    let place = Place::warm();
    place.run(&FIRST).fine();
    let before = current(&place);
    // Other keys are given to routers, so that every file of the tree is made anew.
    let trees = place.path("results/trees");
    let run = place.start(&["dist", "--url", "https://example.org/other"]);
    until("a tree is begun", SLOW, || run.err(), || (begun(&trees) > 0).then_some(()));
    run.signal(Signal::KILL);
    run.ends_within(Duration::from_secs(5));
    assert_eq!(current(&place), before);
    place.run(&["dist", "verify", place.path("results/current").as_str()]).fine();
    place.run(&["dist"]).fine();
    assert_eq!((begun(&trees), current(&place)), (0, before), "what was left is gone");
}

#[test]
fn two_runs_at_once_publish_one_after_the_other() {
    let place = Place::warm();
    let runs = [place.start(&FIRST), place.start(&FIRST)].map(|run| run.ends_within(SLOW));
    runs.iter().for_each(|run| run.fine());
    assert_eq!(runs.iter().filter(|run| run.err.contains("nothing is different")).count(), 1);
    place.run(&["dist", "verify", place.path("results/current").as_str()]).fine();
}
