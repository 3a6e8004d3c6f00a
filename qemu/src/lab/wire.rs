//! A link as smoltcp sees it, and what is noted about the frames that arrive there.
//!
//! smoltcp keeps hop limits and packet counts to itself, so they are taken from the frames here,
//! before it gets them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv4Packet, Ipv6Packet,
};

use super::link::{Link, Outbox, Record};
use super::traffic::Transport;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_HEADER: usize = 14;

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
}

/// A port of a host, as packets name it.
pub(super) type Port = (Transport, u16);

/// A neighbour that we asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbour {
    pub(super) asked: Instant,
    pub(super) answered: Option<Instant>,
}

/// What is noted about the frames that arrive.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) watched: HashMap<Port, Arrivals>,
    pub(super) neighbours: HashMap<IpAddr, Neighbour>,
}

impl Notes {
    /// Notes an arriving frame if it is a packet for a watched port, or the answer of a neighbour.
    fn note(&mut self, frame: &[u8]) {
        if let Some((port, bytes, hop_limit)) = port_of(frame) {
            if let Some(arrivals) = self.watched.get_mut(&port) {
                arrivals.packets += 1;
                arrivals.bytes += u64::from(bytes);
                let (low, high) = arrivals.hop_limit.unwrap_or((hop_limit, hop_limit));
                arrivals.hop_limit = Some((low.min(hop_limit), high.max(hop_limit)));
            }
        } else if let Some(neighbour) = neighbour_of(frame).and_then(|address| self.neighbours.get_mut(&address)) {
            neighbour.answered = Some(Instant::now());
        }
    }
}

/// The neighbour that an ARP reply or a neighbour advertisement (RFC 4861 §4.4) comes from.
fn neighbour_of(frame: &[u8]) -> Option<IpAddr> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let answer = ArpPacket::new_checked(frame.payload()).ok()?;
            let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, .. } = ArpRepr::parse(&answer).ok()? else {
                return None;
            };
            (operation == ArpOperation::Reply).then_some(source_protocol_addr.into())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let icmp = Icmpv6Packet::new_checked(packet.payload()).ok()?;
            let is_answer =
                packet.next_header() == IpProtocol::Icmpv6 && icmp.msg_type() == Icmpv6Message::NeighborAdvert;
            is_answer.then(|| packet.src_addr().into())
        }
        _ => None,
    }
}

/// Destination port, IP length and hop limit of a TCP or UDP packet in a frame. Later fragments have
/// no ports and IPv6 packets with extension headers are passed over: neither is sent by a flow.
fn port_of(frame: &[u8]) -> Option<(Port, u32, u8)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (protocol, segment, length, hop_limit) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            if packet.frag_offset() != 0 {
                return None;
            }
            (packet.next_header(), packet.payload(), packet.total_len().into(), packet.hop_limit())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            (packet.next_header(), packet.payload(), 40 + u32::from(packet.payload_len()), packet.hop_limit())
        }
        _ => return None,
    };
    let transport = match protocol {
        IpProtocol::Tcp => Transport::Tcp,
        IpProtocol::Udp => Transport::Udp,
        _ => return None,
    };
    // Both protocols start with the source and the destination port.
    let port = segment.get(2..4).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes)?;
    Some(((transport, port), length, hop_limit))
}

/// What the stack needs to know of an Ethernet device.
fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = mtu + ETHERNET_HEADER;
    capabilities
}

/// A link, as smoltcp sees it.
pub(super) struct Wire<'a> {
    pub(super) link: &'a mut Link,
    pub(super) record: &'a mut Record,
    pub(super) notes: &'a mut Notes,
    pub(super) mtu: usize,
}

/// A frame that arrived.
pub(super) struct Arrived<'a>(&'a [u8]);

/// Room for a frame.
pub(super) struct Room<'a> {
    outbox: &'a mut Outbox,
    record: &'a mut Record,
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.outbox.push(self.record, length, write)
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Arrived<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        let (frame, outbox) = self.link.next_frame(self.record)?;
        self.notes.note(frame);
        Some((Arrived(frame), Room { outbox, record: self.record }))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        Some(Room { outbox: self.link.outbox()?, record: self.record })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

/// A device without a wire: an interface can only be made with a device at hand, and no link exists
/// before QEMU connects.
pub(super) struct NoWire {
    pub(super) mtu: usize,
}

