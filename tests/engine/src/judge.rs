//! Which path traffic took, and whether it was the right one: pure, so that every way to be wrong has a test.
//!
//! The conntrack mark alone proves nothing (it was seen on flows that took the slow path throughout), so each
//! direction is bounded from both sides by what the forward hook saw of it, and a control run must show the
//! opposite.

mod card;

use std::net::IpAddr;

use model::{Count, Finding, Severity};

pub use card::AtCard;

use crate::probes::Conntrack;
use crate::scenario::{Counts, Lane, Path, Proto};

/// The first packets of a flow, in each direction, that take the slow path whatever follows: a new flow is put
/// into the table by its second or third packet.
const FIRST_PACKETS: u64 = 3;
/// The first packets of a flow, in each direction, that a card has no rule for: of TCP those that open the connection, the
/// first data and what acknowledges it. The kernel tells the card of a flow some time after it is in the table.
const BEFORE_RULES: u64 = 6;
/// The longest of them in bytes.
const LONGEST_PACKET: u64 = 1500;
/// TCP segments may be merged before they are counted, so that three packets are more bytes than that: one in
/// this many may take the slow path too.
const ONE_IN: u64 = 100;

/// What the hosts send with, unless told otherwise.
pub const HOP_LIMIT: u8 = 64;

/// One direction of a flow, as its receiving host and the router saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// Payload bytes that were sent.
    pub payload: u64,
    /// What arrived at the receiving host.
    pub arrived: Count,
    /// What the forward hook saw.
    pub forwarded: Count,
    /// Smallest and largest hop limit.
    pub hop_limit: Option<(u8, u8)>,
    /// What was seen below it, on a router with a card that offloads.
    pub card: Option<AtCard>,
    /// Where the packets came from.
    pub source: Option<IpAddr>,
}

impl Way {
    /// What was added since `before`.
    #[must_use]
    pub fn since(self, before: &Way) -> Way {
        Way {
            payload: self.payload.saturating_sub(before.payload),
            arrived: self.arrived.since(before.arrived),
            forwarded: self.forwarded.since(before.forwarded),
            card: self.card.map(|card| card.since(before.card.unwrap_or_default())),
            ..self
        }
    }

    /// Whether at most the first packets, and `more` than these, were seen by the forward hook.
    fn is_fast(&self, more: u64) -> bool {
        let packets = FIRST_PACKETS + more;
        let bytes = (packets * LONGEST_PACKET).max(self.arrived.bytes / ONE_IN);
        self.arrived.packets > 0 && self.forwarded.packets <= packets && self.forwarded.bytes <= bytes
    }

    /// Whether the card sent on all but these, and no others came up to the router's processor.
    fn is_in_hardware(&self, more: u64) -> bool {
        let most = BEFORE_RULES + more;
        self.card.is_some_and(|card| {
            let (taken, came_up) = card.packets();
            came_up <= most && taken + most >= self.arrived.packets
        })
    }

    /// Whether the router's processor saw every packet, as far as that is known.
    fn is_in_software(&self) -> bool {
        self.card.is_none_or(|card| card.packets().0 <= FIRST_PACKETS)
    }

    /// Whether packets went this way.
    fn is(&self, lane: Lane, proto: Proto, fragmented: bool, more: u64) -> bool {
        match lane {
            Lane::Slow => self.is_slow(proto, fragmented),
            Lane::Software => self.is_fast(more) && self.is_in_software(),
            Lane::Hardware => self.is_fast(more) && self.is_in_hardware(more),
        }
    }

    /// Whether the forward hook saw every packet: datagrams to the byte, of TCP all payload at least.
    fn is_slow(&self, proto: Proto, fragmented: bool) -> bool {
        let all = match proto {
            // The hosts count the first fragment only, the router what it put together.
            _ if fragmented => self.forwarded.packets == self.arrived.packets,
            Proto::Udp | Proto::Icmp => self.forwarded == self.arrived,
            Proto::Tcp => self.forwarded.bytes >= self.payload,
        };
        self.arrived.packets > 0 && all
    }
}

/// Both directions of a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// From the near to the far end.
    pub there: Way,
    /// The answers.
    pub back: Way,
}

