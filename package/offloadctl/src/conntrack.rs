//! A tracked connection, and how to read one from ctnetlink or from a line of `/proc/net/nf_conntrack`.
//!
//! Attribute numbers are those of `linux/netfilter/nfnetlink_conntrack.h`, status bits those of
//! `nf_conntrack_common.h`, the line is what `ct_seq_show` of the kernel prints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::netlink::{Attribute, Malformed, Message};

/// `NFNL_SUBSYS_CTNETLINK` in the high byte, `IPCTNL_MSG_CT_GET` in the low one.
pub const GET_CONNECTIONS: u16 = 1 << 8 | 1;

/// `IPS_OFFLOAD`: the flow is in a flowtable.
const STATUS_OFFLOAD: u32 = 1 << 14;
/// `IPS_HW_OFFLOAD`: hardware has taken it.
const STATUS_HARDWARE: u32 = 1 << 15;

mod attribute {
    //! Attribute numbers by the message or attribute that holds them.
    pub(super) const TUPLE_ORIGINAL: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const COUNTERS_ORIGINAL: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const TIMESTAMP: u16 = 20;
    pub(super) const TIMESTAMP_START: u16 = 1;
    pub(super) const TUPLE_ADDRESSES: u16 = 1;
    pub(super) const TUPLE_PROTOCOL: u16 = 2;
    pub(super) const V4_SOURCE: u16 = 1;
    pub(super) const V4_DESTINATION: u16 = 2;
    pub(super) const V6_SOURCE: u16 = 3;
    pub(super) const V6_DESTINATION: u16 = 4;
    pub(super) const PROTOCOL_NUMBER: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const PACKETS: u16 = 1;
    pub(super) const BYTES: u16 = 2;
}

/// Which way the packets of a flow take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// Each packet goes through the whole firewall.
    #[default]
    Slow,
    /// Software offload: the flowtable forwards, past the firewall.
    Software,
    /// Hardware offload: the packets do not reach the processor.
    Hardware,
}

impl Path {
    /// All of them, fastest first.
    pub const ALL: [Path; 3] = [Path::Hardware, Path::Software, Path::Slow];

    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            Path::Slow => "slow",
            Path::Software => "software",
            Path::Hardware => "hardware",
        }
    }
}

/// Packets and bytes in one direction, as conntrack counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Number of packets.
    pub packets: u64,
    /// Number of bytes, from the network header on.
    pub bytes: u64,
}

/// One direction of a flow, seen from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direction {
    /// Sender.
    pub source: Option<IpAddr>,
    /// Receiver.
    pub destination: Option<IpAddr>,
    /// Port of the sender, for protocols with ports.
    pub source_port: Option<u16>,
    /// Port of the receiver, for protocols with ports.
    pub destination_port: Option<u16>,
    /// Absent when `nf_conntrack_acct` was 0 when the flow began.
    pub counters: Option<Counters>,
}

/// One connection. Where the reply is not the mirror of the original, addresses are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// The path that conntrack's status claims. A mark is necessary for offload, and does not prove it.
    pub path: Path,
    /// IP protocol number.
    pub protocol: u8,
    /// Seconds since it began; absent when `nf_conntrack_timestamp` was 0 at that time.
    pub age: Option<u64>,
    /// From the side that began.
    pub original: Direction,
    /// From the side that answered.
    pub reply: Direction,
}

impl Flow {
    /// The protocol's usual name, or its number.
    pub fn protocol_name(&self) -> String {
        match self.protocol {
            1 => "icmp".into(),
            6 => "tcp".into(),
            17 => "udp".into(),
            33 => "dccp".into(),
            47 => "gre".into(),
            58 => "icmpv6".into(),
            132 => "sctp".into(),
            136 => "udplite".into(),
            number => number.to_string(),
        }
    }
}

/// Reads one `IPCTNL_MSG_CT_NEW`. `now` is the time since 1970, for the age: the kernel tells when the flow began.
///
/// # Errors
/// A length that does not fit.
pub fn from_netlink(message: &Message<'_>, now: Duration) -> Result<Flow, Malformed> {
    let (_family, attributes) = message.netfilter()?;
    let mut flow = Flow::default();
    for found in attributes {
        let found = found?;
        match found.kind {
            attribute::TUPLE_ORIGINAL => flow.protocol = tuple(&found, &mut flow.original)?,
            attribute::TUPLE_REPLY => flow.protocol = tuple(&found, &mut flow.reply)?,
            attribute::STATUS => flow.path = path(found.u32()?),
            attribute::COUNTERS_ORIGINAL => flow.original.counters = Some(counters(&found)?),
            attribute::COUNTERS_REPLY => flow.reply.counters = Some(counters(&found)?),
            attribute::TIMESTAMP => flow.age = age(&found, now)?,
            _ => {}
        }
    }
    Ok(flow)
}

