//! What is collected about a run, and its summary in one sentence.

pub(crate) mod sample;

use super::*;
use crate::sink::human::tests::{finding, sample_run};

fn run(events: &[Event]) -> Run {
    let mut run = Run::new("cargo xtask test".into(), vec!["--accel".into(), "tcg".into()]);
    events.iter().for_each(|event| run.take(event));
    run
}

#[test]
fn a_run_is_collected_from_its_events() {
    let run = run(&sample_run());
    assert_eq!(run.counts(), Counts { passed: 1, failed: 1, blocked: 1, skipped: 1 });
    let stages: Vec<(&str, &str)> = run.stages.iter().map(|stage| (stage.name.as_str(), stage.ended)).collect();
    assert_eq!(stages, [("kernel", "kept"), ("packages", "done"), ("feed", "done")]);
    let troubles: Vec<(&str, &str)> =
        run.troubles().iter().map(|(case, finding)| (case.name.as_str(), finding.id)).collect();
    assert_eq!(troubles, [("bridge", "CASE999"), ("pppoe", "VM999")]);
    assert_eq!(run.cases[0].reproduce, "cargo xtask test offload-ipv4-nat --exact --accel tcg");
}

#[test]
fn the_headline_is_the_worst_there_is() {
    let mut all = run(&sample_run());
    assert_eq!(all.exit, Exit::Bug.code(), "nobody has said yet how it ended");
    all.exit = 1;
    assert_eq!(all.headline(), "1 scenario failed");
    all.cases.retain(|case| case.name != "bridge");
    assert_eq!(all.headline(), "1 scenario found nothing out");
    all.cases.retain(|case| case.name != "pppoe");
    all.exit = 0;
    assert_eq!(all.headline(), "1 scenario held");
    all.exit = 130;
    assert_eq!(all.headline(), "Interrupted before its end");
    let mut none = run(&[Event::Finding(finding("HOST999", "no QEMU"))]);
    none.exit = 3;
    assert_eq!(none.headline(), "no QEMU");
}

#[test]
fn a_command_is_quoted_where_a_shell_would_read_it_otherwise() {
    let words = ["test", "--pcap", "my dir", "it's", "", "$(x)"];
    assert_eq!(words.map(quoted).join(" "), r"test --pcap 'my dir' 'it'\''s' '' '$(x)'");
}

#[test]
fn a_fact_is_told_once() {
    let fact = Event::Fact { name: "QEMU".into(), value: "7.2".into() };
    assert_eq!(run(&[fact.clone(), fact]).facts.len(), 1);
}

#[test]
fn a_case_of_another_target_or_release_is_repeated_there() {
    let repeated = |again: &[&str], target: &str| {
        let again = again.iter().map(|&word| word.to_owned()).collect();
        let record = Record { kernel: "6.12".into(), target: target.into(), ..Record::default() };
        Run::new(String::new(), again).repetition("vlan/apk", &record)
    };
    assert_eq!(repeated(&[], "x86/64"), "cargo xtask test vlan --exact --kernel 6.12");
    assert_eq!(repeated(&[], "armsr/armv8"), "cargo xtask test vlan --exact --target armsr/armv8 --kernel 6.12");
    assert_eq!(repeated(&["--release", "25.12"], "x86/64"), "cargo xtask test vlan --exact --release 25.12");
    let on = |target: &str| ran_on(&Record { kernel: "6.1".into(), target: target.into(), ..Record::default() });
    assert_eq!(["", "x86/64", "ramips/mt7621"].map(on), ["6.1", "6.1", "6.1, ramips/mt7621"]);
}