/// What was seen of a flow, both ends idle after an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The protocol.
    pub proto: Proto,
    /// During the exchange.
    pub exchange: Ways,
    /// Since the flow was opened.
    pub ever: Ways,
    /// Whether packets of the flow came in fragments.
    pub fragmented: bool,
    /// Least and largest hop limit that the hosts sent with.
    pub sent_hop_limit: (u8, u8),
    /// How many hops the router takes.
    pub hops: u8,
    /// ICMP errors during the exchange, of the kind that was expected.
    pub refused: u64,
    /// First difference between what was sent and what arrived during the exchange, if any.
    pub damage: Option<String>,
    /// The flow's conntrack entry.
    pub conntrack: Option<Conntrack>,
}

impl Observation {
    /// The path that packets took, in the words of scenario files, or `mixed`.
    pub fn path(&self, slow_packets: u64) -> &'static str {
        let Ways { there, back } = &self.exchange;
        if there.arrived.packets + back.arrived.packets == 0 {
            return Path::None.word();
        }
        let ever = self.ever.there.forwarded + self.ever.back.forwarded;
        if ever.packets == 0 && self.ever.back.hop_limit == Some(self.sent_hop_limit) {
            return Path::Local.word();
        }
        let is = |path: &Path| {
            let right = |way: &Way, lane| way.is(lane, self.proto, self.fragmented, slow_packets);
            path.lanes().is_some_and(|lanes| right(there, lanes[0]) && right(back, lanes[1]))
        };
        Path::ALL.iter().find(|path| is(path)).map_or("mixed", |path| path.word())
    }

    /// The figures, one line.
    pub fn figures(&self) -> String {
        let way = |way: &Way| match self.proto {
            Proto::Udp | Proto::Icmp => format!("{} of {} packets", way.forwarded.packets, way.arrived.packets),
            Proto::Tcp => format!("{} of {} bytes", way.forwarded.bytes, way.arrived.bytes),
        };
        let mark = match &self.conntrack {
            None => "no conntrack entry",
            Some(entry) if entry.is_marked_hardware() => "marked HW_OFFLOAD",
            Some(entry) if entry.is_marked_offloaded() => "marked OFFLOAD",
            Some(_) => "not marked",
        };
        let Ways { there, back } = &self.exchange;
        let below = match (there.card, back.card) {
            (Some(there), Some(back)) => {
                let ((there, there_up), (back, back_up)) = (there.packets(), back.packets());
                format!(
                    "; the card sent on {there} packets there, {back} back, and {there_up} and {back_up} came up from it"
                )
            }
            _ => String::new(),
        };
        format!("{}: the forward hook saw {} there, {} back{below}; {mark}", self.proto.word(), way(there), way(back))
    }
}

/// What has to be true of an exchange.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// The path, if it matters.
    pub path: Option<Path>,
    /// How many more packets than the first ones may take the slow path each way, where the fast one is wanted.
    pub slow_packets: u64,
    /// The source address that the far host must see.
    pub seen_from: Option<IpAddr>,
    /// Whether packets may be lost: then nothing is asked of them.
    pub lossy: bool,
    /// How many packets had to be answered with an ICMP error.
    pub refused: Option<u64>,
    /// A run of a proof is held against the mark and the counters of conntrack too.
    pub run: Option<Run>,
}

/// The two runs of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Without offload.
    Control,
    /// With offload.
    Offload,
}

/// What did not hold, the most telling first. `None`: all of it holds.
pub fn judge(seen: &Observation, wanted: Wanted) -> Option<Finding> {
    if wanted.lossy {
        return None;
    }
    if wanted.path == Some(Path::None) {
        return nothing(seen).or_else(|| wanted.refused.and_then(|refused| refusals(seen, refused)));
    }
    if wanted.path == Some(Path::Local) {
        // Whoever is answered by the router itself sees nobody else; a proxy speaks to the far host.
        return intact(seen).or_else(|| local(seen)).or_else(|| translated(seen, wanted.seen_from));
    }
    intact(seen)
        .or_else(|| forwarded(seen, wanted.seen_from))
        .or_else(|| wanted.path.and_then(|path| took(seen, path, wanted.slow_packets)))
        .or_else(|| match wanted.run {
            Some(Run::Offload) => counts(seen, Counts::All),
            Some(Run::Control) => unmarked(seen),
            None => None,
        })
}

fn finding(id: &'static str, what: String, why: &str, fix: &str) -> Option<Finding> {
    let (why, fix) = (why.to_owned(), fix.to_owned());
    Some(Finding { id, severity: Severity::Error, place: None, what, why, fix })
}

