//! A wire that is open: its frames, noted as they pass.

use smoltcp::wire::EthernetProtocol;

use super::frames::{Inbox, Outbox};
use super::pcap::Capture;
use super::{packet, pppoe, tag};

/// What went over a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FrameCounts {
    /// All frames.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// ARP frames.
    pub arp: u64,
    /// IPv4 frames.
    pub ipv4: u64,
    /// IPv6 frames, multicast listener reports and the like included.
    pub ipv6: u64,
    /// Frames of another type, or too short to have one. They are counted and otherwise ignored.
    pub other: u64,
    /// PPPoE frames, of discovery and of sessions.
    pub pppoe: u64,
    /// How many of all frames have a VLAN tag. They are also counted by the type behind it.
    pub tagged: u64,
    /// How many of the IPv4 frames hold fragments.
    pub fragments: u64,
}

impl FrameCounts {
    fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let (kind, payload) = tag::content(frame).unwrap_or_default();
        self.tagged += u64::from(tag::has_one(frame));
        *match EthernetProtocol::from(kind) {
            EthernetProtocol::Arp => &mut self.arp,
            EthernetProtocol::Ipv4 => &mut self.ipv4,
            EthernetProtocol::Ipv6 => &mut self.ipv6,
            EthernetProtocol::Unknown(pppoe::DISCOVERY | pppoe::SESSION) => &mut self.pppoe,
            _ => &mut self.other,
        } += 1;
        let is_fragment = |packet: packet::Packet<'_>| packet.more_fragments || packet.is_later_fragment;
        self.fragments += u64::from(packet::read(payload).is_some_and(is_fragment));
    }
}

/// What went over one link, over all connections to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounts {
    /// From the router to our host.
    pub from_router: FrameCounts,
    /// From our host to the router.
    pub to_router: FrameCounts,
    /// Frames from the router without the tag of the VLAN that the plan names for this side, or with
    /// another one. They are among `from_router` and otherwise ignored.
    pub wrong_vlan: u64,
    /// How often somebody connected.
    pub connections: u64,
}

/// What outlives a connection: counters and capture.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) counts: LinkCounts,
    pub(super) capture: Option<Capture>,
}

impl Record {
    fn capture(&mut self, frame: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.record(frame);
        }
    }
}

/// The frames between a host and the other end of its wire.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
}

/// Sends a frame of `length` bytes that `write` fills in.
pub(super) fn push<R>(
    outbox: &mut Outbox,
    record: &mut Record,
    length: usize,
    write: impl FnOnce(&mut [u8]) -> R,
) -> R {
    let (result, frame) = outbox.push(length, write);
    record.counts.to_router.add(frame);
    record.capture(frame);
    result
}

impl Link {
    /// Takes the next frame, if it has arrived, and the place to answer it.
    pub(super) fn next_frame(&mut self, record: &mut Record) -> Option<(&mut [u8], &mut Outbox)> {
        let frame = self.inbox.next_frame()?;
        record.counts.from_router.add(frame);
        record.capture(frame);
        Some((frame, &mut self.outbox))
    }

    /// Where to put frames; `None` while the other end has to catch up.
    pub(super) fn outbox(&mut self) -> Option<&mut Outbox> {
        if self.outbox.is_full() { None } else { Some(&mut self.outbox) }
    }
}
