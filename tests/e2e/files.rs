//! Wrong words and malformed files: told by file, line, column and field, before anything is done.

use crate::place::Place;

/// A file of each kind, with a verb that needs it.
const FILES: [(&str, &str); 4] = [
    ("package/recipes/kmod-nf-nat.yaml", "build"),
    ("feeds/feed.yaml", "feed"),
    ("qemu/machines/x86-64.yaml", "boot"),
    ("tests/scenarios/remove-opkg.yaml", "test"),
];

#[test]
fn an_unknown_target_names_the_nearest_and_touches_nothing() {
    let place = Place::empty();
    for verb in ["build", "feed", "test", "boot"] {
        place.run(&[verb, "--target", "x86/46"]).refused(2, "USE002", &["unknown target `x86/46`", "--target x86/64"]);
    }
    assert!(!place.cache().exists() && !place.path("results").exists());
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_column() {
    for (file, verb) in FILES {
        let mut place = Place::empty();
        place.own_sources();
        let path = place.edit(file, |text| text + "colour: red\n");
        let line = std::fs::read_to_string(&path).unwrap().lines().count();
        let words = [format!("where: {path}:{line}:1\n"), "unknown field `colour`".into()];
        place.run(&[verb]).refused(2, "CONF001", &words.each_ref().map(String::as_str));
        assert!(!place.cache().exists(), "{file}");
    }
}

#[test]
fn text_that_is_no_yaml_and_another_version_are_refused() {
    for (file, verb) in FILES {
        let mut place = Place::empty();
        place.own_sources();
        let path = place.edit(file, |text| text.replacen("version: 1", "version: 2", 1));
        place.run(&[verb]).refused(2, "CONF002", &["version 2 is not known", path.as_str()]);
        place.edit(file, |_| "version: 1\nname: [never closed\n".into());
        place.run(&[verb]).refused(2, "CONF001", &[&format!("where: {path}:")]);
        assert!(!place.cache().exists(), "{file}");
    }
}

#[test]
fn a_scenario_that_does_not_exist_is_told_with_those_that_do() {
    let place = Place::empty();
    place.run(&["test", "no-such-scenario"]).refused(2, "TEST001", &["no-such-scenario", "install-and-load", "--list"]);
    assert!(!place.cache().exists());
}
