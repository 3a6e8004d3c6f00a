//! Traffic: flows between the two hosts, what is sent over them, and which path it must take.

use std::net::IpAddr;
use std::num::NonZeroU8;

use serde::Deserialize;
use vm::lab::Special;

use super::step::Step;
use super::topology::Seconds;

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
    /// Whom it sends to: the other `host`, or the `router`, which translates the destination.
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
    /// Whether whatever it is sent to sends everything back, such as a service of the router.
    #[serde(default)]
    pub echo: bool,
    /// Payload bytes each way; flows of a proof only.
    pub bytes: Option<u64>,
}

impl FlowPlan {
    /// Payload bytes of one datagram or one write, given or usual.
    pub fn size(&self) -> usize {
        let usual = if self.proto == Proto::Icmp { 200 } else { 1000 };
        self.size.unwrap_or(usual)
    }
}

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
}

/// More traffic over open flows, all at once, and how it must go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exchange {
    /// A name, or several.
    #[serde(deserialize_with = "one_or_more", rename = "flow")]
    pub flows: Vec<String>,
    /// Datagrams each way (UDP).
    pub packets: Option<u64>,
    /// Payload bytes each way.
    pub bytes: Option<u64>,
    /// The path that it must take, each flow by itself. Without one only its arrival is checked.
    pub path: Option<Path>,
    /// How many more packets of a flow than its usual first ones may take the slow path on the way there, and back.
    #[serde(default)]
    pub slow_packets: u64,
    /// Payload bytes of these datagrams, in place of the flow's.
    pub size: Option<usize>,
    /// TTL or hop limit of these packets: 1 has to expire at the router, 2 just arrives [default: 64].
    pub hop_limit: Option<NonZeroU8>,
    /// An option in the IPv4 header of these packets.
    pub option: Option<IpOption>,
    /// IPv4 packets are sent as fragments with so many bytes at most behind the IP header.
    pub fragment: Option<usize>,
    /// Routers may fragment these IPv4 packets.
    #[serde(default)]
    pub may_fragment: bool,
    /// The ICMP error that each of these packets must be answered with, in place of arriving.
    pub refused: Option<Refusal>,
    /// Packets may be lost meanwhile, for a reason that the scenario brings about.
    #[serde(default)]
    pub lossy: bool,
    /// It must take so long at least: shapers still delay it.
    pub takes_at_least: Option<Seconds>,
    /// What is done meanwhile; traffic goes on at least until the last of it is done.
    #[serde(default)]
    pub during: Vec<Step>,
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    Ok(match OneOrMore::deserialize(reader)? {
        OneOrMore::One(name) => vec![name],
        OneOrMore::More(names) => names,
    })
}

impl Exchange {
    /// How its packets differ from plain ones, if they do.
    pub fn special(&self) -> Option<Special> {
        let Exchange { size, hop_limit, option, fragment, may_fragment, .. } = self;
        let special = Special {
            sizes: size.iter().copied().collect(),
            hop_limit: *hop_limit,
            option: option.map(|option| match option {
                IpOption::NoOperation => vm::lab::IpOption::NoOperation,
                IpOption::RecordRoute => vm::lab::IpOption::RecordRoute,
            }),
            fragment: *fragment,
            may_fragment: *may_fragment,
        };
        (special != Special::default()).then_some(special)
    }
}

/// An option of the IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpOption {
    /// Padding.
    NoOperation,
    /// The router writes its address into it.
    RecordRoute,
}

/// An error of ICMP or ICMPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The hop limit ran out.
    Expired,
    /// Larger than the next link's MTU.
    TooBig,
    /// No way, or nobody there.
    Unreachable,
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
    /// To the router itself, which answers: no packet is forwarded.
    Local,
    /// Nothing arrives.
    None,
}

impl Path {
    /// The word in scenario files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Path::Fast => "fast",
            Path::Slow => "slow",
            Path::ThereOnly => "there-only",
            Path::BackOnly => "back-only",
            Path::Local => "local",
            Path::None => "none",
        }
    }

    /// Whether packets from the near to the far end must take the fast path.
    pub fn is_fast_there(self) -> bool {
        matches!(self, Path::Fast | Path::ThereOnly)
    }

    /// Whether answers must take the fast path.
    pub fn is_fast_back(self) -> bool {
        matches!(self, Path::Fast | Path::BackOnly)
    }
}

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
    /// Whether the flows are open and busy at once, in place of one after the other.
    #[serde(default)]
    pub at_once: bool,
    /// The flows.
    pub traffic: Vec<FlowPlan>,
}
