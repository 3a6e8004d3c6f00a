//! Flows of a scenario: opened by name, sent over, looked at while they are open, judged, ended.

mod conntrack;
mod ftp;
mod opinion;
mod send;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Check, CheckKind, Deadline, Finding, Result};
use vm::lab::{Flow, Plan};

use crate::ask;
use crate::attempt::Attempt;
use crate::flows::Span;
use crate::forward::Look;
use crate::judge::{self, Wanted};
use crate::scenario::{Ending, Exchange, Family, FlowPlan, Lane, Path, Proto, Side, Target};

pub(crate) use conntrack::conntrack;
pub(crate) use ftp::ftp;
pub(crate) use opinion::check as opinion;
pub(crate) use send::{Amount, During, send};

/// How long it may take to open or to end a flow: seconds under emulation.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// A datagram is lost when nothing arrived for so long; a guest on a busy host may be silent for seconds.
const LOSS_AFTER: Duration = Duration::from_secs(20);
/// How long the kernel may take to tell the card of a flow.
const BOUND_AFTER: Duration = Duration::from_secs(5);
/// The first port that far hosts listen on.
const FIRST_PORT: u16 = 7007;

/// Opens a flow; `run` is the run of a proof that it belongs to, or empty.
pub(crate) fn open(attempt: &mut Attempt<'_>, plan: &FlowPlan, run: &str) -> Result<()> {
    if attempt.net.flows.count() == 0 {
        Look::set_up(attempt.router.guest)?;
    }
    let count = u16::try_from(attempt.net.flows.count()).unwrap_or(u16::MAX);
    let port = plan.port.unwrap_or(FIRST_PORT.saturating_add(count));
    let to = SocketAddr::new(destination(attempt.net.plan, plan), port);
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
    let flow = if plan.to == Target::Hairpin { Flow { far: from, ..flow } } else { flow };
    let far = if plan.proto == Proto::Icmp { 0 } else { flow.far_port() };
    let handle = attempt.net.lab.open(flow, Deadline::after(HANDSHAKE))?;
    attempt.net.flows.add(plan, run, handle, far, if plan.proto == Proto::Icmp { 0 } else { port });
    Ok(())
}

/// Whom a flow is sent to.
fn destination(lab: &Plan, plan: &FlowPlan) -> IpAddr {
    let routed = Plan::routed();
    let (far, router, behind) = match plan.from {
        Side::Lan => (&lab.wan, &routed.lan, &routed.wan),
        Side::Wan => (&lab.lan, &routed.wan, &routed.lan),
    };
    match (plan.to, plan.family) {
        (Target::Host, Family::Ipv4) => far.ipv4.0.into(),
        (Target::Host, Family::Ipv6) => far.ipv6.0.into(),
        (Target::Router, Family::Ipv4) => router.gateway4.map_or(far.ipv4.0.into(), IpAddr::V4),
        (Target::Router, Family::Ipv6) => router.gateway6.map_or(far.ipv6.0.into(), IpAddr::V6),
        (Target::Hairpin, Family::Ipv4) => behind.gateway4.map_or(far.ipv4.0.into(), IpAddr::V4),
        (Target::Hairpin, Family::Ipv6) => behind.gateway6.map_or(far.ipv6.0.into(), IpAddr::V6),
    }
}

