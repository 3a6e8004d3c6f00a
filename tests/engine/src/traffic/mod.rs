//! Flows of a scenario: opened by name, sent over, looked at while they are open, judged, ended.

mod conntrack;
mod delivery;
mod ftp;
mod send;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Check, CheckKind, Count, Deadline, Finding, Result, Sample};
use vm::lab::{Direction, Flow, FlowHandle, FlowReport, Plan, Refusals};

use crate::attempt::{self, Attempt};
use crate::forward::{Key, Look};
use crate::judge::{self, Observation, Wanted, Way, Ways};
use crate::scenario::{Ending, Exchange, Family, FlowPlan, Proto, Refusal, Side, Target};
use crate::steps;
use delivery::Delivery;

pub(crate) use conntrack::conntrack;
pub(crate) use ftp::ftp;
pub(crate) use send::{Amount, send};

/// How long it may take to open or to end a flow: seconds under emulation.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// A datagram is lost when nothing arrived for so long; a guest on a busy host may be silent for seconds.
const LOSS_AFTER: Duration = Duration::from_secs(20);
/// The first port that far hosts listen on.
const FIRST_PORT: u16 = 7007;

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
    /// As its packets are in the forward hook, there and back.
    forwarded: (Key, Key),
    /// As it was sent: how conntrack knows it.
    original: Key,
    report: Option<FlowReport>,
    /// Since it was opened, as of the last look, and as of the last judgement.
    ever: Ways,
    judged: Ways,
    delivered: Delivery,
    delivered_before: Delivery,
    conntrack: Option<crate::probes::Conntrack>,
    /// Least and largest hop limit that was sent so far.
    hop_limit: Option<(u8, u8)>,
    /// ICMP errors to the near end, as of the last look, and as of the last judgement.
    refusals: Refusals,
    refusals_before: Refusals,
    /// Why the last exchange ended early.
    trouble: Option<String>,
    took: Duration,
}

impl Flows {
    /// A name for a flow that has none.
    pub(crate) fn free_name(&self, proto: Proto) -> String {
        let number = self.0.iter().filter(|flow| flow.plan.proto == proto).count() + 1;
        format!("{} {number}", proto.word())
    }

    /// Takes over an open flow that was sent to `port`, and arrives at `far`.
    fn add(&mut self, plan: &FlowPlan, run: &str, handle: FlowHandle, far: u16, port: u16) {
        let near = handle.near().port();
        self.0.push(OpenFlow {
            plan: plan.clone(),
            run: run.to_owned(),
            handle: Some(handle),
            forwarded: ((plan.proto, near, far), (plan.proto, far, near)),
            original: (plan.proto, near, port),
            report: None,
            ever: Ways::default(),
            judged: Ways::default(),
            delivered: Delivery::default(),
            delivered_before: Delivery::default(),
            conntrack: None,
            hop_limit: None,
            refusals: Refusals::default(),
            refusals_before: Refusals::default(),
            trouble: None,
            took: Duration::ZERO,
        });
    }

    fn get(&mut self, name: &str) -> Result<&mut OpenFlow> {
        self.0.iter_mut().rev().find(|flow| flow.plan.flow == name).ok_or_else(|| steps::unknown_flow(name))
    }
}

/// Opens a flow; `run` is the run of a proof that it belongs to, or empty.
pub(crate) fn open(attempt: &mut Attempt<'_>, plan: &FlowPlan, run: &str) -> Result<()> {
    if attempt.flows.0.is_empty() {
        Look::set_up(&mut attempt.session)?;
    }
    let count = u16::try_from(attempt.flows.0.len()).unwrap_or(u16::MAX);
    let port = plan.port.unwrap_or(FIRST_PORT.saturating_add(count));
    let to = SocketAddr::new(destination(attempt.plan, plan), port);
    let from = match plan.from {
        Side::Lan => vm::lab::Side::Lan,
        Side::Wan => vm::lab::Side::Wan,
    };
    let seed = u64::from(count) + 1;
    let (listen, echo, sizes) = (plan.listen, plan.echo, vec![plan.size()]);
    let loss_after = LOSS_AFTER;
    let flow = match plan.proto {
        Proto::Udp => Flow { sizes, seed, listen, echo, loss_after, ..Flow::udp(from, to) },
        // The buffer is what is under way at once: small ones make small segments.
        Proto::Tcp => Flow { window: plan.size().max(4096), seed, listen, echo, ..Flow::tcp(from, to) },
        Proto::Icmp => Flow { sizes, seed, loss_after, ..Flow::ping(from, to.ip()) },
    };
    let far = if plan.proto == Proto::Icmp { 0 } else { flow.far_port() };
    let handle = attempt.lab.open(flow, Deadline::after(HANDSHAKE))?;
    attempt.flows.add(plan, run, handle, far, if plan.proto == Proto::Icmp { 0 } else { port });
    Ok(())
}

