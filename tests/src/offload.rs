//! Sends flows through the router, with and without the flowtable, and looks at it meanwhile.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Deadline, Exit, Failure, Finding, Result};
use vm::lab::{Direction, Flow, FlowReport, Lab, Plan, Side};
use vm::session::Session;

use crate::judge::{self, Arrived, Observation};
use crate::probes;
use crate::scenario::{Family, OffloadProof, Proto, Traffic};
use crate::steps;

/// How long one exchange may take: seconds under emulation, and only a lost packet comes near it.
const EXCHANGE: Duration = Duration::from_secs(60);
/// How long a command on the router may take.
const COMMAND: Duration = Duration::from_secs(60);
/// Where the rulesets are put on the router.
const RULESET: &str = "/tmp/lab.nft";
/// The WAN host's port for flows.
const FAR_PORT: u16 = 7007;

/// Runs the control run and then the run with offload. Notes tell what was seen; a finding, what did not hold.
pub fn prove(
    session: &mut Session,
    lab: &Lab,
    plan: &Plan,
    proof: &OffloadProof,
    notes: &mut Vec<String>,
) -> Result<Option<Finding>> {
    // Without accounting conntrack has no counters to compare.
    steps::read(session, &["sysctl", "-w", "net.netfilter.nf_conntrack_acct=1"])?;
    for offload in [false, true] {
        load_ruleset(session, proof, offload)?;
        for (number, traffic) in proof.traffic.iter().enumerate() {
            let seen = observe(session, lab, plan, traffic, number as u64)?;
            notes.push(seen.summary(offload));
            if let Some(finding) = judge::judge(&seen, offload, proof.seen_from) {
                return Ok(Some(finding));
            }
        }
    }
    Ok(None)
}

/// Replaces the whole ruleset in one transaction, so that no packet meets half of it.
fn load_ruleset(session: &mut Session, proof: &OffloadProof, offload: bool) -> Result<()> {
    let mut text = format!("flush ruleset\n{}", proof.ruleset);
    if offload {
        text.push_str(&proof.offload);
    }
    session.put(RULESET, text.as_bytes(), Deadline::after(COMMAND))?;
    steps::read(session, &["nft", "-f", RULESET])?;
    Ok(())
}

/// One flow: exchange, look at the router while the flow is open, end it.
fn observe(session: &mut Session, lab: &Lab, plan: &Plan, traffic: &Traffic, seed: u64) -> Result<Observation> {
    let far = match traffic.family {
        Family::Ipv4 => IpAddr::V4(plan.wan.ipv4.0),
        Family::Ipv6 => IpAddr::V6(plan.wan.ipv6.0),
    };
    let to = SocketAddr::new(far, FAR_PORT);
    let (flow, amount) = match traffic.proto {
        Proto::Udp => {
            let flow = Flow { sizes: vec![traffic.size], seed, ..Flow::udp(Side::Lan, to) };
            (flow, traffic.bytes.div_ceil(traffic.size as u64))
        }
        Proto::Tcp => (Flow { window: traffic.size, seed, ..Flow::tcp(Side::Lan, to) }, traffic.bytes),
    };
    steps::read(session, &["nft", "reset", "counter", "inet", "lab", "c_forward"])?;
    let mut handle = lab.open(flow, Deadline::after(EXCHANGE))?;
    handle.exchange(amount, Deadline::after(EXCHANGE))?;

    let counter = steps::read(session, &["nft", "list", "counter", "inet", "lab", "c_forward"])?;
    let forward = forward_counter(&counter)?;
    let table = steps::read(session, &["cat", "/proc/net/nf_conntrack"])?;
    let conntrack = probes::find_flow(&table, traffic.proto.word(), handle.near().port());
    let report = handle.report()?;
    let _ended = handle.close(Deadline::after(EXCHANGE))?;
    Ok(observation(traffic.proto, &report, forward, conntrack))
}

fn observation(
    proto: Proto,
    report: &FlowReport,
    forward: probes::Counter,
    conntrack: Option<probes::Conntrack>,
) -> Observation {
    let arrived = |way: &Direction| Arrived {
        packets: way.wire.packets,
        bytes: way.wire.bytes,
        hop_limit: way.wire.hop_limit,
        source: way.source.map(|source| source.ip()),
    };
    Observation {
        proto: proto.word(),
        payload: (report.there.sent.bytes, report.back.sent.bytes),
        damage: report.check().err().map(|failure| failure.finding().why.clone()),
        there: arrived(&report.there),
        back: arrived(&report.back),
        forward,
        conntrack,
    }
}

fn forward_counter(answer: &str) -> Result<probes::Counter> {
    probes::parse_counter(answer).ok_or_else(|| {
        Failure::new(
            Exit::Blocked,
            "SCEN004",
            "the counter in the forward hook could not be read",
            format!("the router answered: {}", answer.trim()),
            "check the ruleset of the scenario: it must declare `counter c_forward` in table `inet lab`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_cannot_be_read_is_blocked() {
        assert_eq!(forward_counter("packets 1 bytes 2").unwrap().bytes, 2);
        let failure = forward_counter("table inet lab { }").unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SCEN004", Exit::Blocked));
    }
}
