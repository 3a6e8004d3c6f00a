//! The example as a feed of OpenWrt's Makefiles: built by the SDK of a release through `scripts/feeds`, installed on its
//! image and tried there. Both are miniatures.

use camino::Utf8PathBuf;
use formats::Format;

use crate::openwrt::image::sh;
use crate::openwrt::release::MiniRelease;
use crate::own_packages::copy;
use crate::place::{Place, may_not_compile, sources};
use crate::run::{Run, SLOW};

fn example() -> Utf8PathBuf {
    sources().join("tests/fixtures/own-packages")
}

/// The module of the example, compiled for the kernel that the miniature boots.
fn module(place: &Place) -> Vec<u8> {
    let recipes = example().join("recipes");
    let words = ["build", "--recipes", recipes.as_str(), "--format", "ipk"];
    Run::in_users_cache(place, &words).ends_within(10 * SLOW).fine();
    let packages = place.path("results/x86-64/packages");
    sh(&format!("tar -xzOf {packages}/kmod-rx-tally_*.ipk ./data.tar.gz | tar -xzO --wildcards '*.ko'"))
}

#[test]
fn a_feed_of_makefiles_is_built_by_a_release_and_tried_on_its_image() {
    if may_not_compile() {
        return;
    }
    let place = Place::warm_elsewhere();
    let module = module(&place);
    let release = MiniRelease::publish_with(&place, Format::Ipk, &[("rx_tally", &module)]);
    let example = example();
    let (feed, scenarios) = (example.join("feed"), example.join("scenarios"));
    let words = |verb: &'static str, feed: &'static str| {
        let scenarios: &'static str = scenarios.to_string().leak();
        let mut words = vec![verb, "--feed", feed, "--scenarios", scenarios];
        // An image is set up by many commands, on a machine that may compile meanwhile.
        words.extend(if verb == "test" { ["--accel", "tcg", "--boot-deadline", "600"].as_slice() } else { &[] });
        words
    };
    let feed: &'static str = feed.to_string().leak();
    // The stand-in has no build of OpenWrt's.
    place.run(&words("build", feed)).refused(2, "OWN020", &["--release 25.12"]);

    let ran = place.start(&[words("test", feed), release.named()].concat()).ends_within(5 * SLOW);
    ran.fine();
    assert!(ran.err.contains("ok: 3 passed, 0 failed, 0 blocked, 0 skipped"), "{}", ran.err);
    let row = ran.err.lines().find(|line| line.contains("kmod-rx-tally  6.6")).unwrap_or_default();
    assert_eq!(row.matches("yes").count(), 6, "{}", ran.err);

    // What does not compile is told, and what needs it is not there either.
    let own = place.path("broken");
    copy(&example, &own);
    let source = own.join("feed/rx-tally/src/rx_tally.c");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, format!("{text}#error the kernel moved\n")).unwrap();
    let broken: &'static str = own.join("feed").to_string().leak();
    let ran = place.start(&[words("test", broken), release.named()].concat()).ends_within(5 * SLOW);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("BLD003") && ran.err.contains("the kernel moved"), "{}", ran.err);
    assert!(ran.err.lines().any(|line| line.contains("kmod-rx-tally  6.6") && line.contains("NO")), "{}", ran.err);
}