/// Whom a flow is sent to.
fn destination(lab: &Plan, plan: &FlowPlan) -> IpAddr {
    let routed = Plan::routed();
    let (far, router) = match plan.from {
        Side::Lan => (&lab.wan, &routed.lan),
        Side::Wan => (&lab.lan, &routed.wan),
    };
    match (plan.to, plan.family) {
        (Target::Host, Family::Ipv4) => far.ipv4.0.into(),
        (Target::Host, Family::Ipv6) => far.ipv6.0.into(),
        (Target::Router, Family::Ipv4) => router.gateway4.map_or(far.ipv4.0.into(), IpAddr::V4),
        (Target::Router, Family::Ipv6) => router.gateway6.map_or(far.ipv6.0.into(), IpAddr::V6),
    }
}

/// An exchange step: sends, looks, judges every flow.
pub(crate) fn exchange(attempt: &mut Attempt<'_>, exchange: &Exchange, at: &str) -> Result<Option<Finding>> {
    let names = &exchange.flows;
    let amount = |plan: &FlowPlan| Amount::of(plan, exchange.packets, exchange.bytes);
    let found = send(attempt, names, amount, Some((exchange, at)))?;
    if found.is_some() {
        return Ok(found);
    }
    look(attempt, names, "exchange")?;
    for name in names {
        let refused = exchange.refused.and(exchange.packets);
        let wanted = Wanted {
            path: exchange.path,
            slow_packets: exchange.slow_packets,
            lossy: exchange.lossy,
            refused,
            ..Wanted::default()
        };
        if let Some(finding) = judged(attempt, name, wanted, at, Span::Exchange(exchange.refused))? {
            return Ok(Some(finding));
        }
        let took = attempt.flows.get(name)?.took;
        if let Some(least) = exchange.takes_at_least
            && let Some(finding) = took_at_least(name, took, least.0)
        {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

fn took_at_least(name: &str, took: Duration, least: Duration) -> Option<Finding> {
    if took >= least {
        return None;
    }
    let mut finding = steps::broken(
        "PROOF015",
        format!("the exchange took {took:.2?}, and {least:?} at least were expected"),
        "something had to slow these packets down, and they were not".into(),
    )?;
    finding.place = Some(format!("flow {name}"));
    Some(finding)
}

/// Looks at the router and at both ends of flows, and notes their counters.
pub(crate) fn look(attempt: &mut Attempt<'_>, names: &[String], after: &str) -> Result<()> {
    let look = Look::take(&mut attempt.session)?;
    let millis = attempt.millis();
    for name in names {
        let flow = attempt.flows.get(name)?;
        flow.see(&look)?;
        let sample = flow.sample(millis, after);
        attempt.sample(sample);
    }
    Ok(())
}

/// Since when a flow is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Since its last judgement, with the ICMP error that was expected.
    Exchange(Option<Refusal>),
    /// Since it was opened.
    Ever,
}

/// Judges what was last seen of a flow, and notes the answer.
pub(crate) fn judged(
    attempt: &mut Attempt<'_>,
    name: &str,
    wanted: Wanted,
    at: &str,
    span: Span,
) -> Result<Option<Finding>> {
    let flow = attempt.flows.get(name)?;
    let wanted = Wanted { seen_from: wanted.seen_from.or(flow.plan.seen_from), ..wanted };
    let seen = flow.observation(span);
    flow.judged = flow.ever;
    flow.delivered_before = flow.delivered;
    flow.refusals_before = flow.refusals;
    flow.trouble = None;
    let mut found = judge::judge(&seen, wanted);
    if let Some(finding) = &mut found {
        finding.place = Some(format!("flow {name}"));
    }
    let (figures, path) = (seen.figures(), seen.path(wanted.slow_packets));
    attempt.notes.push(format!("{at}: {figures}"));
    attempt.check(Check {
        at: at.into(),
        kind: CheckKind::Path,
        subject: name.into(),
        expected: wanted.path.map_or(path, |path| path.word()).into(),
        observed: match &found {
            // The path may be right and something else wrong.
            Some(finding) if wanted.path.is_none_or(|wanted| wanted.word() == path) => finding.id.into(),
            _ => path.into(),
        },
        detail: figures,
        holds: found.is_none(),
    });
    Ok(found)
}

/// Ends a flow.
pub(crate) fn end(attempt: &mut Attempt<'_>, name: &str, how: Ending) -> Result<()> {
    let flow = attempt.flows.get(name)?;
    if let Some(handle) = flow.handle.take() {
        let deadline = Deadline::after(HANDSHAKE);
        let report = match how {
            Ending::Close => handle.close(deadline),
            Ending::Abort => handle.abort(deadline),
        }?;
        flow.take_report(report);
    }
    Ok(())
}

impl OpenFlow {
    /// Takes over what the router and the two ends say now.
    fn see(&mut self, look: &Look) -> Result<()> {
        if let Some(handle) = &self.handle {
            let report = handle.report()?;
            self.take_report(report);
        }
        self.ever.there.forwarded = look.forwarded(self.forwarded.0);
        self.ever.back.forwarded = look.forwarded(self.forwarded.1);
        self.conntrack = look.conntrack(self.original);
        Ok(())
    }

    fn take_report(&mut self, report: FlowReport) {
        let way = |direction: &Direction, forwarded: Count| Way {
            payload: direction.sent.bytes,
            arrived: Count { packets: direction.wire.packets, bytes: direction.wire.bytes },
            forwarded,
            hop_limit: direction.wire.hop_limit,
            source: direction.source.map(|source| source.ip()),
        };
        self.ever.there = way(&report.there, self.ever.there.forwarded);
        self.ever.back = way(&report.back, self.ever.back.forwarded);
        if self.plan.echo || self.plan.proto == Proto::Icmp {
            // Whoever sends everything back got all of it; what arrived there is not ours to see.
            let forwarded = self.ever.there.forwarded;
            self.ever.there = Way { forwarded, source: None, ..self.ever.back };
        }
        self.refusals = report.there.refusals;
        self.delivered = Delivery::of(&report);
        self.report = Some(report);
    }

    fn observation(&self, span: Span) -> Observation {
        let before = match span {
            Span::Exchange(_) => self.judged,
            Span::Ever => Ways::default(),
        };
        let exchange = Ways { there: self.ever.there.since(&before.there), back: self.ever.back.since(&before.back) };
        let lost = self.delivered.damage(&self.delivered_before);
        // The digests cover all that was ever sent, so they can only be compared while nothing was lost on purpose.
        let checked = || self.report.as_ref().and_then(|report| report.check().err());
        let intact = self.delivered_before.is_whole();
        let damage = self
            .trouble
            .clone()
            .or(lost)
            .or_else(|| intact.then(checked).flatten().map(|failure| failure.finding().why.clone()));
        let refused = match span {
            Span::Exchange(Some(kind)) => count(&self.refusals, kind) - count(&self.refusals_before, kind),
            _ => 0,
        };
        let fragmented = self.report.as_ref().is_some_and(|report| report.there.wire.fragmented > 0);
        let usual = (judge::HOP_LIMIT, judge::HOP_LIMIT);
        Observation {
            proto: self.plan.proto,
            exchange,
            ever: self.ever,
            fragmented,
            sent_hop_limit: self.hop_limit.unwrap_or(usual),
            refused,
            damage,
            conntrack: self.conntrack.clone(),
        }
    }

    fn sample(&self, millis: u64, after: &str) -> Sample {
        let Ways { there, back } = &self.ever;
        let counted = self.conntrack.as_ref().and_then(|entry| Some(attempt::both(entry.packets()?, entry.bytes()?)));
        Sample {
            run: self.run.clone(),
            flow: self.plan.flow.clone(),
            millis,
            after: after.into(),
            arrived: there.arrived + back.arrived,
            forwarded: there.forwarded + back.forwarded,
            conntrack: counted,
            marked: self.conntrack.as_ref().map(crate::probes::Conntrack::is_marked_offloaded),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_goes_to_the_other_host_or_to_the_router_on_its_own_side() {
        let plan = |from, to, family| FlowPlan {
            flow: "a".into(),
            proto: Proto::Udp,
            family,
            from,
            to,
            port: None,
            listen: None,
            size: Some(100),
            seen_from: None,
            echo: false,
            bytes: None,
        };
        let lab = Plan::masquerade();
        for (from, to, family, address) in [
            (Side::Lan, Target::Host, Family::Ipv4, "203.0.113.2"),
            (Side::Wan, Target::Host, Family::Ipv4, "192.168.1.2"),
            (Side::Wan, Target::Router, Family::Ipv4, "203.0.113.1"),
            (Side::Lan, Target::Router, Family::Ipv6, "2001:db8:1::1"),
        ] {
            assert_eq!(destination(&lab, &plan(from, to, family)).to_string(), address);
        }
    }

    #[test]
    fn what_had_to_be_slowed_down_must_take_its_time() {
        let second = Duration::from_secs(1);
        assert_eq!(took_at_least("a", second, second), None);
        assert_eq!(took_at_least("a", second / 2, second).unwrap().id, "PROOF015");
    }
}
