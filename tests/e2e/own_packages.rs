//! The example of packages of one's own: taken as somebody takes it who never saw the rest, and broken in the commonest
//! ways, each with the message that helps.
//!
//! In the user's cache: headers and compiler of the kernel are fetched once, and are large.

use camino::Utf8PathBuf;

use crate::place::{Place, may_not_compile, sources};
use crate::run::{Ran, Run, SLOW};

/// A copy of the example, to be changed.
struct Example {
    place: Place,
    folder: Utf8PathBuf,
}

impl Example {
    fn taken() -> Example {
        let place = Place::warm();
        let folder = place.path("example");
        copy(&sources().join("tests/fixtures/own-packages"), &folder);
        Example { place, folder }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not hold `{from}`");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let (recipes, scenarios) = (self.folder.join("recipes"), self.folder.join("scenarios"));
        let mut words = vec![verb, "--recipes", recipes.as_str(), "--scenarios", scenarios.as_str()];
        if verb == "test" {
            words.extend(["--accel", "tcg"]);
        }
        words.extend(more);
        Run::in_users_cache(&self.place, &words).ends_within(10 * SLOW)
    }
}

/// Copies a folder; links become what they lead to.
pub(crate) fn copy(from: &Utf8PathBuf, to: &Utf8PathBuf) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path().to_owned(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn the_example_passes_and_its_module_has_a_row() {
    if may_not_compile() {
        return;
    }
    let ran = Example::taken().run("test", &[]);
    ran.fine();
    assert!(ran.err.contains("0 failed, 0 blocked, 0 skipped"), "{}", ran.err);
    let row = ran.err.lines().find(|line| line.contains("kmod-rx-tally  6.12")).unwrap_or_default();
    assert_eq!(row.matches("yes").count(), 6, "{}", ran.err);
}

#[test]
fn broken_in_the_commonest_ways_it_says_what_to_do() {
    if may_not_compile() {
        return;
    }
    let broken = |file: &str, from: &str, to: &str| {
        let example = Example::taken();
        example.edit(file, from, to);
        example
    };
    // The kernel's interface moved.
    let example =
        broken("feed/rx-tally/src/rx_tally.c", "nf_register_net_hook(&init_net", "nf_register_hook_of_old(&init_net");
    let ran = example.run("build", &[]);
    ran.refused(1, "BLD003", &["nf_register_hook_of_old"]);
    // What the recipe names is not what Kbuild makes.
    broken("recipes/kmod-rx-tally.yaml", "name: rx_tally", "name: rx_counter").run("build", &[]).refused(
        1,
        "BLD007",
        &["rx_counter"],
    );
    // The kernel lacks an option.
    broken("recipes/kmod-rx-tally.yaml", "modules:", "kconfig: [NO_SUCH_OPTION]\nmodules:").run("build", &[]).refused(
        1,
        "KMOD001",
        &["CONFIG_NO_SUCH_OPTION is not set"],
    );
    // A word that no recipe has.
    broken("recipes/rx-tally-report.yaml", "conffiles:", "conffile:").run("build", &[]).refused(
        2,
        "CONF001",
        &["conffile"],
    );
    // Settings that are not in the package.
    broken("recipes/rx-tally-report.yaml", "text: \"label", "texts: \"label").run("build", &[]).refused(
        2,
        "CONF001",
        &["texts"],
    );
}

#[test]
fn a_module_that_does_not_work_fails_at_its_scenario_and_in_the_table() {
    if may_not_compile() {
        return;
    }
    let example = Example::taken();
    example.edit("feed/rx-tally/src/rx_tally.c", "skb->len >= min_bytes", "skb->len < min_bytes");
    let ran = example.run("test", &["--format", "apk"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let row = ran.err.lines().find(|line| line.contains("kmod-rx-tally  6.12")).unwrap_or_default();
    assert_eq!((row.matches("yes").count(), row.matches("NO").count()), (5, 1), "{}", ran.err);
}

#[test]
fn a_module_that_loses_memory_with_every_load_is_not_clean() {
    if may_not_compile() {
        return;
    }
    let place = Place::warm();
    let folder = sources().join("tests/fixtures/leaks");
    let (recipes, scenarios, json) = (folder.join("recipes"), folder.join("scenarios"), place.path("report.json"));
    let words = ["test", "--recipes", recipes.as_str(), "--scenarios", scenarios.as_str(), "--format", "apk"];
    let words = [&words[..], &["--accel", "tcg", "--json", json.as_str()]].concat();
    let ran = Run::in_users_cache(&place, &words).ends_within(10 * SLOW);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("STEP014") && ran.err.contains("the slab cache kmalloc-"), "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let says: Vec<&str> =
        report["kmods"][0]["cells"].as_array().unwrap().iter().filter_map(|cell| cell["says"].as_str()).collect();
    assert_eq!(says, ["yes", "yes", "yes", "yes", "yes", "no"], "{report}");
}
