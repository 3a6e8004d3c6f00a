//! Waits until the connection table says of a flow what it must.

use std::time::Duration;

use model::{Check, CheckKind, Deadline, Finding, Result, Severity};

use crate::attempt::Attempt;
use crate::flows::Span;
use crate::forward::Look;
use crate::judge::{self, Observation};
use crate::probes::Conntrack;
use crate::scenario::{Counts, Expected};

/// Between two looks: nobody tells when an entry changes.
const POLL: Duration = Duration::from_millis(50);

/// Looks until all holds that the step expects, or its time is over.
pub(crate) fn conntrack(attempt: &mut Attempt<'_>, expected: &Expected, at: &str) -> Result<Option<Finding>> {
    let deadline = Deadline::after(expected.within.0);
    let seen = loop {
        let look = Look::take(attempt.router.guest, attempt.router.card)?;
        let flow = attempt.net.flows.get(&expected.flow)?;
        flow.see(&look)?;
        let seen = flow.observation(Span::Ever);
        if holds(expected, &seen) || deadline.passed() {
            break seen;
        }
        attempt.cancel.check()?;
        std::thread::sleep(POLL);
    };
    let millis = attempt.told.millis();
    let sample = attempt.net.flows.get(&expected.flow)?.sample(millis, "conntrack");
    attempt.told.sample(sample);
    let found = if holds(expected, &seen) { None } else { Some(unmet(expected, &seen)) };
    let (wanted, entry) = (words(expected), described(seen.conntrack.as_ref()));
    attempt.told.check(Check {
        at: at.into(),
        kind: CheckKind::Conntrack,
        subject: expected.flow.clone(),
        observed: if found.is_none() { wanted.clone() } else { entry.clone() },
        expected: wanted,
        detail: entry,
        holds: found.is_none(),
    });
    Ok(found)
}

fn holds(expected: &Expected, seen: &Observation) -> bool {
    let Expected { flow: _, offload, hardware, state, gone, counts, within: _ } = expected;
    let Some(entry) = &seen.conntrack else { return *gone == Some(true) };
    *gone != Some(true)
        && offload.is_none_or(|offload| offload == entry.is_marked_offloaded())
        && hardware.is_none_or(|hardware| hardware == entry.is_marked_hardware())
        && state.as_ref().is_none_or(|state| Some(state) == entry.state.as_ref())
        && counts.is_none_or(|counts| judge::counts(seen, counts).is_none())
}

/// What is expected, in a few words.
fn words(expected: &Expected) -> String {
    let mut words = Vec::new();
    match expected.gone {
        Some(true) => words.push("no entry".to_owned()),
        Some(false) => words.push("an entry".to_owned()),
        None => {}
    }
    match expected.offload {
        Some(true) => words.push("marked".into()),
        Some(false) => words.push("not marked".into()),
        None => {}
    }
    match expected.hardware {
        Some(true) => words.push("in hardware".into()),
        Some(false) => words.push("not in hardware".into()),
        None => {}
    }
    words.extend(expected.state.clone());
    words.extend(expected.counts.map(|counts| match counts {
        Counts::All => "counts all".to_owned(),
        Counts::SlowOnly => "counts the slow path only".to_owned(),
    }));
    words.join(", ")
}

fn described(entry: Option<&Conntrack>) -> String {
    entry.map_or_else(|| "no entry".to_owned(), Conntrack::to_string)
}

fn unmet(expected: &Expected, seen: &Observation) -> Finding {
    Finding {
        id: "PROOF014",
        severity: Severity::Error,
        place: Some(format!("flow {}", expected.flow)),
        what: format!("conntrack shows `{}`, expected `{}`", described(seen.conntrack.as_ref()), words(expected)),
        why: format!("this did not become true within {:?}", expected.within.0),
        fix: "look at /proc/net/nf_conntrack: `cargo xtask test NAME --keep` leaves the router running".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Way, Ways};
    use crate::scenario::Proto;
    use crate::scenario::topology::Seconds;
    use model::Count;

    fn seen(line: Option<&str>) -> Observation {
        let count = Count { packets: 5, bytes: 140 };
        let way = Way { payload: 100, arrived: count, forwarded: Count { packets: 1, bytes: 28 }, ..Way::default() };
        let ever = Ways { there: way, back: way };
        let conntrack = line.and_then(Conntrack::parse);
        Observation {
            proto: Proto::Udp,
            exchange: ever,
            ever,
            fragmented: false,
            sent_hop_limit: (64, 64),
            hops: 1,
            refused: 0,
            damage: None,
            conntrack,
        }
    }

    fn entry(middle: &str, bytes: u64) -> Observation {
        let half = format!("src=a dst=b sport=1 dport=2 packets=5 bytes={bytes}");
        seen(Some(&format!("ipv4 2 tcp 6 {middle} {half} {half} mark=0")))
    }

    #[test]
    fn every_expectation_can_fail_alone() {
        let base = Expected {
            flow: "a".into(),
            offload: None,
            hardware: None,
            state: None,
            gone: None,
            counts: None,
            within: Seconds::of(1),
        };
        let offloaded = Expected { offload: Some(true), ..base.clone() };
        let hardware = Expected { hardware: Some(true), ..base.clone() };
        let software = Expected { hardware: Some(false), ..base.clone() };
        let closed = Expected { state: Some("CLOSE".into()), ..base.clone() };
        let gone = Expected { gone: Some(true), ..base.clone() };
        let all = Expected { counts: Some(Counts::All), ..base.clone() };
        let slow = Expected { counts: Some(Counts::SlowOnly), ..base };
        for (expected, good, bad) in [
            (&offloaded, entry("[OFFLOAD]", 140), entry("9 ESTABLISHED [ASSURED]", 140)),
            (&hardware, entry("[HW_OFFLOAD]", 140), entry("[OFFLOAD]", 140)),
            (&software, entry("[OFFLOAD]", 140), entry("[HW_OFFLOAD]", 140)),
            (&closed, entry("9 CLOSE", 140), entry("9 CLOSE_WAIT", 140)),
            (&gone, seen(None), entry("9 CLOSE", 140)),
            (&all, entry("[OFFLOAD]", 140), entry("[OFFLOAD]", 139)),
            (&slow, entry("[OFFLOAD]", 28), entry("[OFFLOAD]", 140)),
        ] {
            assert!(holds(expected, &good), "{expected:?}");
            assert!(!holds(expected, &bad), "{expected:?}");
            let finding = unmet(expected, &bad);
            assert_eq!(finding.id, "PROOF014");
            assert!(finding.what.contains(&words(expected)), "{finding}");
        }
        assert!(!holds(&offloaded, &seen(None)));
    }
}
