//! Traffic: flows between the two hosts, and which path it must take.

use std::net::IpAddr;

use serde::Deserialize;

/// A flow from one host to the other, whose every byte is answered with one of the far end's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlowPlan {
    /// The name that later steps call it by. Flows of a proof need none.
    #[serde(default)]
    pub flow: String,
    /// `tcp`, `udp`, or `icmp`: echo requests, which whoever is asked answers.
    pub proto: Proto,
    /// `ipv4`, or `ipv6`.
    #[serde(default)]
    pub family: Family,
    /// The host that begins: `lan`, or `wan`.
    #[serde(default)]
    pub from: Side,
    /// Whom it sends to: the other `host`; the `router`, which translates the destination; or `hairpin`: the router's address
    /// on the other side, which sends it back to where it came from (needs `listen`).
    #[serde(default)]
    pub to: Target,
    /// The port that it sends to; one that no other flow of the scenario uses, unless given.
    pub port: Option<u16>,
    /// The port that the far host listens on, where the router changes it on the way.
    pub listen: Option<u16>,
    /// Payload bytes of one datagram or one write [default: 1000; ICMP: 200, as a router loses large answers].
    pub size: Option<usize>,
    /// The source address that the far host must see.
    pub seen_from: Option<IpAddr>,
    /// How many hops the router takes from each packet: `1`, or `0` where it hands frames on as a bridge does, or sends
    /// packets of its own as a proxy does [default: 1].
    #[serde(default = "one")]
    pub hops: u8,
    /// Whether whatever it is sent to sends everything back, such as a service of the router.
    #[serde(default)]
    pub echo: bool,
    /// Payload bytes each way; flows of a proof only.
    pub bytes: Option<u64>,
}

fn one() -> u8 {
    1
}

impl FlowPlan {
    /// Payload bytes of one datagram or one write, given or usual.
    pub fn size(&self) -> usize {
        let usual = if self.proto == Proto::Icmp { 200 } else { 1000 };
        self.size.unwrap_or(usual)
    }

    /// What cannot be sent so.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.seen_from.is_some_and(|seen_from| seen_from.is_ipv6() != (self.family == Family::Ipv6)) {
            return Err(format!("has {:?} traffic, which can't be seen from {:?}", self.family, self.seen_from));
        }
        if self.hops > 1 {
            return Err(format!("takes {} hops through one router", self.hops));
        }
        let has_far_port = self.proto != Proto::Icmp && self.listen.is_some();
        if self.to == Target::Hairpin && !has_far_port {
            return Err("goes to `hairpin`, and names no `listen` for its way back".into());
        }
        // What an MTU of 1,500 leaves after the headers of either family.
        let (least, largest) = if self.proto == Proto::Tcp { (1, 65536) } else { (8, 1452) };
        let size = self.size();
        if size < least || size > largest {
            return Err(format!("has size {size}, which is not between {least} and {largest}"));
        }
        Ok(())
    }
}

/// Less could not be told apart from the first packets, which take the slow path whatever follows.
pub(super) const ENOUGH_BYTES: u64 = 100_000;

/// Network protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Echo requests and replies of ICMP, or of ICMPv6.
    Icmp,
}

impl Proto {
    /// The word in `/proc/net/nf_conntrack`, in nftables and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Icmp => "icmp",
        }
    }
}

/// One of the two hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The inner one.
    #[default]
    Lan,
    /// The outer one.
    Wan,
}

/// Whose address a flow is sent to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The far host's own.
    #[default]
    Host,
    /// The router's, on the side where the flow begins.
    Router,
    /// The router's, on the other side; the far end is a second service of the host that begins.
    Hairpin,
}

