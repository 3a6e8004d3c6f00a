//! What `new` writes works as it is.

use camino::Utf8Path;

use crate::place::{Place, may_not_compile};
use crate::run::{Run, SLOW};

fn written(place: &Place, kind: &str, name: &str) {
    place.run(&["new", kind, name, "--into", place.path("mine").as_str()]).fine();
}

fn test(place: &Place, run: fn(&Place, &[&str]) -> Run, scenarios: &[&str]) {
    let folder = |name: &str| place.path("mine").join(name).into_string();
    let (recipes, all) = (folder("recipes"), folder("scenarios"));
    let mut words = vec!["test", "--accel", "tcg", "--scenarios", &all];
    if Utf8Path::new(&recipes).exists() {
        words.extend(["--recipes", &recipes]);
    }
    words.extend(scenarios);
    // What is compiled is compiled here.
    let ran = run(place, &words).ends_within(10 * SLOW);
    ran.fine();
    assert!(ran.err.contains("0 failed, 0 blocked, 0 skipped"), "{}", ran.err);
}

#[test]
fn examples_pass_as_they_are_and_are_never_overwritten() {
    let place = Place::warm();
    for (kind, name) in [("files", "my-files"), ("program", "my-program"), ("scenario", "my-scenario")] {
        written(&place, kind, name);
    }
    test(&place, Run::start, &[]);
    place.run(&["new", "files", "my-files", "--into", place.path("mine").as_str()]).refused(
        2,
        "NEW001",
        &["already exists"],
    );
    place.run(&["new", "files", "My_Files"]).refused(2, "NEW002", &["`My_Files`"]);
}

/// In the user's cache: headers and compiler of the kernel are fetched once, and are large.
#[test]
fn the_example_of_a_module_passes_as_it_is() {
    if may_not_compile() {
        return;
    }
    let place = Place::warm();
    written(&place, "kmod", "my-module");
    test(&place, Run::in_users_cache, &[]);
}