fn age(attribute: &Attribute<'_>, now: Duration) -> Result<Option<u64>, Malformed> {
    for field in attribute.nested() {
        let field = field?;
        if field.kind == attribute::TIMESTAMP_START {
            return Ok(Some(now.saturating_sub(Duration::from_nanos(field.u64()?)).as_secs()));
        }
    }
    Ok(None)
}

fn path(status: u32) -> Path {
    if status & STATUS_HARDWARE != 0 {
        Path::Hardware
    } else if status & STATUS_OFFLOAD != 0 {
        Path::Software
    } else {
        Path::Slow
    }
}

/// Fills the addresses and ports of one direction and returns the protocol.
fn tuple(tuple: &Attribute<'_>, direction: &mut Direction) -> Result<u8, Malformed> {
    let mut protocol = 0;
    for part in tuple.nested() {
        let part = part?;
        for field in part.nested() {
            let field = field?;
            match (part.kind, field.kind) {
                (attribute::TUPLE_ADDRESSES, attribute::V4_SOURCE | attribute::V6_SOURCE) => {
                    direction.source = Some(address(field.value)?);
                }
                (attribute::TUPLE_ADDRESSES, attribute::V4_DESTINATION | attribute::V6_DESTINATION) => {
                    direction.destination = Some(address(field.value)?);
                }
                (attribute::TUPLE_PROTOCOL, attribute::PROTOCOL_NUMBER) => {
                    protocol = *field.value.first().ok_or(Malformed)?;
                }
                (attribute::TUPLE_PROTOCOL, attribute::SOURCE_PORT) => direction.source_port = Some(field.u16()?),
                (attribute::TUPLE_PROTOCOL, attribute::DESTINATION_PORT) => {
                    direction.destination_port = Some(field.u16()?);
                }
                _ => {}
            }
        }
    }
    Ok(protocol)
}

fn address(value: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        Ok(Ipv4Addr::from(v4).into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(value) {
        Ok(Ipv6Addr::from(v6).into())
    } else {
        Err(Malformed)
    }
}

fn counters(attribute: &Attribute<'_>) -> Result<Counters, Malformed> {
    let mut counters = Counters::default();
    for field in attribute.nested() {
        let field = field?;
        match field.kind {
            attribute::PACKETS => counters.packets = field.u64()?,
            attribute::BYTES => counters.bytes = field.u64()?,
            _ => {}
        }
    }
    Ok(counters)
}

/// Reads one line of `/proc/net/nf_conntrack`; `None` when it does not look like one.
///
/// Only the first four columns have a place. The state and timeout columns are absent from an offloaded flow, so the
/// rest is read by the name before the `=`; the second occurrence of a name belongs to the reply.
pub fn from_proc_line(line: &str) -> Option<Flow> {
    let mut words = line.split_ascii_whitespace();
    let protocol = words.nth(3)?.parse().ok()?;
    let mut flow = Flow { protocol, ..Flow::default() };
    for word in words {
        match word {
            "[OFFLOAD]" => flow.path = Path::Software,
            "[HW_OFFLOAD]" => flow.path = Path::Hardware,
            _ => {
                let Some((name, value)) = word.split_once('=') else { continue };
                if name == "delta-time" {
                    flow.age = value.parse().ok();
                } else {
                    fill(&mut flow, name, value)?;
                }
            }
        }
    }
    flow.reply.destination.is_some().then_some(flow)
}

fn fill(flow: &mut Flow, name: &str, value: &str) -> Option<()> {
    // The reply begins where a second `src` stands.
    let first = flow.original.source.is_none();
    let direction =
        if flow.reply.source.is_some() || (!first && name == "src") { &mut flow.reply } else { &mut flow.original };
    match name {
        "src" => direction.source = Some(value.parse().ok()?),
        "dst" => direction.destination = Some(value.parse().ok()?),
        "sport" => direction.source_port = Some(value.parse().ok()?),
        "dport" => direction.destination_port = Some(value.parse().ok()?),
        "packets" => direction.counters.get_or_insert_default().packets = value.parse().ok()?,
        "bytes" => direction.counters.get_or_insert_default().bytes = value.parse().ok()?,
        _ => {}
    }
    Some(())
}
