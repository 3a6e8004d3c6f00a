//! Cases whose routers never come up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Events, Failure, Format, Problem};
use vm::guest::Guest;
use vm::lab::Lab;

use super::*;
use crate::bench::{Borrowed, Feeds, Manner, Routers, Trust};
use crate::modules::Payload;

/// Routers of a kernel line that a function gives.
struct Boots<F>(&'static str, F);

impl<F: Fn() -> Result<Box<dyn Guest>> + Sync> Routers for Boots<F> {
    fn kernel(&self) -> &str {
        self.0
    }

    fn boot<'a>(&'a self, _: &'a Lab, _: Start, _: Format) -> Result<Box<dyn Guest + 'a>> {
        (self.1)()
    }
}

/// All else that a bench has.
pub(crate) struct Place {
    folders: BTreeMap<FeedVariant, Result<Utf8PathBuf>>,
    trust: Trust,
    payload: Payload,
    borrowed: Borrowed,
    cancel: Cancel,
}

impl Default for Place {
    fn default() -> Self {
        let folders = BTreeMap::from([(FeedVariant::Published, Ok("/".into()))]);
        let (trust, payload) = (Trust { files: Vec::new() }, Payload::default());
        Place { folders, trust, payload, borrowed: Borrowed::default(), cancel: Cancel::default() }
    }
}

impl Place {
    pub(crate) fn bench<'a>(&'a self, routers: &'a dyn Routers, events: &'a Events) -> Bench<'a> {
        let feeds =
            Feeds { folders: &self.folders, trust: &self.trust, payload: &self.payload, borrowed: &self.borrowed };
        let manner = Manner {
            jobs: 2,
            of_several: false,
            target: "",
            sabotage: None,
            asks_offloadctl: false,
            keep: None,
            captures: None,
        };
        Bench { routers, feeds, manner, events, cancel: &self.cancel }
    }
}

fn scenarios(count: usize) -> Vec<Scenario> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let all = crate::scenario::load_all(&folder).unwrap().into_iter();
    all.take(count).map(|file| file.scenario.unwrap()).collect()
}

fn no_guest() -> Failure {
    let (what, why, fix) = ("no guest", "it is a test", "none");
    Failure::of(Problem { exit: Exit::Blocked, id: "VM000", what, why, fix })
}

#[test]
fn the_shortest_proof_begins_and_the_others_follow_longest_first() {
    let scenarios = scenarios(usize::MAX);
    let mut cases: Vec<Case> =
        scenarios.iter().map(|scenario| Case { scenario, manager: Format::Apk, name: scenario.name.clone() }).collect();
    in_good_order(&mut cases);
    assert_eq!(cases[0].name, "offload-later");
    assert!(cases[1..].is_sorted_by_key(|case| Reverse(case.scenario.weight())));
}

#[test]
fn a_router_that_never_comes_up_is_blocked_after_a_second_try() {
    let boots = AtomicUsize::new(0);
    let none = Boots("6.12", || {
        boots.fetch_add(1, Ordering::Relaxed);
        Err(no_guest())
    });
    let (sender, received) = std::sync::mpsc::channel();
    let (place, events) = (Place::default(), Events::to(sender));
    let scenarios = scenarios(3);
    let cases: usize = scenarios.iter().map(|scenario| scenario.managers.len()).sum();
    assert_eq!(run(&place.bench(&none, &events), &scenarios), Exit::Blocked);
    assert_eq!(boots.load(Ordering::Relaxed), 2 * cases, "each is tried twice");
    let verdicts = received.try_iter().filter(|event| {
        matches!(event, Event::CaseEnd { verdict: Verdict::Blocked { finding }, notes, .. }
            if finding.id == "VM000" && notes[0].contains("tried once more"))
    });
    assert_eq!(verdicts.count(), cases);
}

#[test]
fn a_feed_that_nobody_prepared_is_our_defect() {
    let failure = bench::folder(&BTreeMap::new(), FeedVariant::WrongKey).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("SCEN005", Exit::Bug));
}

#[test]
fn a_feed_that_could_not_be_made_is_the_verdict_of_those_that_name_it() {
    for (exit, verdict) in [(Exit::Failed, "fail"), (Exit::Host, "blocked"), (Exit::Usage, "skip")] {
        let (sender, received) = std::sync::mpsc::channel();
        let (mut place, events) = (Place::default(), Events::to(sender));
        let failure = Failure::of(Problem { exit, id: "VM009", what: "no module", why: "it is a test", fix: "none" });
        place.folders.insert(FeedVariant::Tests, Err(failure));
        let mut two = scenarios(2);
        two.iter_mut().for_each(|scenario| scenario.managers.truncate(1));
        two[1].feed = FeedVariant::Tests;
        let none = Boots("6.12", || Err(no_guest()));
        run(&place.bench(&none, &events), &two);
        let verdicts = received.try_iter().filter_map(|event| match event {
            Event::CaseEnd { verdict: Verdict::Fail { finding }, .. } => Some((finding.what, "fail")),
            Event::CaseEnd { verdict: Verdict::Blocked { finding }, .. } => Some((finding.what, "blocked")),
            Event::CaseEnd { verdict: Verdict::Skip { reason }, .. } => Some((reason, "skip")),
            _ => None,
        });
        let wanted = BTreeMap::from([("no guest".to_owned(), "blocked"), ("no module".to_owned(), verdict)]);
        assert_eq!(verdicts.collect::<BTreeMap<_, _>>(), wanted);
    }
}

#[test]
fn a_scenario_without_packages_is_skipped_and_says_so() {
    let (sender, received) = std::sync::mpsc::channel();
    let (place, events) = (Place::default(), Events::to(sender));
    let mut one = scenarios(1);
    one[0].managers.clear();
    let none = Boots("6.12", || Err(Failure::interrupted()));
    assert_eq!(run(&place.bench(&none, &events), &one), Exit::Done);
    let told: Vec<Event> = received.try_iter().collect();
    assert!(matches!(&told[..], [Event::CaseEnd { verdict: Verdict::Skip { .. }, .. }]), "{told:?}");
}

#[test]
fn a_kernel_that_was_not_measured_runs_only_what_is_the_same_on_all() {
    let (sender, received) = std::sync::mpsc::channel();
    let (place, events) = (Place::default(), Events::to(sender));
    let boots = AtomicUsize::new(0);
    let none = Boots("6.6", || {
        boots.fetch_add(1, Ordering::Relaxed);
        Err(no_guest())
    });
    let bench = place.bench(&none, &events);
    let mut two: Vec<Scenario> = scenarios(usize::MAX);
    two.retain(|scenario| ["life-tcp-end", "offload-ipv4-nat"].contains(&scenario.name.as_str()));
    assert_eq!(run(&bench, &two), Exit::Blocked);
    let skipped: Vec<String> = received
        .try_iter()
        .filter_map(|event| match event {
            Event::CaseEnd { case, verdict: Verdict::Skip { reason }, .. } => Some(format!("{case}: {reason}")),
            _ => None,
        })
        .collect();
    assert!(skipped.len() == 1 && skipped[0].starts_with("life-tcp-end") && skipped[0].contains("6.6"), "{skipped:?}");
    assert!(boots.load(Ordering::Relaxed) > 0);
}

#[test]
fn an_interrupt_ends_the_run_and_is_not_retried() {
    let (place, events) = (Place::default(), Events::discard());
    let none = Boots("6.12", || Err(Failure::interrupted()));
    let bench = place.bench(&none, &events);
    place.cancel.cancel();
    assert_eq!(run(&bench, &scenarios(2)), Exit::Interrupted);
}
