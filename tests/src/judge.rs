//! Whether observations prove offload: pure, so that every way to be wrong has a test.
//!
//! The conntrack mark alone proves nothing (it was seen on flows that took the slow path throughout),
//! so each rule bounds what the others can't, and the control run must show the opposite.

use std::net::IpAddr;

use model::{Finding, Severity};

use crate::probes::{Conntrack, Counter};

/// With offload, the forward hook may see this share of the bytes: the first packets of a flow.
const FORWARDED_AT_MOST: f64 = 0.01;

/// Without offload, the forward hook must see this share of the bytes at least.
const FORWARDED_AT_LEAST: f64 = 0.95;

/// Hop limit of packets that came through exactly one router: the hosts send with 64.
const ONE_HOP: u8 = 63;

/// One direction of a flow, as its receiving host saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// IP packets.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
    /// Smallest and largest hop limit.
    pub hop_limit: Option<(u8, u8)>,
    /// Where they came from.
    pub source: Option<IpAddr>,
}

/// What was seen while a flow was open, both ends idle after an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// `tcp` or `udp`.
    pub proto: &'static str,
    /// Payload bytes sent, there and back.
    pub payload: (u64, u64),
    /// First difference of the payload, if any.
    pub damage: Option<String>,
    /// What reached the far host, and what came back to the near one.
    pub there: Arrived,
    /// The other way.
    pub back: Arrived,
    /// The counter in the forward hook.
    pub forward: Counter,
    /// The flow's conntrack entry.
    pub conntrack: Option<Conntrack>,
}

impl Observation {
    /// One line for the report.
    pub fn summary(&self, offload: bool) -> String {
        let marked = self.conntrack.as_ref().is_some_and(Conntrack::is_marked_offloaded);
        format!(
            "{} {}: the forward hook saw {} of {} bytes, conntrack {}",
            self.proto,
            if offload { "with offload" } else { "control run, without" },
            self.forward.bytes,
            self.there.bytes + self.back.bytes,
            if marked { "marked OFFLOAD" } else { "not marked" },
        )
    }
}

/// What must hold with or without offload, and then what differs. `None`: all of it holds.
pub fn judge(seen: &Observation, offload: bool, seen_from: IpAddr) -> Option<Finding> {
    intact(seen)
        .or_else(|| forwarded(seen, seen_from))
        .or_else(|| if offload { fast_path(seen).or_else(|| counters_agree(seen)) } else { slow_path(seen) })
}

fn finding(id: &'static str, seen: &Observation, what: String, why: &str, fix: &str) -> Option<Finding> {
    let (why, fix) = (why.to_owned(), fix.to_owned());
    Some(Finding { id, severity: Severity::Error, place: Some(seen.proto.into()), what, why, fix })
}

/// Proof 1: the payload is intact at both ends.
fn intact(seen: &Observation) -> Option<Finding> {
    let damage = seen.damage.as_ref()?;
    finding(
        "PROOF001",
        seen,
        format!("the payload did not arrive intact: {damage}"),
        "an offloaded flow must carry the same bytes as a forwarded one",
        "run with --pcap DIR and compare the two captures; a wrong checksum or a lost fragment shows there",
    )
}

/// The packets went through the router once, and under masquerade carry its address.
fn forwarded(seen: &Observation, seen_from: IpAddr) -> Option<Finding> {
    let hops = |arrived: &Arrived| arrived.hop_limit == Some((ONE_HOP, ONE_HOP));
    if !hops(&seen.there) || !hops(&seen.back) {
        return finding(
            "PROOF002",
            seen,
            format!("hop limits there {:?}, back {:?}; expected {ONE_HOP}", seen.there.hop_limit, seen.back.hop_limit),
            "each packet passes one router, which must take one from the hop limit, offloaded or not",
            "run with --pcap DIR and look at the TTL of the packets on both sides",
        );
    }
    if seen.there.source != Some(seen_from) {
        return finding(
            "PROOF003",
            seen,
            format!("packets came from {:?} instead of {seen_from}", seen.there.source),
            "source translation must hold on the fast path too",
            "check the postrouting chain of the ruleset, and run with --pcap DIR",
        );
    }
    None
}

