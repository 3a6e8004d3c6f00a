//! What is noted about the packets that arrive at a host.
//!
//! smoltcp keeps hop limits, packet counts and most ICMP errors to itself, so they are taken from the
//! packets here, before it gets them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv6Packet,
};

use super::packet::{self, Port, Refusal};
use super::report::{Arrivals, Refusals};

/// A neighbour that we asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbour {
    pub(super) asked: Instant,
    pub(super) answered: Option<Instant>,
}

/// What is noted about one port.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Noted {
    pub(super) arrivals: Arrivals,
    pub(super) refusals: Refusals,
}

/// What is noted about the frames that arrive.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) watched: HashMap<Port, Noted>,
    pub(super) neighbours: HashMap<IpAddr, Neighbour>,
}

impl Notes {
    /// Notes a frame if it is a packet for a watched port or an error about one, or the answer of a
    /// neighbour.
    pub(super) fn frame(&mut self, frame: &[u8]) {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return };
        if matches!(ethernet.ethertype(), EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6) {
            self.packet(ethernet.payload());
        }
        if !self.neighbours.is_empty()
            && let Some(neighbour) = neighbour_of(&ethernet).and_then(|address| self.neighbours.get_mut(&address))
        {
            neighbour.answered = Some(Instant::now());
        }
    }

    /// The part of [`Notes::frame`] that is about IP.
    pub(super) fn packet(&mut self, bytes: &[u8]) {
        let Some(packet) = packet::read(bytes).filter(|packet| packet.length as usize <= bytes.len()) else { return };
        if let Some((_, port)) = packet.ports() {
            if let Some(Noted { arrivals, .. }) = self.watched.get_mut(&port) {
                arrivals.packets += 1;
                arrivals.bytes += u64::from(packet.length);
                let (low, high) = arrivals.hop_limit.unwrap_or((packet.hop_limit, packet.hop_limit));
                arrivals.hop_limit = Some((low.min(packet.hop_limit), high.max(packet.hop_limit)));
                arrivals.fragmented += u64::from(packet.more_fragments);
                arrivals.with_options += u64::from(packet.has_options);
            }
        } else if let Some((refusal, quoted)) = packet.refusal()
            && let Some((port, _)) = packet::read(quoted).and_then(|packet| packet.ports())
            && let Some(Noted { refusals, .. }) = self.watched.get_mut(&port)
        {
            refusals.from = Some(packet.source);
            *match refusal {
                Refusal::Expired => &mut refusals.expired,
                Refusal::TooBig(mtu) => {
                    refusals.mtu = Some(mtu);
                    &mut refusals.too_big
                }
                Refusal::Unreachable => &mut refusals.unreachable,
                Refusal::Other => &mut refusals.other,
            } += 1;
        }
    }
}

/// The neighbour that an ARP reply or a neighbour advertisement (RFC 4861 §4.4) comes from.
fn neighbour_of(frame: &EthernetFrame<&[u8]>) -> Option<IpAddr> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::traffic::Transport;

    #[test]
    fn packets_are_told_by_port_and_everything_else_is_passed_over() {
        // An IPv4 UDP packet to port 9 with TTL 63, written by hand after RFC 791 and RFC 768.
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 63, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0, 7, 0, 9, 0, 8, 0, 0]);
        let mut notes = Notes::default();
        notes.watched.insert((Transport::Udp, 9), Noted::default());
        for end in 0..frame.len() {
            notes.frame(&frame[..end]);
        }
        notes.frame(&frame);
        frame[22] = 61;
        notes.frame(&frame);
        frame[12] = 0x88;
        notes.frame(&frame);
        let seen = notes.watched[&(Transport::Udp, 9)].arrivals;
        assert_eq!((seen.packets, seen.bytes, seen.hop_limit), (2, 56, Some((61, 63))));
    }

    #[test]
    fn an_error_is_noted_for_the_port_that_sent_the_quoted_packet() {
        let mut packet =
            vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 9, 192, 0, 2, 1, 11, 0, 0, 0, 0, 0, 0, 0];
        packet.extend([0x45, 0, 4, 0, 0, 0, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 0, 9, 3, 0xec, 0, 0]);
        let mut notes = Notes::default();
        for port in [7, 9] {
            notes.watched.insert((Transport::Udp, port), Noted::default());
        }
        notes.packet(&packet);
        let Noted { arrivals, refusals } = notes.watched[&(Transport::Udp, 7)];
        assert_eq!((arrivals.packets, refusals.expired, refusals.total()), (0, 1, 1));
        assert_eq!(refusals.from, Some([192, 0, 2, 9].into()));
        assert_eq!(notes.watched[&(Transport::Udp, 9)].refusals.total(), 0);
    }

    #[test]
    fn the_answer_of_a_neighbour_is_known_and_its_question_is_not() {
        // RFC 826: hardware 1, protocol 0x0800, lengths 6 and 4, operation 2, then the two ends.
        let mut arp = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        arp.extend([2, 0, 0, 0, 0, 2, 192, 0, 2, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 2]);
        let router: IpAddr = [192, 0, 2, 1].into();
        let known = |frame: &[u8]| neighbour_of(&EthernetFrame::new_checked(frame).unwrap());
        assert_eq!(known(&arp), Some(router));
        let asked = Neighbour { asked: Instant::now(), answered: None };
        let mut notes = Notes { neighbours: HashMap::from([(router, asked)]), ..Notes::default() };
        notes.frame(&arp);
        assert!(notes.neighbours[&router].answered.is_some());
        arp[21] = 1;
        assert_eq!(known(&arp), None);

        // RFC 4861 §4.4: an ICMPv6 message of type 136 from fe80::1.
        let mut advertisement = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255];
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        advertisement.extend([136, 0, 0, 0, 0x60, 0, 0, 0]);
        advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(known(&advertisement), Some("fe80::1".parse().unwrap()));
        advertisement[54] = 135;
        assert_eq!(known(&advertisement), None);
    }
}
