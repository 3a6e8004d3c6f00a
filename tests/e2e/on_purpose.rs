//! Scenarios that fail on purpose: what is judged to be slow or fast can be judged otherwise, and a failure is told
//! at the line that it is about.

use camino::Utf8Path;
use serde_json::Value;

use crate::place::{Place, sources};
use crate::run::{Run, SLOW};

/// The cases of a run with a JSON report, which must end with code 1.
fn failed(place: &Place, words: &[&str]) -> Vec<Value> {
    let report = place.path("report.json");
    let words = [&["test", "--accel", "tcg", "--json", report.as_str()], words].concat();
    // A new package is built, and installed on a router.
    let ran = Run::start(place, &words).ends_within(4 * SLOW);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    report["cases"].as_array().unwrap().clone()
}

/// The case failed with this id, at the line of its file with these words.
#[track_caller]
fn assert_failed_at(case: &Value, id: &str, words: &str) {
    assert_eq!((&case["verdict"], &case["finding"]["id"]), (&"fail".into(), &id.into()), "{case:#}");
    let file = case["record"]["file"].as_str().unwrap();
    let text = std::fs::read_to_string(sources().join(file)).unwrap();
    let line = case["record"]["line"].as_u64().and_then(|line| text.lines().nth(usize::try_from(line).ok()? - 1));
    assert!(line.is_some_and(|line| line.contains(words)), "line {}: {line:?}", case["record"]["line"]);
}

#[test]
fn a_package_with_a_mistake_fails_at_the_line_of_its_traffic() {
    let place = Place::warm();
    let fixture = sources().join("tests/fixtures/fails-on-purpose");
    let folder = |name: &str| fixture.join(name).into_string();
    let (recipes, scenarios) = (folder("recipes"), folder("scenarios"));
    let cases = failed(&place, &["--recipes", &recipes, "--scenarios", &scenarios]);
    assert_eq!(cases.len(), 1);
    assert_failed_at(&cases[0], "PROOF004", "flow: mine, packets: 200, path: fast");
    assert!(cases[0]["finding"]["fix"].as_str().unwrap().contains("no earlier accept of established flows"));
}

#[test]
fn what_must_be_slow_turns_red_where_its_packets_are_plain() {
    let folder = sources().join("tests/fixtures/red-on-purpose");
    let cases = failed(&Place::warm_with_routers(), &["--scenarios", folder.as_str()]);
    let files = Utf8Path::read_dir_utf8(&folder).unwrap().count();
    assert_eq!((cases.len(), files), (3, 3));
    for case in &cases {
        assert_failed_at(case, "PROOF008", "path: ");
    }
}