impl Device for NoWire {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        None
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::lab::host::Host;
    use crate::lab::plan::{Plan, Side};

    #[test]
    fn packets_are_told_by_port_and_everything_else_is_passed_over() {
        // An IPv4 UDP packet to port 9 with TTL 63, written by hand after RFC 791 and RFC 768.
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 63, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0, 7, 0, 9, 0, 8, 0, 0]);
        assert_eq!(port_of(&frame), Some(((Transport::Udp, 9), 28, 63)));

        let mut notes = Notes::default();
        notes.watched.insert((Transport::Udp, 9), Arrivals::default());
        notes.note(&frame);
        frame[22] = 61;
        notes.note(&frame);
        let seen = notes.watched[&(Transport::Udp, 9)];
        assert_eq!((seen.packets, seen.bytes, seen.hop_limit), (2, 56, Some((61, 63))));

        for end in 0..frame.len() {
            assert_eq!(port_of(&frame[..end]), None, "cut at {end}");
        }
        frame[21] = 1; // a later fragment
        assert_eq!(port_of(&frame), None);
        frame[12] = 0x88;
        assert_eq!(port_of(&frame), None);
    }

    #[test]
    fn the_answer_of_a_neighbour_is_known_and_its_question_is_not() {
        // RFC 826: hardware 1, protocol 0x0800, lengths 6 and 4, operation 2, then the two ends.
        let mut arp = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        arp.extend([2, 0, 0, 0, 0, 2, 192, 0, 2, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 2]);
        let router: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(neighbour_of(&arp), Some(router));
        let asked = Neighbour { asked: Instant::now(), answered: None };
        let mut notes = Notes { neighbours: HashMap::from([(router, asked)]), ..Notes::default() };
        notes.note(&arp);
        assert!(notes.neighbours[&router].answered.is_some());
        arp[21] = 1;
        assert_eq!(neighbour_of(&arp), None);

        // RFC 4861 §4.4: an ICMPv6 message of type 136 from fe80::1.
        let mut advertisement = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255];
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        advertisement.extend([136, 0, 0, 0, 0x60, 0, 0, 0]);
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(neighbour_of(&advertisement), Some("fe80::1".parse().unwrap()));
        advertisement[54] = 135;
        assert_eq!(neighbour_of(&advertisement), None);
    }

    /// Frames that look like something up to a point.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(vec![[8_u8, 0, 0x45], [8, 6, 0], [0x86, 0xdd, 0x60], [0x88, 0xcc, 0]]);
        let protocol = prop::sample::select(vec![1_u8, 2, 6, 17, 58, 0, 44]);
        (kind, protocol, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(kind, protocol, mut bytes)| {
            let mut frame = vec![0xff; 12];
            frame.extend(&kind[..2]);
            if let Some(first) = bytes.first_mut() {
                *first = kind[2];
            }
            let length = bytes.len().to_be_bytes();
            let behind_ipv6 = bytes.len().saturating_sub(40).to_be_bytes();
            match kind[0] {
                8 if bytes.len() > 20 => {
                    bytes[2..4].copy_from_slice(&length[6..]);
                    bytes[9] = protocol;
                    bytes[16..20].copy_from_slice(&[192, 168, 1, 2]);
                    Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
                }
                0x86 if bytes.len() > 40 => {
                    bytes[4..6].copy_from_slice(&behind_ipv6[6..]);
                    bytes[6] = protocol;
                }
                _ => {}
            }
            frame.extend(bytes);
            frame
        })
    }

    proptest! {
        #[test]
        fn no_frame_breaks_the_notes_or_the_stack(frames in prop::collection::vec(frames(), 1..20)) {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut link = Link::new(Side::Lan, ours).unwrap();
            let (mut host, mut record) = (Host::new(Plan::masquerade().lan, Instant::now()), Record::default());
            let socket = host.add_tcp(1000);
            host.tcp(socket).listen(80).unwrap();
            for frame in &frames {
                let (_, _) = (port_of(frame), neighbour_of(frame));
                theirs.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
                theirs.write_all(frame).unwrap();
            }
            link.fill().unwrap();
            host.poll(&mut link, &mut record);
            prop_assert_eq!(record.counts.from_router.frames, frames.len() as u64);
        }
    }
}
