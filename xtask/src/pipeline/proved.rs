//! Reports once per run that offload is proved, because that is what a new user waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use model::{CheckKind, Event, Events, Record, Verdict};

/// The place in a scenario's record of the run with offload.
const RUN: &str = "offload run";

/// Whether it was reported.
#[derive(Debug, Default)]
pub(super) struct Proved(AtomicBool);

impl Proved {
    /// Runs `work` and forwards its events to `events`; after the first case that proves offload on `router`, it adds a
    /// notice.
    pub(super) fn listen<T>(&self, events: &Events, router: &str, work: impl FnOnce(&Events) -> T) -> T {
        let (sender, received) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| self.forward(received, events, router));
            work(&Events::to(sender))
        })
    }

    fn forward(&self, received: Receiver<Event>, events: &Events, router: &str) {
        for event in received {
            let said = match &event {
                Event::CaseEnd { case, verdict: Verdict::Pass, record, .. } => {
                    proof(record).map(|proof| (case.clone(), proof))
                }
                _ => None,
            };
            events.emit(event);
            if let Some((case, proof)) = said.filter(|_| !self.0.swap(true, Ordering::Relaxed)) {
                events.notice("test", format!("proved: {case} on {router}: {proof}"));
            }
        }
    }
}

/// The counters of a run in which flows took the fast path; `None` if offload was broken on purpose.
fn proof(record: &Record) -> Option<String> {
    let checks = record.checks.iter().filter(|check| check.at == RUN && check.kind == CheckKind::Path);
    let fast = checks.filter(|check| check.holds && check.observed == "fast");
    let fast: Vec<&str> = fast.map(|check| check.detail.as_str()).collect();
    (!fast.is_empty() && record.sabotage.is_none()).then(|| fast.join("; "))
}

#[cfg(test)]
mod tests {
    use model::Check;

    use super::*;

    fn case(name: &str, verdict: Verdict, observed: &str, sabotage: Option<&'static str>) -> Event {
        let check = Check {
            at: RUN.into(),
            kind: CheckKind::Path,
            subject: "udp 2".into(),
            expected: observed.into(),
            observed: observed.into(),
            detail: "udp: the forward hook saw 1 of 2001 packets there".into(),
            holds: true,
        };
        let record = Box::new(Record { checks: vec![check], sabotage, ..Record::default() });
        Event::CaseEnd { case: name.into(), verdict, millis: 0, notes: Vec::new(), record }
    }

    fn told(proved: &Proved, cases: Vec<Event>) -> Vec<String> {
        let (sender, received) = channel();
        proved.listen(&Events::to(sender), "a stand-in", |events| cases.into_iter().for_each(|case| events.emit(case)));
        let word = |event| match event {
            Event::CaseEnd { case, .. } => case,
            Event::Notice { text, .. } => text,
            other => panic!("{other:?}"),
        };
        received.into_iter().map(word).collect()
    }

    #[test]
    fn the_first_proof_is_said_once_with_its_counters_and_nothing_is_lost() {
        let proved = Proved::default();
        let cases = ["a", "b", "c"].map(|name| case(name, Verdict::Pass, "fast", None));
        let notice = "proved: a on a stand-in: udp: the forward hook saw 1 of 2001 packets there";
        assert_eq!(told(&proved, cases.into()), ["a", notice, "b", "c"]);
        assert_eq!(told(&proved, vec![case("d", Verdict::Pass, "fast", None)]), ["d"]);
    }

    #[test]
    fn what_proves_nothing_is_not_called_so() {
        let skipped = Verdict::Skip { reason: "none".into() };
        let cases = vec![
            case("slow", Verdict::Pass, "slow", None),
            case("skipped", skipped, "fast", None),
            case("broken", Verdict::Pass, "fast", Some("one-device")),
        ];
        assert_eq!(told(&Proved::default(), cases), ["slow", "skipped", "broken"]);
    }
}
