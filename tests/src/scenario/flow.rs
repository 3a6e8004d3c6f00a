//! Traffic: flows between the two hosts, what is sent over them, and which path it must take.

use std::net::IpAddr;

use serde::Deserialize;

use super::step::Step;
use super::topology::Seconds;

/// A flow from one host to the other, whose every byte is answered with one of the far end's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlowPlan {
    /// The name that later steps call it by. Flows of a proof need none.
    #[serde(default)]
    pub flow: String,
    /// `tcp` or `udp`.
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
    /// Payload bytes of one datagram or one write.
    #[serde(default = "usual_size")]
    pub size: usize,
    /// The source address that the far host must see.
    pub seen_from: Option<IpAddr>,
    /// Payload bytes each way; flows of a proof only.
    pub bytes: Option<u64>,
}

fn usual_size() -> usize {
    1000
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
}

impl Proto {
    /// The word in `/proc/net/nf_conntrack`, in nftables and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        }
    }

    /// The number of the protocol in IP packets.
    pub fn number(self) -> &'static str {
        match self {
            Proto::Tcp => "6",
            Proto::Udp => "17",
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
