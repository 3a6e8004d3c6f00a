//! Whole scenarios on a router that is made up: what a flaw of it is called, and that nothing passes by itself.

mod router;

use std::sync::mpsc::channel;

use camino::Utf8Path;
use model::{Event, Events, Exit, Record, Sabotage, Verdict};

use crate::bench::Manner;
use crate::runner::tests::Place;
use crate::scenario::{self, Scenario};
use router::{Fakes, Flaw};

/// Steps of which every kind is done, and a proof.
const ALL: &str = "
topology: { routed: true }
managers: [apk]
steps:
  - ruleset: table inet lab { }
  - open: { flow: a, proto: udp }
  - exchange: { flow: a, packets: 200, path: slow }
  - conntrack: { flow: a, offload: false, counts: all }
  - ruleset: table inet lab { flow add @ft }
  - exchange:
      flow: a
      packets: 200
      path: fast
      during:
        - run: [echo]
          exit: any
    loaded: [nf_flow_table]
    not-loaded: [nft_fib]
  - conntrack: { flow: a, offload: true }
  - run: [\"false\"]
    exit: 1
    says: [\"no\"]
  - close: a
    root-unchanged: true
  - reload: nf_flow_table
    with: [a=1]
    uses: { nf_flow_table: 0 }
  - link: { name: d0, type: dummy, address: 10.0.0.1/8 }
offload:
  ruleset: table inet lab { }
  offload: flow add @ft
  traffic:
    - { proto: udp, bytes: 300000, seen-from: 192.168.1.2 }
    - { proto: tcp, bytes: 300000 }
";

fn scenario(text: &str) -> Scenario {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("whole.yaml");
    std::fs::write(&path, format!("version: 1\ntitle: whole\n{text}")).unwrap();
    scenario::load(&path).unwrap()
}

/// What a case came to.
struct Told {
    exit: Exit,
    verdict: Verdict,
    notes: Vec<String>,
    record: Record,
}

impl Told {
    /// The finding's id and its place.
    fn finding(&self) -> (&str, &str) {
        match &self.verdict {
            Verdict::Fail { finding } | Verdict::Blocked { finding } => {
                (finding.id, finding.place.as_deref().unwrap_or_default())
            }
            other => panic!("{other:?}: {:#?}", self.notes),
        }
    }
}

fn run(text: &str, flaw: Flaw, sabotage: Option<Sabotage>) -> Told {
    run_with(text, flaw, |manner| manner.sabotage = sabotage)
}

fn run_with(text: &str, flaw: Flaw, change: impl FnOnce(&mut Manner<'_>)) -> Told {
    let (routers, place, (sender, received)) = (Fakes::with(flaw), Place::default(), channel());
    let events = Events::to(sender);
    let mut bench = place.bench(&routers, &events);
    change(&mut bench.manner);
    let exit = crate::run(&bench, &[scenario(text)]);
    let end = received.try_iter().find_map(|event| match event {
        Event::CaseEnd { verdict, notes, record, .. } => Some((verdict, notes, *record)),
        _ => None,
    });
    let (verdict, notes, record) = end.unwrap();
    Told { exit, verdict, notes, record }
}

#[test]
fn a_router_without_a_flaw_passes_and_all_that_was_asked_is_told() {
    let told = run(ALL, Flaw::None, None);
    assert_eq!((told.exit, &told.verdict), (Exit::Done, &Verdict::Pass), "{:?}", told.notes);
    assert!(told.record.checks.iter().all(|check| check.holds) && told.record.checks.len() > 10);
    assert!(told.notes[0].starts_with("a fake, ready after"));
    assert!(told.notes.iter().any(|note| note.contains("offload run") && note.contains("marked OFFLOAD")));
    assert!(told.record.samples.len() > 10 && told.record.line.is_none());
    for part in ["resume", "install", "steps", "traffic", "kernel log", "power off"] {
        assert!(told.record.phases.iter().any(|phase| phase.name == part), "{part}");
    }
}

#[test]
fn what_offloadctl_says_is_held_against_the_packets() {
    for (flaw, found) in [
        (Flaw::Boasts, ("PROOF023", "step 3, flow a")),
        (Flaw::Doubts, ("PROOF023", "step 6, flow a")),
        (Flaw::Mumbles, ("PROOF024", "")),
    ] {
        assert_eq!(run(ALL, flaw, None).verdict, Verdict::Pass, "nobody asked");
        let told = run_with(ALL, flaw, |manner| manner.asks_offloadctl = true);
        assert_eq!((told.exit, told.finding()), (Exit::Failed, found), "{flaw:?}");
    }
    assert_eq!(run_with(ALL, Flaw::None, |manner| manner.asks_offloadctl = true).verdict, Verdict::Pass);
}

#[test]
fn each_flaw_fails_with_its_own_finding_at_its_line() {
    for (flaw, id, place, line) in [
        (Flaw::Slow, "PROOF004", "step 6, flow a", Some(12)),
        (Flaw::OnlyMarked, "PROOF004", "step 6, flow a", Some(12)),
        (Flaw::Fast, "PROOF008", "step 3, flow a", Some(9)),
        (Flaw::Damages, "PROOF001", "step 3, flow a", Some(9)),
        (Flaw::Complains, "PROOF010", "kernel log", None),
    ] {
        let told = run(ALL, flaw, None);
        assert_eq!((told.exit, told.finding(), told.record.line), (Exit::Failed, (id, place), line), "{flaw:?}");
        assert_eq!(told.record.checks.iter().filter(|check| !check.holds).count(), 1, "{flaw:?}");
    }
}

#[test]
fn the_two_runs_of_a_proof_are_held_against_each_other() {
    let proof = &ALL[ALL.find("offload:\n  ruleset").unwrap()..];
    let text = format!("topology: {{ routed: true }}\nmanagers: [apk]\n{proof}");
    assert_eq!(run(&text, Flaw::None, None).verdict, Verdict::Pass);
    // A counter that never moves would look like offload.
    assert_eq!(run(&text, Flaw::Fast, None).finding(), ("PROOF008", "control run, flow udp 1"));
    assert_eq!(run(&text, Flaw::Slow, None).finding(), ("PROOF004", "offload run, flow udp 2"));
}

#[test]
fn a_guest_that_does_not_answer_is_no_verdict_and_has_a_second_chance() {
    let told = run(ALL, Flaw::Hangs, None);
    assert_eq!((told.exit, told.finding().0), (Exit::Blocked, "VM000"));
    assert!(told.notes[0].starts_with("blocked at first (VM000: the fake hangs)"), "{:?}", told.notes);
}

#[test]
fn offload_that_was_broken_on_purpose_is_noticed_or_the_scenario_is_no_good() {
    let told = run(ALL, Flaw::None, Some(Sabotage::NoFastPath));
    assert_eq!((told.exit, &told.verdict), (Exit::Done, &Verdict::Pass), "{:?}", told.notes);
    assert!(told.notes.iter().any(|note| note.starts_with("turned red, as it must: PROOF004")), "{:?}", told.notes);
    assert_eq!(run(ALL, Flaw::Stubborn, Some(Sabotage::NoFastPath)).finding().0, "SELF001");
    assert_eq!(run(ALL, Flaw::Complains, None).finding().0, "PROOF010");
}

#[test]
fn what_is_said_of_broken_rules_is_passed_over_until_traffic_decides() {
    let says = "  - run: [echo]\n    says: [eth0]\n";
    let rules = "  - ruleset: table inet lab { flow add @ft }\n";
    let after = ALL.replace(rules, &format!("{rules}{says}"));
    assert_eq!(run(&after, Flaw::None, None).finding(), ("STEP002", "step 6"));
    let told = run(&after, Flaw::None, Some(Sabotage::NoFastPath));
    assert_eq!((told.exit, &told.verdict), (Exit::Done, &Verdict::Pass), "{:?}", told.notes);
    for beginning in ["passed over, as rules are broken: step 6: STEP002", "turned red, as it must: PROOF004"] {
        assert!(told.notes.iter().any(|note| note.starts_with(beginning)), "{:?}", told.notes);
    }
    // Traffic that does not notice is not excused by words.
    assert_eq!(run(&after, Flaw::Stubborn, Some(Sabotage::NoFastPath)).finding().0, "SELF001");
    // Nothing was broken yet.
    let before = ALL.replace("steps:\n", &format!("steps:\n{says}"));
    assert_eq!(run(&before, Flaw::None, Some(Sabotage::NoFastPath)).finding(), ("SELF002", "step 1"));
}

/// Traffic without a flowtable, with one, and with one that asks the card.
const CARD: &str = "
router: card
topology: { routed: true }
steps:
  - card: { table_size: 9 }
  - ruleset: table inet lab { }
  - open: { flow: a, proto: udp }
  - exchange: { flow: a, packets: 200, path: slow }
  - ruleset: table inet lab { flow add @ft }
  - exchange: { flow: a, packets: 200, path: fast }
  - conntrack: { flow: a, hardware: false }
  - ruleset: table inet lab { flags offload; flow add @ft }
  - open: { flow: b, proto: udp }
  - exchange: { flow: b, packets: 200, path: hardware }
  - conntrack: { flow: b, hardware: true }
";

#[test]
fn a_card_that_only_has_rules_and_one_that_is_bypassed_are_noticed() {
    let told = run(CARD, Flaw::None, None);
    assert_eq!((told.exit, &told.verdict), (Exit::Done, &Verdict::Pass), "{:?}", told.notes);
    assert!(told.notes.iter().any(|note| note.contains("the card sent on 200 packets there")), "{:?}", told.notes);
    assert_eq!(run(CARD, Flaw::IdleCard, None).finding(), ("PROOF020", "step 10, flow b"));
    let told = run(CARD, Flaw::None, Some(Sabotage::NoHardware));
    assert!(told.notes.iter().any(|note| note.starts_with("turned red, as it must: PROOF020")), "{:?}", told.notes);
    // What needs no card is no business of that.
    assert!(matches!(run(ALL, Flaw::None, Some(Sabotage::NoHardware)).verdict, Verdict::Skip { .. }));
}

#[test]
fn commands_and_facts_that_do_not_hold_end_a_scenario() {
    for (steps, id, place) in [
        ("{run: [touch, /etc/new], root-unchanged: true}", "STEP005", "step 1"),
        ("{run: [\"false\"]}", "STEP001", "step 1"),
        ("{run: [echo]}, {run: [echo], says: [x], within: 200ms}", "STEP002", "step 2"),
        ("{loaded: [nft_fib]}", "STEP003", "step 1"),
        ("{not-loaded: [nf_flow_table]}", "STEP004", "step 1"),
        ("{loaded-from-feed: [kmod-none]}", "STEP008", "step 1"),
        ("{uses: {nf_flow_table: 1}}", "STEP012", "step 1"),
        ("{taint: [O]}", "STEP011", "step 1"),
        ("{kept-by-sysupgrade: [/etc/x]}", "STEP013", "step 1"),
        (
            "{open: {flow: a, proto: udp}}, {conntrack: {flow: a, state: CLOSE, within: 200ms}}",
            "PROOF014",
            "step 2, flow a",
        ),
    ] {
        let told = run(&format!("managers: [opkg]\nsteps: [{steps}]"), Flaw::None, None);
        assert_eq!((told.exit, told.finding()), (Exit::Failed, (id, place)), "{steps}");
    }
    let needs = run("managers: [opkg]\nneeds: {command: x}\nsteps: [{loaded: [nf_flow_table]}]", Flaw::None, None);
    assert_eq!(needs.verdict, Verdict::Pass, "nothing is amiss");
}