/// Proofs 2 and 3: the forward hook saw the first packets only, and conntrack carries the mark.
fn fast_path(seen: &Observation) -> Option<Finding> {
    let most = share(seen.payload.0 + seen.payload.1, FORWARDED_AT_MOST);
    if seen.forward.bytes > most {
        return finding(
            "PROOF004",
            seen,
            format!(
                "the forward hook saw {} packets with {} bytes; at most {most} of {} bytes of payload may pass it",
                seen.forward.packets,
                seen.forward.bytes,
                seen.payload.0 + seen.payload.1
            ),
            "packets of an offloaded flow bypass the forward hook: this flow took the slow path",
            "check that `flow add` is reached (no earlier accept of established flows), that the flowtable names both devices, and that no helper, fragment or IP option is involved",
        );
    }
    if seen.forward.packets == 0 {
        return finding(
            "PROOF005",
            seen,
            "the forward hook saw no packet at all".into(),
            "the first packets of every flow take the slow path, so the counter is not where it should be",
            "check that the counting rule is in a chain of `type filter hook forward`",
        );
    }
    if !seen.conntrack.as_ref().is_some_and(Conntrack::is_marked_offloaded) {
        return finding(
            "PROOF006",
            seen,
            format!("the conntrack entry carries no offload mark: {:?}", seen.conntrack),
            "the mark is necessary for offload, though never sufficient",
            "check that nft_flow_offload is loaded, and the kernel log of the run",
        );
    }
    None
}

/// Proof 4: conntrack, fed by the flowtable's `counter`, agrees with what was sent and what arrived.
///
/// The kernel may merge TCP segments before it counts them (GRO), so that packets differ and headers are
/// counted once: bytes lie between payload and wire. Datagrams are never merged, and agree to the byte.
fn counters_agree(seen: &Observation) -> Option<Finding> {
    let counted = seen.conntrack.as_ref().and_then(Conntrack::bytes);
    let merged = seen.proto == "tcp";
    let agree = |counted: u64, payload: u64, arrived: &Arrived| {
        let least = if merged { payload } else { arrived.bytes };
        (least..=arrived.bytes).contains(&counted)
    };
    let (there, back) = (&seen.there, &seen.back);
    if counted.is_some_and(|(a, b)| agree(a, seen.payload.0, there) && agree(b, seen.payload.1, back)) {
        return None;
    }
    finding(
        "PROOF007",
        seen,
        format!(
            "conntrack counted {counted:?} bytes; {:?} arrived, {:?} of them payload",
            (there.bytes, back.bytes),
            seen.payload
        ),
        "with `counter` on the flowtable and nf_conntrack_acct=1 both must agree; counters that stand still belong to no flow that was measured",
        "check `counter` on the flowtable and net.netfilter.nf_conntrack_acct",
    )
}

