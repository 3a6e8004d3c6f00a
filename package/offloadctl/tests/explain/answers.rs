//! Which connection is meant, and how the answer is written.

use offloadctl::answer;
use offloadctl::conntrack::Path;
use offloadctl::explain::{Facts, Question, explain};

use crate::router::*;

#[test]
fn a_connection_is_found_by_any_of_its_addresses() {
    let flow = facts().flow.unwrap();
    let fits = |source, destination, protocol, port| {
        Question { source: address(source), destination: address(destination), protocol, port }.fits(&flow)
    };
    assert!(fits("192.168.1.10", "10.0.0.2", None, None));
    assert!(fits("10.0.0.2", "192.168.1.10", Some(6), Some(443)));
    assert!(fits("10.0.0.1", "10.0.0.2", None, Some(40000)));
    assert!(!fits("192.168.1.10", "10.0.0.2", Some(17), None));
    assert!(!fits("192.168.1.10", "10.0.0.2", Some(6), Some(80)));
    assert!(!fits("192.168.1.10", "10.0.0.1", None, None));
}

#[test]
fn the_answer_is_written_as_the_readme_shows() {
    let mut facts = facts();
    facts.ruleset = forward(vec![accepts_established(), adds()]);
    let explanation = explain(&facts);
    let mut out = Vec::new();
    answer::write(&mut out, &facts, &explanation).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(include_str!("../../README.md").contains(&format!("```text\n{text}```\n")), "not in README.md:\n{text}");
    let json = json_of(&facts);
    assert!(include_str!("../../README.md").contains(&format!("```json\n{json}```\n")), "not in README.md:\n{json}");
    assert_eq!(explanation.exit_code(), 1);
    flow(&mut facts).path = Path::Software;
    facts.ruleset = forward(vec![adds()]);
    assert_eq!(explain(&facts).exit_code(), 0);
    facts.flowtables[0].hardware = true;
    assert_eq!(explain(&facts).exit_code(), 0);
    facts.flowtables[0].devices.clear();
    assert_eq!(explain(&facts).exit_code(), 1);
}

fn json_of(facts: &Facts) -> String {
    let mut out = Vec::new();
    answer::write_json(&mut out, facts, &explain(facts)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_tells_what_is_not_known() {
    let mut facts = facts();
    flow(&mut facts).details.helper = Some(*b"ftp\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let json = json_of(&facts);
    assert!(json.contains("\"offloaded\": false") && json.contains("\"helper\": \"ftp\""), "{json}");
    assert!(json.contains("{\"id\": \"OCTL209\", \"what\": \"the helper ftp reads along\""), "{json}");
    facts.flow = None;
    facts.devices.1 = None;
    let json = json_of(&facts);
    assert!(json.contains("\"connection\": null") && json.contains("\"reply\": null"), "{json}");
    assert!(json.contains("\"id\": \"OCTL201\""), "{json}");
}

#[test]
fn of_an_unknown_connection_it_is_said_what_would_become_of_it() {
    let answer = |change: fn(&mut Facts)| {
        let mut facts = facts();
        facts.flow = None;
        facts.ruleset.rules.extend(rules("forward", 5, vec![accepts_new()]));
        change(&mut facts);
        let mut out = Vec::new();
        answer::write(&mut out, &facts, &explain(&facts)).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(answer(|_| {}).contains("is not known, and could be offloaded."));
    assert!(answer(|facts| facts.is_local = true).contains("is not known, and would not be offloaded."));
    assert!(answer(|facts| facts.flowtables.clear()).contains("is not known, and would not be offloaded."));
}

#[test]
fn one_of_several_is_said_to_be_so() {
    let mut facts = facts();
    facts.matching = 3;
    let mut out = Vec::new();
    answer::write(&mut out, &facts, &explain(&facts)).unwrap();
    assert!(String::from_utf8(out).unwrap().contains(", ESTABLISHED (the largest of 3)\n"));
}
