//! Traffic over open flows, and the path that it must take.

use std::fmt;
use std::num::NonZeroU8;

use serde::Deserialize;
use vm::lab::Special;

use super::Step;
use super::flows::Flows;
use crate::scenario::flow::{ENOUGH_BYTES, Path};
use crate::scenario::topology::Seconds;

/// Fewer datagrams could not be told apart from the first packets.
const ENOUGH_PACKETS: u64 = 100;

/// More traffic over open flows, all at once, and how it must go. As wide as what a file may say of it.
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

    /// What cannot be sent, or not be judged. The steps meanwhile are not looked at.
    pub(super) fn check(&self, flows: &mut Flows) -> Result<(), String> {
        if self.packets.is_some() == self.bytes.is_some() {
            return Err("needs either `packets` or `bytes`".into());
        }
        for flow in &self.flows {
            if !flows.is_open(flow) {
                return Err(format!("sends over `{flow}`, which is not open"));
            }
            if flows.is_tcp(flow) && self.packets.is_some() {
                return Err(format!("counts packets of `{flow}`, which is TCP: use `bytes`"));
            }
            if flows.is_tcp(flow) && self.refused.is_some() {
                return Err(format!("counts errors for `{flow}`, which is TCP: its segments are sent again"));
            }
        }
        if self.flows.is_empty() {
            return Err("names no flow".into());
        }
        let enough = self.bytes.is_none_or(|bytes| bytes >= ENOUGH_BYTES)
            && self.packets.is_none_or(|packets| packets >= ENOUGH_PACKETS);
        if self.path.is_some_and(|path| path != Path::None) && !enough {
            return Err(format!(
                "sends too little to tell a path: at least {ENOUGH_BYTES} bytes, or {ENOUGH_PACKETS} packets"
            ));
        }
        if self.lossy && self.path.is_some() {
            return Err("may lose packets, so no path of them can be told".into());
        }
        if self.refused.is_some() && self.path != Some(Path::None) {
            return Err("expects its packets to be refused, so its `path` must be `none`".into());
        }
        if let Some(path) = self.path {
            if flows.lack_a_card(path) {
                return Err("takes a path in hardware, and no step before it brings a `card`".into());
            }
            flows.judged(path);
        }
        Ok(())
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.map_or("any", |path| path.word());
        write!(f, "exchange over {}, {path} path", self.flows.join(", "))
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