/// The control run: the same flow without offload shows the opposite.
fn slow_path(seen: &Observation) -> Option<Finding> {
    let least = share(seen.payload.0 + seen.payload.1, FORWARDED_AT_LEAST);
    if seen.forward.bytes < least {
        return finding(
            "PROOF008",
            seen,
            format!(
                "without offload the forward hook saw {} bytes; at least {least} were expected",
                seen.forward.bytes
            ),
            "a test that passes with the feature off proves nothing",
            "check that the control ruleset has no flowtable and that the counting rule sees every packet",
        );
    }
    if seen.conntrack.as_ref().is_none_or(Conntrack::is_marked_offloaded) {
        return finding(
            "PROOF009",
            seen,
            format!("without offload the conntrack entry is {:?}", seen.conntrack),
            "the control run needs an entry without an offload mark, else the mark means nothing here",
            "check that the control ruleset has no flowtable and that connections are tracked",
        );
    }
    None
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bound, not a count"
)]
fn share(payload: u64, part: f64) -> u64 {
    (payload as f64 * part) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "203.0.113.1";

    fn arrived(source: &str) -> Arrived {
        Arrived { packets: 2000, bytes: 2_056_000, hop_limit: Some((63, 63)), source: Some(source.parse().unwrap()) }
    }

    fn entry(mark: &str, bytes: u64) -> Conntrack {
        let half = |from, to| format!("src={from} dst={to} sport=1 dport=2 packets=2000 bytes={bytes}");
        let line = format!("ipv4 2 udp 17 {} {} {mark} use=1", half("a", "b"), half("b", "r"));
        Conntrack::parse(&line).unwrap()
    }

    fn offloaded() -> Observation {
        Observation {
            proto: "udp",
            payload: (2_000_000, 2_000_000),
            damage: None,
            there: arrived(ROUTER),
            back: arrived("203.0.113.2"),
            forward: Counter { packets: 2, bytes: 2056 },
            conntrack: Some(entry("[OFFLOAD]", 2_056_000)),
        }
    }

    fn control() -> Observation {
        Observation {
            forward: Counter { packets: 4000, bytes: 4_112_000 },
            conntrack: Some(entry("[ASSURED]", 2_056_000)),
            ..offloaded()
        }
    }

    fn id(seen: &Observation, offload: bool) -> Option<&'static str> {
        judge(seen, offload, ROUTER.parse().unwrap()).map(|finding| finding.id)
    }

    #[test]
    fn each_run_passes_as_itself_and_fails_as_the_other() {
        assert_eq!(id(&offloaded(), true), None);
        assert_eq!(id(&control(), false), None);
        assert_eq!(id(&offloaded(), false), Some("PROOF008"));
        assert_eq!(id(&control(), true), Some("PROOF004"));
    }

    #[test]
    fn merged_segments_are_counted_between_payload_and_wire() {
        let tcp = |bytes| Observation { proto: "tcp", conntrack: Some(entry("[OFFLOAD]", bytes)), ..offloaded() };
        assert_eq!(id(&tcp(2_000_000), true), None);
        assert_eq!(id(&tcp(2_056_000), true), None);
        assert_eq!(id(&tcp(1_999_999), true), Some("PROOF007"));
        assert_eq!(id(&tcp(2_056_001), true), Some("PROOF007"));
    }

    #[test]
    fn every_proof_can_fail_alone() {
        let wrong = |change: fn(&mut Observation), offload: bool| {
            let mut seen = if offload { offloaded() } else { control() };
            change(&mut seen);
            id(&seen, offload)
        };
        assert_eq!(wrong(|seen| seen.damage = Some("byte 7".into()), true), Some("PROOF001"));
        assert_eq!(wrong(|seen| seen.back.hop_limit = Some((63, 64)), true), Some("PROOF002"));
        assert_eq!(wrong(|seen| seen.there.source = "192.168.1.2".parse().ok(), false), Some("PROOF003"));
        assert_eq!(wrong(|seen| seen.forward.bytes = 40_001, true), Some("PROOF004"));
        assert_eq!(wrong(|seen| seen.forward = Counter { packets: 0, bytes: 0 }, true), Some("PROOF005"));
        // Marked or not: slow flows were seen with the mark, so the counter is asked first.
        assert_eq!(wrong(|seen| seen.conntrack = None, true), Some("PROOF006"));
        assert_eq!(wrong(|seen| seen.conntrack = Some(entry("[ASSURED]", 2_056_000)), true), Some("PROOF006"));
        assert_eq!(wrong(|seen| seen.conntrack = Some(entry("[OFFLOAD]", 2_055_999)), true), Some("PROOF007"));
        assert_eq!(wrong(|seen| seen.conntrack = Some(entry("[OFFLOAD]", 2_056_001)), true), Some("PROOF007"));
        assert_eq!(wrong(|seen| seen.forward.bytes = 3_700_000, false), Some("PROOF008"));
        assert_eq!(wrong(|seen| seen.conntrack = Some(entry("[OFFLOAD]", 2_056_000)), false), Some("PROOF009"));
        assert_eq!(wrong(|seen| seen.conntrack = None, false), Some("PROOF009"));
    }
}