/// Nothing may have arrived.
fn nothing(seen: &Observation) -> Option<Finding> {
    let arrived = seen.exchange.there.arrived + seen.exchange.back.arrived;
    if arrived.packets == 0 {
        return None;
    }
    finding(
        "PROOF012",
        format!("{} packets arrived, and none may", arrived.packets),
        "the router had to let nothing through",
        "look at the ruleset that is loaded: `cargo xtask test NAME --keep` leaves the router running",
    )
}

/// Each packet had to be answered with an error.
fn refusals(seen: &Observation, wanted: u64) -> Option<Finding> {
    if seen.refused == wanted {
        return None;
    }
    finding(
        "PROOF016",
        format!("{} of {wanted} packets were answered with the expected ICMP error", seen.refused),
        "the router must say why it does not forward a packet, or the sender never learns",
        "run with --pcap DIR and look for ICMP on the sender's wire",
    )
}

/// The router itself had to answer.
fn local(seen: &Observation) -> Option<Finding> {
    let marked = seen.conntrack.as_ref().is_some_and(Conntrack::is_marked_offloaded);
    if seen.path(0) == Path::Local.word() && !marked {
        return None;
    }
    finding(
        "PROOF017",
        format!(
            "these packets had to end at the router: {}; hop limit of the answers {:?}",
            seen.figures(),
            seen.ever.back.hop_limit
        ),
        "what the router answers itself is neither forwarded nor offloaded, and keeps its hop limit",
        "check the address that the flow is sent to, and the rules that translate destinations",
    )
}

/// Proof 1: the payload is intact at both ends.
fn intact(seen: &Observation) -> Option<Finding> {
    let damage = seen.damage.as_ref()?;
    if seen.exchange.back.arrived.packets == 0 {
        return finding(
            "PROOF013",
            format!("no answer came back: {damage}"),
            "the traffic had to pass the router, whichever path it takes",
            "run with --pcap DIR and see on which of the two wires the packets end",
        );
    }
    finding(
        "PROOF001",
        format!("the payload did not arrive intact: {damage}"),
        "an offloaded flow must carry the same bytes as a forwarded one",
        "run with --pcap DIR and compare the two captures; a wrong checksum or a lost fragment shows there",
    )
}

/// The packets went through the router once, and carry the address that they must.
fn forwarded(seen: &Observation, seen_from: Option<IpAddr>) -> Option<Finding> {
    let Ways { there, back } = &seen.ever;
    let (least, largest) = seen.sent_hop_limit;
    let expected = Some((least.saturating_sub(seen.hops), largest.saturating_sub(seen.hops)));
    if there.hop_limit != expected || back.hop_limit != expected {
        return finding(
            "PROOF002",
            format!("hop limits there {:?}, back {:?}; expected {expected:?}", there.hop_limit, back.hop_limit),
            "each packet passes one router, which must take one from the hop limit, offloaded or not; one that is bridged \
             keeps it (`hops: 0`)",
            "run with --pcap DIR and look at the TTL of the packets on both sides",
        );
    }
    translated(seen, seen_from)
}

/// The far host saw the packets come from where they must.
fn translated(seen: &Observation, seen_from: Option<IpAddr>) -> Option<Finding> {
    let source = seen.ever.there.source;
    if seen_from.is_none() || source == seen_from {
        return None;
    }
    finding(
        "PROOF003",
        format!("packets came from {source:?} instead of {seen_from:?}"),
        "address translation must hold on the fast path too",
        "check the NAT chains of the ruleset, and run with --pcap DIR",
    )
}

