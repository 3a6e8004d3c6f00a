//! What came of a flow: counts, hashes and what was seen on the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Digest, Result};

use super::failures;
use super::traffic::Flow;

/// What arrived on the wire for one port of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Arrivals {
    /// IP packets, TCP's acknowledgements and retransmissions included.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
    /// Smallest and largest TTL or hop limit; both hosts send with 64, so 63 came through one router.
    pub hop_limit: Option<(u8, u8)>,
    /// Packets of these that were the first of several IPv4 fragments. Later fragments name no port
    /// and are counted by [`super::FrameCounts`] only.
    pub fragmented: u64,
    /// Packets of these with options in their IPv4 header.
    pub with_options: u64,
}

/// ICMP errors that a host got about what it sent from one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Refusals {
    /// Time exceeded: a TTL or hop limit ran out.
    pub expired: u64,
    /// Larger than the MTU of a link on the way.
    pub too_big: u64,
    /// No way to the host, or nobody at its port.
    pub unreachable: u64,
    /// Any other error, such as an option that a router dislikes.
    pub other: u64,
    /// Who sent the last one.
    pub from: Option<IpAddr>,
    /// The MTU that the last *too big* named, in bytes.
    pub mtu: Option<u32>,
}

impl Refusals {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.expired + self.too_big + self.unreachable + self.other
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.expired, "expired"),
            (self.too_big, "too big"),
            (self.unreachable, "unreachable"),
            (self.other, "with another error"),
        ];
        let seen: Vec<String> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&seen.join(", "))
    }
}

/// What one exchange did; datagrams for UDP, bytes for TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// Sent by the near end.
    pub sent: u64,
    /// Answers that came back, intact.
    pub returned: u64,
    /// ICMP errors that came back to the near end.
    pub refused: u64,
    /// How long it took.
    pub took: Duration,
}

impl Exchange {
    /// Round trips that were not completed: lost or damaged on either way. Never for TCP.
    pub fn lost(&self) -> u64 {
        self.sent - self.returned
    }
}

/// What was sent or received in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Amount {
    /// Datagrams; 0 for TCP.
    pub datagrams: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Digest of the payload in the order it was sent or arrived.
    pub sha256: Digest,
}

/// One direction of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Direction {
    /// What the sending end sent.
    pub sent: Amount,
    /// What the receiving end got, damaged bytes included.
    pub received: Amount,
    /// Damaged datagrams, or damaged reads from the TCP stream.
    pub damaged: u64,
    /// The first damage: place in the TCP stream in bytes, or how many datagrams arrived before.
    pub first_damage: Option<u64>,
    /// Datagrams that arrived again.
    pub repeated: u64,
    /// Datagrams that arrived after a later one.
    pub reordered: u64,
    /// Where the packets came from, as the receiving end saw it: tells whether the router translated.
    pub source: Option<SocketAddr>,
    /// What arrived on the wire.
    pub wire: Arrivals,
    /// ICMP errors about this direction, which the sending end got.
    pub refusals: Refusals,
}

impl Direction {
    /// Datagrams that did not arrive; 0 for TCP, which repeats what is lost.
    pub fn lost(&self) -> u64 {
        self.sent.datagrams.saturating_sub(self.received.datagrams.saturating_sub(self.repeated))
    }

    /// Whether all that was sent arrived, once and unchanged.
    pub fn is_intact(&self) -> bool {
        self.damaged == 0
            && self.repeated == 0
            && self.sent.bytes == self.received.bytes
            && (self.reordered > 0 || self.sent.sha256 == self.received.sha256)
    }
}

/// All that is known about a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowReport {
    /// What was asked for.
    pub flow: Flow,
    /// Address and port of the near end, before any translation.
    pub near: SocketAddr,
    /// From the near to the far end. What arrived there of an [`Flow::echo`] is not known.
    pub there: Direction,
    /// From the far to the near end. An echo has to send what it was sent.
    pub back: Direction,
    /// Time since the flow was opened.
    pub took: Duration,
}

impl FlowReport {
    /// Whether all payload arrived, once and unchanged, on both ways.
    pub fn is_intact(&self) -> bool {
        self.known().all(|(_, direction)| direction.is_intact())
    }

    /// The directions of which both ends are known, with words for messages.
    pub(super) fn known(&self) -> impl Iterator<Item = (&'static str, &Direction)> {
        let there = (!self.flow.echo).then_some(("towards", &self.there));
        there.into_iter().chain([("back from", &self.back)])
    }

    /// Fails, naming the first difference, unless [`FlowReport::is_intact`].
    pub fn check(&self) -> Result<()> {
        for (way, direction) in self.known() {
            if !direction.is_intact() {
                return Err(failures::damaged(&self.flow, format!("{way} the far end: {direction}")));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes arrived", self.received.bytes, self.sent.bytes)?;
        for (count, what) in [
            (self.lost(), "datagrams lost"),
            (self.damaged, "pieces damaged"),
            (self.repeated, "datagrams repeated"),
            (self.reordered, "datagrams out of order"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if let Some(place) = self.first_damage {
            write!(f, ", the first damage at {place}")?;
        }
        Ok(())
    }
}