/// Which way packets take through the router, as counted in the forward hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Past the forward hook, both ways.
    Fast,
    /// Through the forward hook, both ways, every packet.
    Slow,
    /// Past it on the way there, through it on the way back.
    ThereOnly,
    /// Through it on the way there, past it on the way back.
    BackOnly,
    /// In the card, both ways: the router's processor sees the first packets only.
    Hardware,
    /// In the card on the way there, past the forward hook on the way back.
    HardwareThere,
    /// Past the forward hook on the way there, in the card on the way back.
    HardwareBack,
    /// To the router itself, which answers: no packet is forwarded.
    Local,
    /// Nothing arrives.
    None,
}

impl Path {
    /// All, those in software first.
    pub const ALL: [Path; 9] = [
        Path::Fast,
        Path::Slow,
        Path::ThereOnly,
        Path::BackOnly,
        Path::Hardware,
        Path::HardwareThere,
        Path::HardwareBack,
        Path::Local,
        Path::None,
    ];

    /// The word in scenario files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Path::Fast => "fast",
            Path::Slow => "slow",
            Path::ThereOnly => "there-only",
            Path::BackOnly => "back-only",
            Path::Hardware => "hardware",
            Path::HardwareThere => "hardware-there",
            Path::HardwareBack => "hardware-back",
            Path::Local => "local",
            Path::None => "none",
        }
    }

    /// How packets are sent on, there and back; `None` where none are.
    pub fn lanes(self) -> Option<[Lane; 2]> {
        Some(match self {
            Path::Fast => [Lane::Software, Lane::Software],
            Path::Slow => [Lane::Slow, Lane::Slow],
            Path::ThereOnly => [Lane::Software, Lane::Slow],
            Path::BackOnly => [Lane::Slow, Lane::Software],
            Path::Hardware => [Lane::Hardware, Lane::Hardware],
            Path::HardwareThere => [Lane::Hardware, Lane::Software],
            Path::HardwareBack => [Lane::Software, Lane::Hardware],
            Path::Local | Path::None => return None,
        })
    }

    /// Whether some lane of it is this one.
    pub fn has(self, lane: Lane) -> bool {
        self.lanes().is_some_and(|lanes| lanes.contains(&lane))
    }

    /// Whether no packet of it is slow.
    pub fn is_fast(self) -> bool {
        self.lanes().is_some_and(|lanes| !lanes.contains(&Lane::Slow))
    }
}

/// How the packets of one direction are sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Through the forward hook.
    Slow,
    /// From the ingress hook of the device that they came in on, by the kernel.
    Software,
    /// By the card, which the kernel told how.
    Hardware,
}

/// More of the smallest proof than a few of a hundred could not be told from a path that is slow in part.
const MOST_SLOW_PACKETS: u64 = 40;

/// Traffic that must take the fast path with `offload` loaded, and the slow path without.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OffloadProof {
    /// The nftables ruleset of both runs.
    #[serde(default)]
    pub ruleset: String,
    /// What is added to it for the run with offload, and left out of the control run.
    pub offload: String,
    /// The source address that the far host must see, for flows that don't say otherwise.
    pub seen_from: Option<IpAddr>,
    /// How many packets of each flow may take the slow path besides the first ones, with rules that offload later ones only.
    #[serde(default)]
    pub slow_packets: u64,
    /// The flows: all are open and busy at once.
    pub traffic: Vec<FlowPlan>,
}

impl OffloadProof {
    /// What proves nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.traffic.is_empty() {
            return Err("`offload` has no `traffic`".into());
        }
        if self.slow_packets > MOST_SLOW_PACKETS {
            return Err(format!("`offload` proves little with more than {MOST_SLOW_PACKETS} `slow-packets`"));
        }
        for plan in &self.traffic {
            let bytes = plan.bytes.unwrap_or(0);
            if bytes < ENOUGH_BYTES {
                return Err(format!("{bytes} bytes are too few to prove anything; use at least {ENOUGH_BYTES}"));
            }
            let seen_from = plan.seen_from.or(self.seen_from);
            let checked = FlowPlan { seen_from, ..plan.clone() }.check();
            checked.map_err(|what| format!("`offload` {what}"))?;
        }
        Ok(())
    }
}
