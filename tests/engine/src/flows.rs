//! The flows of a scenario, and what was last seen of each: at both ends, in the forward hook, in conntrack.

use std::net::IpAddr;
use std::time::Duration;

use model::{Count, Exit, Failure, Problem, Result, Sample};
use vm::lab::{Direction, FlowHandle, FlowReport, Refusals};

use crate::counters::Key;
use crate::delivery::Delivery;
use crate::forward::Look;
use crate::judge::{self, Observation, Way, Ways};
use crate::probes::Conntrack;
use crate::recorder;
use crate::scenario::{FlowPlan, Lane, Path, Proto, Refusal};

/// The flows of one attempt, those that were ended too.
#[derive(Default)]
pub(crate) struct Flows(Vec<OpenFlow>);

/// A flow, and what was last seen of it.
pub(crate) struct OpenFlow {
    plan: FlowPlan,
    /// Of which run of a proof, else empty.
    run: String,
    /// None once it was ended, and while it is sent over.
    handle: Option<FlowHandle>,
    keys: Keys,
    sent: Sent,
    /// Since it was opened, as of the last look.
    seen: Seen,
    /// The same, as of the last judgement.
    judged: Totals,
    /// What the last judgement was of.
    last: Option<Observation>,
}

/// How the router knows a flow.
struct Keys {
    /// As its packets are in the forward hook, there and back.
    there: Key,
    back: Key,
    /// As it was sent: how conntrack knows it, and how it comes in. Answers come in as they are forwarded.
    original: Key,
}

/// What is known of the sending.
#[derive(Default)]
struct Sent {
    /// Least and largest hop limit so far.
    hop_limit: Option<(u8, u8)>,
    /// How long the last exchange took.
    took: Duration,
    /// Why it ended early.
    trouble: Option<String>,
}

/// What a look showed.
#[derive(Default)]
struct Seen {
    totals: Totals,
    report: Option<FlowReport>,
    conntrack: Option<Conntrack>,
}

/// What only grows.
#[derive(Default, Clone, Copy)]
struct Totals {
    ways: Ways,
    delivered: Delivery,
    /// ICMP errors to the near end.
    refusals: Refusals,
}

impl Flows {
    /// A name for a flow that has none.
    pub(crate) fn free_name(&self, proto: Proto) -> String {
        let number = self.0.iter().filter(|flow| flow.plan.proto == proto).count() + 1;
        format!("{} {number}", proto.word())
    }

    /// Takes over an open flow that was sent to `port`, and arrives at `far`.
    pub(crate) fn add(&mut self, plan: &FlowPlan, run: &str, handle: FlowHandle, far: u16, port: u16) {
        let (proto, near) = (plan.proto, handle.near().port());
        let keys = Keys { there: (proto, near, far), back: (proto, far, near), original: (proto, near, port) };
        self.0.push(OpenFlow {
            plan: plan.clone(),
            run: run.to_owned(),
            handle: Some(handle),
            keys,
            sent: Sent::default(),
            seen: Seen::default(),
            judged: Totals::default(),
            last: None,
        });
    }

    pub(crate) fn get(&mut self, name: &str) -> Result<&mut OpenFlow> {
        self.0.iter_mut().rev().find(|flow| flow.plan.flow == name).ok_or_else(|| unknown(name))
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Since when a flow is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Since its last judgement, with the ICMP error that was expected.
    Exchange(Option<Refusal>),
    /// Since it was opened.
    Ever,
}

impl OpenFlow {
    /// The address of the near end, while the flow is open.
    pub(crate) fn near(&self) -> Option<IpAddr> {
        self.handle.as_ref().map(|handle| handle.near().ip())
    }

    /// The port that it was sent to, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        (self.plan.proto != Proto::Icmp).then_some(self.keys.original.2)
    }

    pub(crate) fn plan(&self) -> &FlowPlan {
        &self.plan
    }

    /// Whether the card had rules for it at the last look, in the directions that a path has in hardware.
    pub(crate) fn is_bound(&self, path: Path) -> bool {
        let Ways { there, back } = &self.seen.totals.ways;
        let is_bound = |way: &Way| way.card.is_some_and(|card| card.is_bound());
        path.lanes().is_none_or(|lanes| {
            lanes.iter().zip([there, back]).all(|(lane, way)| *lane != Lane::Hardware || is_bound(way))
        })
    }

    /// How long the last exchange took.
    pub(crate) fn took(&self) -> Duration {
        self.sent.took
    }

    /// Gives the near end away, to be sent over or ended; `None` when that was done.
    pub(crate) fn take_handle(&mut self) -> Option<FlowHandle> {
        self.handle.take()
    }

    /// Packets with this hop limit will arrive.
    pub(crate) fn sends_with(&mut self, hop_limit: u8) {
        let (least, largest) = self.sent.hop_limit.unwrap_or((hop_limit, hop_limit));
        self.sent.hop_limit = Some((least.min(hop_limit), largest.max(hop_limit)));
    }

    /// Takes the near end back after an exchange; `trouble`: why it ended early.
    pub(crate) fn sent(&mut self, handle: FlowHandle, took: Duration, trouble: Option<String>) {
        self.handle = Some(handle);
        self.sent.took = took;
        if trouble.is_some() {
            self.sent.trouble = trouble;
        }
    }

