//! A tracked connection, and how to read one from ctnetlink or from a line of `/proc/net/nf_conntrack`.
//!
//! Attribute numbers are those of `linux/netfilter/nfnetlink_conntrack.h`, status bits those of
//! `nf_conntrack_common.h`, the line is what `ct_seq_show` of the kernel prints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::netlink::{Attribute, Malformed, Message, Request};

/// `NFNL_SUBSYS_CTNETLINK` in the high byte, `IPCTNL_MSG_CT_GET` in the low one.
const GET_CONNECTIONS: u16 = 1 << 8 | 1;

/// `IPS_SEEN_REPLY`: packets were seen in both directions.
pub const STATUS_REPLIED: u32 = 1 << 1;
/// `IPS_SRC_NAT | IPS_DST_NAT`: addresses are translated.
pub const STATUS_NAT: u32 = 1 << 4 | 1 << 5;
/// `IPS_DST_NAT`: the receiver is translated.
pub const STATUS_DESTINATION_NAT: u32 = 1 << 5;
/// `IPS_SEQ_ADJUST`: TCP sequence numbers are rewritten.
pub const STATUS_SEQUENCE_ADJUSTED: u32 = 1 << 6;
/// `IPS_OFFLOAD`: the flow is in a flowtable.
const STATUS_OFFLOAD: u32 = 1 << 14;
/// `IPS_HW_OFFLOAD`: hardware has taken it.
const STATUS_HARDWARE: u32 = 1 << 15;

mod attribute {
    //! Attribute numbers by the message or attribute that holds them.
    pub(super) const TUPLE_ORIGINAL: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOCOL_STATE: u16 = 4;
    pub(super) const HELPER: u16 = 5;
    pub(super) const MARK: u16 = 8;
    pub(super) const STATE_TCP: u16 = 1;
    pub(super) const TCP_STATE: u16 = 1;
    pub(super) const HELPER_NAME: u16 = 1;
    pub(super) const COUNTERS_ORIGINAL: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const TIMESTAMP: u16 = 20;
    pub(super) const STATUS_MASK: u16 = 26;
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
    /// What matters when the flow is asked about.
    pub details: Details,
    /// From the side that began.
    pub original: Direction,
    /// From the side that answered.
    pub reply: Direction,
}

/// What decides whether a connection may be offloaded. `/proc` does not tell all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Details {
    /// `IPS_…` bits. `/proc` tells [`STATUS_REPLIED`] only.
    pub status: u32,
    /// The helper that reads along, such as `ftp`; a name of the kernel, padded with zeros. `/proc` does not tell it.
    pub helper: Option<[u8; 16]>,
    /// A place in [`TCP_STATES`].
    pub tcp_state: Option<u8>,
    /// The connection mark.
    pub mark: u32,
}

impl Details {
    /// The helper's name.
    pub fn helper_name(&self) -> Option<String> {
        let name = self.helper?;
        Some(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned())
    }

    /// The name of the TCP state.
    pub fn tcp_state_name(&self) -> Option<&'static str> {
        TCP_STATES.get(usize::from(self.tcp_state?)).copied()
    }
}

/// Conntrack's names for the states of TCP, by their number.
pub const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];
/// The only state in which TCP is offloaded.
pub const TCP_ESTABLISHED: u8 = 3;

impl Flow {
    /// Whether packets were seen in both directions.
    pub fn is_replied(&self) -> bool {
        self.details.status & STATUS_REPLIED != 0
    }
}

/// The usual name of an IP protocol; one without goes by its number.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        47 => "gre",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// The usual name of an IP protocol, or its number.
pub fn protocol_text(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), String::from)
}

/// The request for the connections on these paths. Kernels from 5.15 on leave out the others, which takes a fraction of the
/// time where few of many are asked for; older ones do not know the filter and tell all.
pub fn request(paths: &[Path]) -> Request {
    let all = Request::netfilter(GET_CONNECTIONS);
    let marks = STATUS_OFFLOAD | STATUS_HARDWARE;
    // What is in hardware carries both marks.
    let (status, mask) = match paths {
        [Path::Hardware] => (STATUS_HARDWARE, STATUS_HARDWARE),
        [Path::Software] => (STATUS_OFFLOAD, marks),
        [Path::Slow] => (0, marks),
        _ if !paths.contains(&Path::Slow) => (STATUS_OFFLOAD, STATUS_OFFLOAD),
        _ => return all,
    };
    all.with(attribute::STATUS, &status.to_be_bytes()).with(attribute::STATUS_MASK, &mask.to_be_bytes())
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
            attribute::STATUS => {
                flow.details.status = found.u32()?;
                flow.path = path(flow.details.status);
            }
            attribute::PROTOCOL_STATE => flow.details.tcp_state = tcp_state(&found)?,
            attribute::HELPER => flow.details.helper = helper(&found)?,
            attribute::MARK => flow.details.mark = found.u32()?,
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

fn tcp_state(attribute: &Attribute<'_>) -> Result<Option<u8>, Malformed> {
    for protocol in attribute.nested() {
        let protocol = protocol?;
        for field in protocol.nested() {
            let field = field?;
            if (protocol.kind, field.kind) == (attribute::STATE_TCP, attribute::TCP_STATE) {
                return field.value.first().copied().map(Some).ok_or(Malformed);
            }
        }
    }
    Ok(None)
}

fn helper(attribute: &Attribute<'_>) -> Result<Option<[u8; 16]>, Malformed> {
    for field in attribute.nested() {
        let field = field?;
        if field.kind == attribute::HELPER_NAME {
            let mut name = [0; 16];
            name.iter_mut().zip(field.value).for_each(|(place, byte)| *place = *byte);
            return Ok(Some(name));
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
    flow.details.status = STATUS_REPLIED;
    for word in words {
        match word {
            "[OFFLOAD]" => flow.path = Path::Software,
            "[HW_OFFLOAD]" => flow.path = Path::Hardware,
            "[UNREPLIED]" => flow.details.status = 0,
            _ => {
                let Some((name, value)) = word.split_once('=') else {
                    let state = (0..).zip(TCP_STATES).find(|(_, name)| *name == word);
                    flow.details.tcp_state = state.map(|(number, _)| number).or(flow.details.tcp_state);
                    continue;
                };
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
        "mark" => flow.details.mark = value.parse().ok()?,
        "bytes" => direction.counters.get_or_insert_default().bytes = value.parse().ok()?,
        _ => {}
    }
    Some(())
}
