//! Whole runs, with the text that they must print.

use super::*;

pub(crate) fn finding(id: &'static str, what: &str) -> Finding {
    Finding {
        id,
        severity: Severity::Error,
        place: None,
        what: what.into(),
        why: "a reason".into(),
        fix: "a remedy".into(),
    }
}

fn end(case: &str, verdict: Verdict, notes: &[&str]) -> [Event; 2] {
    let notes = notes.iter().map(|&note| note.to_owned()).collect();
    [
        Event::CaseBegin { case: case.into() },
        Event::CaseEnd { case: case.into(), verdict, millis: 1_230, notes, record: Box::default() },
    ]
}

/// A run with one of everything.
pub(crate) fn sample_run() -> Vec<Event> {
    let mut events = vec![
        Event::RunBegin { schema: model::SCHEMA, verb: "test".into() },
        Event::StageSkipped { stage: "kernel".into(), why: "same inputs as before".into() },
        Event::StageBegin { stage: "packages".into(), detail: "18 packages".into() },
        Event::Progress { stage: "packages".into(), done: 1, total: Some(18) },
        Event::Line { stage: "packages".into(), text: "kmod-nft-offload".into() },
        Event::StageEnd {
            stage: "packages".into(),
            status: Status::Done,
            millis: 3_210,
            summary: "18 packages".into(),
        },
        Event::StageEnd { stage: "feed".into(), status: Status::Done, millis: 40, summary: String::new() },
    ];
    events.extend(end("offload-ipv4-nat", Verdict::Pass, &["2004 packets, 2 on the slow path"]));
    events.push(Event::Line { stage: "bridge".into(), text: "nft list counters".into() });
    events.extend(end("bridge", Verdict::Fail { finding: finding("CASE999", "the slow path was taken") }, &[]));
    events.extend(end("vlan", Verdict::Skip { reason: "needs two-nics".into() }, &[]));
    events.extend(end("pppoe", Verdict::Blocked { finding: finding("VM999", "the guest never answered") }, &[]));
    events.push(Event::RunEnd { exit: 1, millis: 31_250 });
    events
}

fn printed(events: &[Event], verbosity: Verbosity, color: bool) -> String {
    let mut bytes = Vec::new();
    let mut sink = Human::new(&mut bytes, Style { verbosity, color, progress: false });
    events.iter().for_each(|event| sink.take(event));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_run_reads_from_top_to_bottom() {
    let expected = "\
kept    kernel: same inputs as before
start   packages: 18 packages
done    packages in 3.21 s: 18 packages
done    feed in 0.04 s
start   offload-ipv4-nat
pass    offload-ipv4-nat in 1.23 s: 2004 packets, 2 on the slow path
start   bridge
FAIL    bridge in 1.23 s: CASE999: the slow path was taken
error[CASE999]: the slow path was taken
    why: a reason
    fix: a remedy
start   vlan
skip    vlan in 1.23 s: needs two-nics
start   pppoe
BLOCKED pppoe in 1.23 s: VM999: the guest never answered
error[VM999]: the guest never answered
    why: a reason
    fix: a remedy

  kernel            kept            -  same inputs as before
  packages          done       3.21 s  18 packages
  feed              done       0.04 s
  offload-ipv4-nat  pass       1.23 s  2004 packets, 2 on the slow path
  bridge            FAIL       1.23 s  CASE999: the slow path was taken
  vlan              skip       1.23 s  needs two-nics
  pppoe             BLOCKED    1.23 s  VM999: the guest never answered
not ok, exit code 1: 1 passed, 1 failed, 1 blocked, 1 skipped; finished in 31.2 s
";
    assert_eq!(printed(&sample_run(), Verbosity::Normal, false), expected);
}

#[test]
fn quiet_says_what_went_wrong_and_the_last_line() {
    let expected = "\
FAIL    bridge in 1.23 s: CASE999: the slow path was taken
error[CASE999]: the slow path was taken
    why: a reason
    fix: a remedy
BLOCKED pppoe in 1.23 s: VM999: the guest never answered
error[VM999]: the guest never answered
    why: a reason
    fix: a remedy
not ok, exit code 1: 1 passed, 1 failed, 1 blocked, 1 skipped; finished in 31.2 s
";
    assert_eq!(printed(&sample_run(), Verbosity::Quiet, false), expected);
}

#[test]
fn lines_are_shown_when_asked_for_or_when_the_stage_failed() {
    let run = |status| {
        let mut events = vec![Event::StageBegin { stage: "tests".into(), detail: "cargo test".into() }];
        let numbered = |n| Event::Line { stage: "tests".into(), text: format!("line {n}") };
        events.extend((1..=KEPT_LINES + 2).map(numbered));
        events.push(Event::StageEnd { stage: "tests".into(), status, millis: 1, summary: String::new() });
        events
    };
    let count = |text: String| text.matches("line ").count();
    assert_eq!(count(printed(&run(Status::Done), Verbosity::Normal, false)), 0);
    let failed = printed(&run(Status::Failed), Verbosity::Normal, false);
    assert!(failed.contains("line 12") && !failed.contains("line 2\n"), "{failed}");
    assert_eq!(count(failed), KEPT_LINES);
    assert_eq!(count(printed(&run(Status::Failed), Verbosity::Verbose, false)), KEPT_LINES + 2);
    assert_eq!(count(printed(&run(Status::Failed), Verbosity::Quiet, false)), KEPT_LINES);
}

#[test]
fn lines_of_stages_that_run_at_once_are_kept_and_told_apart() {
    let begin = |stage: &str| Event::StageBegin { stage: stage.into(), detail: String::new() };
    let line = |stage: &str| Event::Line { stage: stage.into(), text: "a line".into() };
    let failed = Event::StageEnd { stage: "one".into(), status: Status::Failed, millis: 1, summary: String::new() };
    let events = [begin("one"), line("one"), begin("two"), line("two"), failed];
    let text = printed(&events, Verbosity::Normal, false);
    assert!(text.contains("      one | a line\n      two | a line\n"), "{text}");
}

#[test]
fn colours_are_only_where_asked_for_and_change_no_columns() {
    let (plain, colored) =
        (printed(&sample_run(), Verbosity::Normal, false), printed(&sample_run(), Verbosity::Normal, true));
    assert!(!plain.contains('\x1b') && colored.contains("\x1b[31mFAIL\x1b[0m    bridge"), "{colored}");
    let mut stripped = colored;
    for code in ["\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn notes_of_a_finding_are_silent_when_quiet() {
    let mut note = finding("HOST998", "no KVM");
    note.severity = Severity::Note;
    let events = [Event::Finding(note)];
    assert_eq!(printed(&events, Verbosity::Quiet, false), "");
    assert!(printed(&events, Verbosity::Normal, false).starts_with("note[HOST998]: no KVM"));
}

#[test]
fn whose_packages_ran_on_whose_routers_is_told_at_the_end() {
    let built = "built by the SDK of ramips/mt7620, OpenWrt 24.10.8; proven on ramips/mt7621";
    let facts = [("QEMU", "7.2"), (PROOF, built)];
    let mut events: Vec<Event> =
        facts.map(|(name, value)| Event::Fact { name: name.into(), value: value.into() }).into();
    events.extend(sample_run());
    let text = printed(&events, Verbosity::Normal, false);
    let end: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(end[1], built, "{text}");
    assert!(!printed(&sample_run(), Verbosity::Normal, false).contains("built by"));
}