/// An exchange step: sends, looks, judges every flow. `during` does its steps meanwhile.
pub(crate) fn exchange(
    attempt: &mut Attempt<'_>,
    exchange: &Exchange,
    at: &str,
    during: &mut During<'_>,
) -> Result<Option<Finding>> {
    let names = &exchange.flows;
    if let Some(path) = exchange.path {
        bind(attempt, names, path)?;
    }
    let amount = |plan: &FlowPlan| Amount::of(plan, exchange.packets, exchange.bytes);
    let found = send(attempt, names, amount, Some((exchange, during)))?;
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
        // What may be lost tells nothing of the way.
        if attempt.asks_offloadctl && !exchange.lossy && exchange.path != Some(Path::None) {
            let path = attempt.net.flows.get(name)?.path(exchange.slow_packets);
            if let Some(finding) = opinion(attempt, name, path)? {
                return Ok(Some(finding));
            }
        }
        let took = attempt.net.flows.get(name)?.took();
        if let Some(least) = exchange.takes_at_least
            && let Some(finding) = took_at_least(name, took, least.0)
        {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

/// Sends the first packets of flows that the card has no rules for, and waits for these: the kernel tells it of a flow
/// some time after the first packets, and what comes until then is offloaded in software. Whether it has them then is
/// judged with the rest.
fn bind(attempt: &mut Attempt<'_>, names: &[String], path: Path) -> Result<()> {
    if !path.has(Lane::Hardware) {
        return Ok(());
    }
    // What the card had at the last look may be gone by now.
    look(attempt, names, "exchange")?;
    let mut unbound = Vec::new();
    for name in names {
        if !attempt.net.flows.get(name)?.is_bound(path) {
            unbound.push(name.clone());
        }
    }
    if unbound.is_empty() {
        return Ok(());
    }
    send(attempt, &unbound, |_| Amount::FIRST, None)?;
    let deadline = Deadline::after(BOUND_AFTER);
    while !deadline.passed() {
        attempt.cancel.check()?;
        look(attempt, &unbound, "exchange")?;
        let mut all = true;
        for name in &unbound {
            all &= attempt.net.flows.get(name)?.is_bound(path);
        }
        if all {
            break;
        }
    }
    Ok(())
}

fn took_at_least(name: &str, took: Duration, least: Duration) -> Option<Finding> {
    if took >= least {
        return None;
    }
    let mut finding = ask::broken(
        "PROOF015",
        format!("the exchange took {took:.2?}, and {least:?} at least were expected"),
        "something had to slow these packets down, and they were not".into(),
    )?;
    finding.place = Some(format!("flow {name}"));
    Some(finding)
}

/// Looks at the router and at both ends of flows, and notes their counters.
pub(crate) fn look(attempt: &mut Attempt<'_>, names: &[String], after: &str) -> Result<()> {
    let look = Look::take(attempt.router.guest, attempt.router.card)?;
    let millis = attempt.told.millis();
    for name in names {
        let flow = attempt.net.flows.get(name)?;
        flow.see(&look)?;
        let sample = flow.sample(millis, after);
        attempt.told.sample(sample);
    }
    Ok(())
}

/// Judges what was last seen of a flow, and notes the answer.
pub(crate) fn judged(
    attempt: &mut Attempt<'_>,
    name: &str,
    wanted: Wanted,
    at: &str,
    span: Span,
) -> Result<Option<Finding>> {
    let flow = attempt.net.flows.get(name)?;
    let wanted = Wanted { seen_from: wanted.seen_from.or(flow.plan().seen_from), ..wanted };
    let seen = flow.judge(span);
    let mut found = judge::judge(&seen, wanted);
    if let Some(finding) = &mut found {
        finding.place = Some(format!("flow {name}"));
    }
    let (figures, path) = (seen.figures(), seen.path(wanted.slow_packets));
    attempt.told.note(format!("{at}: {figures}"));
    attempt.told.check(Check {
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
    let flow = attempt.net.flows.get(name)?;
    if let Some(handle) = flow.take_handle() {
        let deadline = Deadline::after(HANDSHAKE);
        let report = match how {
            Ending::Close => handle.close(deadline),
            Ending::Abort => handle.abort(deadline),
        }?;
        flow.take_report(report);
    }
    Ok(())
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
            hops: 1,
            echo: false,
            bytes: None,
        };
        let lab = Plan::masquerade();
        for (from, to, family, address) in [
            (Side::Lan, Target::Host, Family::Ipv4, "203.0.113.2"),
            (Side::Wan, Target::Host, Family::Ipv4, "192.168.1.2"),
            (Side::Wan, Target::Router, Family::Ipv4, "203.0.113.1"),
            (Side::Lan, Target::Router, Family::Ipv6, "2001:db8:1::1"),
            (Side::Lan, Target::Hairpin, Family::Ipv4, "203.0.113.1"),
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