    /// What is judged now; what comes later is judged from here on.
    pub(crate) fn judge(&mut self, span: Span) -> Observation {
        let seen = self.observation(span);
        self.judged = self.seen.totals;
        self.sent.trouble = None;
        self.last = Some(seen.clone());
        seen
    }

    /// The path that the last judgement saw.
    pub(crate) fn path(&self, slow_packets: u64) -> &'static str {
        self.last.as_ref().map_or(Path::None.word(), |seen| seen.path(slow_packets))
    }

    /// Takes over what the router and the two ends say now.
    pub(crate) fn see(&mut self, look: &Look) -> Result<()> {
        if let Some(handle) = &self.handle {
            let report = handle.report()?;
            self.take_report(report);
        }
        let Ways { there, back } = &mut self.seen.totals.ways;
        there.forwarded = look.forwarded(self.keys.there);
        back.forwarded = look.forwarded(self.keys.back);
        if let Some(below) = &look.below {
            for (way, key) in [(there, self.keys.original), (back, self.keys.back)] {
                way.card.get_or_insert_default().see(below.ingress(key), below.rule(key));
            }
        }
        self.seen.conntrack = look.conntrack(self.keys.original);
        Ok(())
    }

    pub(crate) fn take_report(&mut self, report: FlowReport) {
        let way = |direction: &Direction, Way { forwarded, card, .. }: Way| Way {
            payload: direction.sent.bytes,
            arrived: Count { packets: direction.wire.packets, bytes: direction.wire.bytes },
            forwarded,
            card,
            hop_limit: direction.wire.hop_limit,
            source: direction.source.map(|source| source.ip()),
        };
        let Totals { ways: Ways { there, back }, delivered, refusals } = &mut self.seen.totals;
        *back = way(&report.back, *back);
        *there = if self.plan.echo || self.plan.proto == Proto::Icmp {
            // Whoever sends everything back got all of it; what arrived there is not ours to see.
            Way { forwarded: there.forwarded, card: there.card, source: None, ..*back }
        } else {
            way(&report.there, *there)
        };
        *refusals = report.there.refusals;
        *delivered = Delivery::of(&report);
        self.seen.report = Some(report);
    }

    pub(crate) fn observation(&self, span: Span) -> Observation {
        let (now, judged) = (&self.seen.totals, &self.judged);
        let before = match span {
            Span::Exchange(_) => judged.ways,
            Span::Ever => Ways::default(),
        };
        let (there, back) = (now.ways.there.since(&before.there), now.ways.back.since(&before.back));
        let lost = now.delivered.damage(&judged.delivered);
        // The digests cover all that was ever sent, so they can only be compared while nothing was lost on purpose.
        let checked = || self.seen.report.as_ref().and_then(|report| report.check().err());
        let intact = judged.delivered.is_whole();
        let trouble = self.sent.trouble.clone();
        let damage =
            trouble.or(lost).or_else(|| intact.then(checked).flatten().map(|failure| failure.finding().why.clone()));
        let refused = match span {
            Span::Exchange(Some(kind)) => count(&now.refusals, kind) - count(&judged.refusals, kind),
            _ => 0,
        };
        let fragmented = self.seen.report.as_ref().is_some_and(|report| report.there.wire.fragmented > 0);
        let usual = (judge::HOP_LIMIT, judge::HOP_LIMIT);
        Observation {
            proto: self.plan.proto,
            exchange: Ways { there, back },
            ever: now.ways,
            fragmented,
            sent_hop_limit: self.sent.hop_limit.unwrap_or(usual),
            hops: self.plan.hops,
            refused,
            damage,
            conntrack: self.seen.conntrack.clone(),
        }
    }

    pub(crate) fn sample(&self, millis: u64, after: &str) -> Sample {
        let Ways { there, back } = &self.seen.totals.ways;
        let counted =
            self.seen.conntrack.as_ref().and_then(|entry| Some(recorder::both(entry.packets()?, entry.bytes()?)));
        Sample {
            run: self.run.clone(),
            flow: self.plan.flow.clone(),
            millis,
            after: after.into(),
            arrived: there.arrived + back.arrived,
            forwarded: there.forwarded + back.forwarded,
            conntrack: counted,
            marked: self.seen.conntrack.as_ref().map(Conntrack::is_marked_offloaded),
        }
    }
}

fn count(refusals: &Refusals, kind: Refusal) -> u64 {
    match kind {
        Refusal::Expired => refusals.expired,
        Refusal::TooBig => refusals.too_big,
        Refusal::Unreachable => refusals.unreachable,
    }
}

/// A flow that no step opened: the loader refuses such files.
pub(crate) fn unknown(name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "SCEN006",
        what: format!("the flow `{name}` is not open"),
        why: "the file was checked before it ran, and the check missed this",
        fix: "report this together with the scenario",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_nobody_opened_is_our_defect() {
        let failure = unknown("a");
        assert_eq!((failure.id(), failure.exit()), ("SCEN006", Exit::Bug));
    }
}