/// Proofs 2 and 3: both directions took the path that they had to, and conntrack carries the mark.
fn took(seen: &Observation, path: Path, slow_packets: u64) -> Option<Finding> {
    let Ways { there, back } = &seen.exchange;
    let lanes = path.lanes().into_iter().flatten();
    for ((name, way), lane) in [("there", there), ("back", back)].into_iter().zip(lanes) {
        if lane != Lane::Slow && !way.is_fast(slow_packets) {
            return finding(
                "PROOF004",
                format!("on the way {name} packets took the slow path: {}", seen.figures()),
                "packets of an offloaded flow bypass the forward hook, all but the first few",
                "check that `flow add` is reached (no earlier accept of established flows), that the flowtable names both devices, and that no helper, fragment or IP option is involved",
            );
        }
        if lane == Lane::Slow && !way.is_slow(seen.proto, seen.fragmented) {
            return finding(
                "PROOF008",
                format!("on the way {name} packets bypassed the forward hook: {}", seen.figures()),
                "these packets had to take the slow path; a test that passes with the feature off proves nothing",
                "check that no flowtable of the ruleset can take them",
            );
        }
        if lane == Lane::Software && !way.is_in_software() {
            return finding(
                "PROOF022",
                format!("on the way {name} the card sent packets on: {}", seen.figures()),
                "these had to be offloaded in software: a card that takes what it must refuse hides what depends on it",
                "look at /sys/kernel/debug/ppe0/bind, and at the flags of the flowtable",
            );
        }
        if lane == Lane::Hardware
            && let Some(finding) = card::in_hardware(seen, name, way, slow_packets)
        {
            return Some(finding);
        }
    }
    let more = |way: &Way| !seen.fragmented && way.forwarded.bytes > way.arrived.bytes;
    if more(&seen.ever.there) || more(&seen.ever.back) {
        return finding(
            "PROOF011",
            format!("the forward hook saw more than what arrived: {}", seen.figures()),
            "a packet passes the forward hook once, so the counter does not count what it seems to",
            "check that nothing else uses the ports of the flow, and run with --pcap DIR",
        );
    }
    if path == Path::Slow {
        return None;
    }
    let first = seen.ever.there.forwarded + seen.ever.back.forwarded;
    if first.packets == 0 {
        return finding(
            "PROOF005",
            "the forward hook saw no packet of the flow at all".into(),
            "the first packets of every flow take the slow path, so the counter is not where it should be",
            "check with `nft list table inet probe` that the harness's own rule is still there",
        );
    }
    if path.has(Lane::Hardware) && !seen.conntrack.as_ref().is_some_and(Conntrack::is_marked_hardware) {
        return finding(
            "PROOF021",
            format!("the conntrack entry carries no mark of hardware offload: {}", described(seen)),
            "the mark is necessary for offload in hardware, though one direction is enough for it",
            "check that the flowtable has `flags offload`",
        );
    }
    if path == Path::Fast && !seen.conntrack.as_ref().is_some_and(Conntrack::is_marked_offloaded) {
        return finding(
            "PROOF006",
            format!("the conntrack entry carries no offload mark: {}", described(seen)),
            "the mark is necessary for offload, though never sufficient",
            "check that nft_flow_offload is loaded, and the kernel log of the run",
        );
    }
    None
}

/// Proof 4: what conntrack counted of the flow since it was opened.
///
/// The kernel may merge TCP segments before it counts them (GRO), so that packets differ and headers are
/// counted once: bytes lie between payload and wire. Datagrams are never merged, and agree to the byte.
pub fn counts(seen: &Observation, wanted: Counts) -> Option<Finding> {
    let counted = seen.conntrack.as_ref().and_then(Conntrack::bytes);
    let agree = |counted: u64, way: &Way| match (wanted, seen.proto) {
        (Counts::All, Proto::Udp | Proto::Icmp) => counted == way.arrived.bytes,
        (Counts::All, Proto::Tcp) => (way.payload..=way.arrived.bytes).contains(&counted),
        (Counts::SlowOnly, _) => counted <= way.forwarded.bytes && counted < way.payload,
    };
    let Ways { there, back } = &seen.ever;
    if counted.is_some_and(|(one, two)| agree(one, there) && agree(two, back)) {
        return None;
    }
    let wire = (there.arrived.bytes, back.arrived.bytes);
    let payload = (there.payload, back.payload);
    let what = match wanted {
        Counts::All => "all of it",
        Counts::SlowOnly => "what the forward hook saw only",
    };
    finding(
        "PROOF007",
        format!(
            "conntrack counted {counted:?} bytes and should have counted {what}; {wire:?} arrived, {payload:?} of them payload"
        ),
        "with `counter` on the flowtable and nf_conntrack_acct=1 conntrack and wire agree, and without `counter` offloaded packets are not counted",
        "check `counter` on the flowtable and net.netfilter.nf_conntrack_acct",
    )
}

fn described(seen: &Observation) -> String {
    seen.conntrack.as_ref().map_or_else(|| "no entry".to_owned(), Conntrack::to_string)
}

/// The control run needs an entry without an offload mark, else the mark means nothing in the other run.
fn unmarked(seen: &Observation) -> Option<Finding> {
    if seen.conntrack.as_ref().is_some_and(|entry| !entry.is_marked_offloaded()) {
        return None;
    }
    finding(
        "PROOF009",
        format!("without offload conntrack shows: {}", described(seen)),
        "the control run needs an entry without an offload mark, else the mark means nothing here",
        "check that the control ruleset has no flowtable and that connections are tracked",
    )
}

#[cfg(test)]
mod tests;
