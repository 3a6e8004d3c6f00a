//! The far end of a tunnel that the router makes: IP packets in IP packets (RFC 2003; RFC 2784, without options; RFC 4213),
//! or in WireGuard's datagrams.
//!
//! What comes through the tunnel is handed to the stack as if it had come by itself, and what goes to an address that was
//! last heard through the tunnel goes back through it. Everything else passes by.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, UdpPacket};

use super::packet::{self, ETHERNET_HEADER};
use super::plan::{HostPlan, Tunnel};
use super::wireguard::Peer;

/// Bytes of the outer IPv4 header.
const IPV4: usize = 20;

/// Bytes of a GRE header without options.
const GRE: usize = 4;

/// Bytes of a UDP header.
const UDP: usize = 8;

/// The port of WireGuard that its documentation uses.
const WIREGUARD_PORT: u16 = 51820;

/// One end of a tunnel.
#[derive(Debug)]
pub(super) struct End {
    kind: Tunnel,
    /// What encrypts, in WireGuard's.
    peer: Option<Peer>,
    near: Ipv4Addr,
    /// The router's end: whoever sent the last packet, and from which UDP port.
    far: Option<(Ipv4Addr, u16)>,
    behind: HashSet<IpAddr>,
    answers: Vec<Vec<u8>>,
}

impl End {
    pub(super) fn new(plan: &HostPlan) -> Option<End> {
        let (kind, near) = plan.tunnel?;
        let peer = (kind == Tunnel::WireGuard).then(Peer::new);
        Some(End { kind, peer, near, far: None, behind: HashSet::new(), answers: Vec::new() })
    }

    /// The frame without what the tunnel put around its packet; as it is where it did not come through the tunnel; empty
    /// where it was for the tunnel itself.
    pub(super) fn take_off<'a>(&mut self, frame: &'a mut [u8]) -> &'a mut [u8] {
        let Some((outer, far)) = self.outer_of(frame) else {
            if let Some(plain) = frame.get(ETHERNET_HEADER..).and_then(packet::read) {
                self.behind.remove(&plain.source);
            }
            return frame;
        };
        let start = ETHERNET_HEADER + outer;
        let Some(length) = self.open(frame, start, far) else { return &mut [] };
        let kind: [u8; 2] = match frame.get(start).map(|first| first >> 4) {
            Some(4) => [0x08, 0x00],
            Some(6) => [0x86, 0xdd],
            _ => return frame,
        };
        self.far = Some(far);
        if let Some(inner) = packet::read(&frame[start..]) {
            self.behind.insert(inner.source);
        }
        frame.copy_within(..ETHERNET_HEADER, outer);
        frame[start - 2..start].copy_from_slice(&kind);
        &mut frame[outer..start + length]
    }

    /// Frames that the tunnel itself has to say, in answer to what was taken off last.
    pub(super) fn answers(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.answers)
    }

    /// Bytes of the headers around the packet in a frame that came through the tunnel, and who sent it.
    fn outer_of(&self, frame: &[u8]) -> Option<(usize, (Ipv4Addr, u16))> {
        if frame.get(ETHERNET_HEADER - 2..ETHERNET_HEADER)? != [0x08, 0x00] {
            return None;
        }
        let outer = Ipv4Packet::new_checked(frame.get(ETHERNET_HEADER..)?).ok()?;
        let header = usize::from(outer.header_len());
        if outer.dst_addr() != self.near || u8::from(outer.next_header()) != self.kind.protocol() {
            return None;
        }
        let rest = frame.get(ETHERNET_HEADER + header..)?;
        let (between, port) = match self.kind {
            // Checksums, keys and sequence numbers are options that nobody asked for.
            Tunnel::Gre => ((rest.get(..GRE)?[..2] == [0, 0]).then_some(GRE)?, 0),
            Tunnel::Ipip | Tunnel::Sit => (0, 0),
            Tunnel::WireGuard => {
                let datagram = UdpPacket::new_checked(rest).ok()?;
                (UDP, (datagram.dst_port() == WIREGUARD_PORT).then_some(datagram.src_port())?)
            }
        };
        Some((header + between, (outer.src_addr(), port)))
    }

    /// Decrypts the packet that begins at `start`, in its place: its length. `None` when nothing of it is for the stack.
    fn open(&mut self, frame: &mut [u8], start: usize, far: (Ipv4Addr, u16)) -> Option<usize> {
        let Some(peer) = &mut self.peer else { return Some(frame.len() - start) };
        let opened = peer.open(far.0, &frame[start..]);
        let (to, from) = (&frame[6..12], &frame[..6]);
        let head = [to, from, &[0x08, 0x00]].concat();
        for datagram in opened.answers {
            self.answers.extend(self.outer(&head, far, &datagram));
        }
        let packet = opened.packet?;
        frame.get_mut(start..start + packet.len())?.copy_from_slice(&packet);
        Some(packet.len())
    }

    /// What to send in place of a frame to an address behind the tunnel; `None` when it is sent as it is.
    pub(super) fn put_on(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let (head, inner) = frame.split_at_checked(ETHERNET_HEADER)?;
        let far = self.far.filter(|_| destination(inner).is_some_and(|address| self.behind.contains(&address)))?;
        let head = [&head[..ETHERNET_HEADER - 2], &[0x08, 0x00]].concat();
        match (self.kind, inner.first()? >> 4) {
            (Tunnel::Gre, 4) => self.outer(&head, far, &[&[0, 0, 0x08, 0x00], inner].concat()),
            (Tunnel::Gre, _) => self.outer(&head, far, &[&[0, 0, 0x86, 0xdd], inner].concat()),
            (Tunnel::Ipip, 4) | (Tunnel::Sit, 6) => self.outer(&head, far, inner),
            (Tunnel::WireGuard, _) => {
                let datagram = self.peer.as_mut()?.seal(inner)?;
                self.outer(&head, far, &datagram)
            }
            _ => None,
        }
    }

    /// A frame to the router's end, with the headers outside.
    fn outer(&self, head: &[u8], (far, port): (Ipv4Addr, u16), payload: &[u8]) -> Option<Vec<u8>> {
        let mut between = Vec::new();
        if self.kind == Tunnel::WireGuard {
            between.resize(UDP, 0);
            let mut datagram = UdpPacket::new_unchecked(&mut between[..]);
            datagram.set_src_port(WIREGUARD_PORT);
            datagram.set_dst_port(port);
            // Without a checksum, as IPv4 allows: what is inside has its own proof.
            datagram.set_len(u16::try_from(UDP + payload.len()).ok()?);
        }
        let mut outer = [0; IPV4];
        let length = u16::try_from(IPV4 + between.len() + payload.len()).ok()?;
        let mut header = Ipv4Packet::new_unchecked(&mut outer[..]);
        header.set_version(4);
        header.set_header_len(20);
        header.set_total_len(length);
        header.set_dont_frag(true);
        header.set_hop_limit(64);
        header.set_next_header(IpProtocol::from(self.kind.protocol()));
        header.set_src_addr(self.near);
        header.set_dst_addr(far);
        header.fill_checksum();
        Some([head, &outer, &between, payload].concat())
    }
}

/// Where an IP packet is to go.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => packet.get(16..20)?.try_into().ok().map(<[u8; 4]>::into),
        6 => packet.get(24..40)?.try_into().ok().map(<[u8; 16]>::into),
        _ => None,
    }
}

impl Tunnel {
    /// Its number in the outer header.
    fn protocol(self) -> u8 {
        match self {
            Tunnel::Ipip => 4,
            Tunnel::Sit => 41,
            Tunnel::Gre => 47,
            Tunnel::WireGuard => 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::plan::Plan;

    const NEAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

    fn end(kind: Tunnel) -> End {
        End::new(&HostPlan { tunnel: Some((kind, NEAR)), ..Plan::masquerade().wan }).unwrap()
    }

    /// An IP packet with a few bytes of UDP.
    fn inner(version: u8, source: u8, destination: u8) -> Vec<u8> {
        let mut packet = match version {
            4 => {
                let mut packet = vec![0; 20];
                let mut header = Ipv4Packet::new_unchecked(&mut packet[..]);
                header.set_version(4);
                header.set_header_len(20);
                header.set_total_len(32);
                header.set_hop_limit(9);
                header.set_next_header(IpProtocol::Udp);
                header.set_src_addr([10, 0, 0, source].into());
                header.set_dst_addr([10, 0, 0, destination].into());
                header.fill_checksum();
                packet
            }
            _ => {
                let mut packet = [&[0x60, 0, 0, 0, 0, 12, 17, 9][..], &[0; 32]].concat();
                (packet[23], packet[39]) = (source, destination);
                packet
            }
        };
        packet.extend([0, 7, 0, 7, 0, 12, 0, 0, 1, 2, 3, 4]);
        packet
    }

    fn frame(version: u8, inner: &[u8]) -> Vec<u8> {
        let kind = if version == 4 { [8, 0] } else { [0x86, 0xdd] };
        [&[1; 6][..], &[2; 6], &kind, inner].concat()
    }

    #[test]
    fn what_goes_out_comes_back_as_it_was_and_only_to_whom_was_heard() {
        for (kind, version) in [(Tunnel::Ipip, 4), (Tunnel::Sit, 6), (Tunnel::Gre, 4), (Tunnel::Gre, 6)] {
            // The router's end says the same the other way round.
            let (mut ours, mut theirs) = (end(kind), end(kind));
            theirs.near = [203, 0, 113, 1].into();
            (theirs.far, theirs.behind) = (Some((NEAR, 0)), [destination(&inner(version, 1, 2)).unwrap()].into());
            let plain = frame(version, &inner(version, 1, 2));
            let mut sent = theirs.put_on(&plain).unwrap();
            assert_eq!(sent.len(), plain.len() + IPV4 + if kind == Tunnel::Gre { GRE } else { 0 });
            let back = frame(version, &inner(version, 2, 1));
            assert_eq!(ours.put_on(&back), None, "nobody was heard through it");
            assert_eq!(ours.take_off(&mut sent), plain.clone());
            assert!(ours.put_on(&back).is_some());
            assert_eq!(ours.put_on(&frame(version, &inner(version, 2, 3))), None, "somebody else");
            // What is for others, or comes by itself, stays as it is, and is answered so.
            let mut other = plain.clone();
            assert_eq!(ours.take_off(&mut other), plain);
            assert_eq!(ours.put_on(&back), None);
            ours.near = [203, 0, 113, 8].into();
            let mut elsewhere = theirs.put_on(&plain).unwrap();
            assert_eq!(ours.take_off(&mut elsewhere.clone()), &mut elsewhere[..]);
        }
    }

    #[test]
    fn a_header_of_gre_that_is_cut_off_is_none() {
        for header in [&[][..], &[0, 0], &[0, 0, 8]] {
            let mut outer = inner(4, 1, 2);
            outer.truncate(IPV4);
            outer[3] = u8::try_from(IPV4 + header.len()).unwrap();
            outer[9] = Tunnel::Gre.protocol();
            outer[16..20].copy_from_slice(&NEAR.octets());
            let mut short = frame(4, &[&outer, header].concat());
            let before = short.clone();
            assert_eq!(end(Tunnel::Gre).take_off(&mut short), before);
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(mut bytes in prop::collection::vec(any::<u8>(), 0..80), clear in any::<bool>()) {
            for kind in [Tunnel::Ipip, Tunnel::Sit, Tunnel::Gre, Tunnel::WireGuard] {
                let mut end = end(kind);
                if bytes.len() >= ETHERNET_HEADER + IPV4 {
                    let length = u16::try_from(bytes.len() - ETHERNET_HEADER).unwrap();
                    bytes[12..14].copy_from_slice(&[8, 0]);
                    bytes[14] = 0x45;
                    bytes[16..18].copy_from_slice(&length.to_be_bytes());
                    bytes[23] = kind.protocol();
                    bytes[30..34].copy_from_slice(&NEAR.octets());
                }
                // No options of GRE; or the port and the length of a datagram of WireGuard's.
                let between = bytes.len().min(34)..bytes.len().min(42);
                if clear && kind == Tunnel::Gre {
                    bytes[between].fill(0);
                } else if clear && between.len() == UDP {
                    let length = u16::try_from(bytes.len() - 34).unwrap();
                    bytes[36..38].copy_from_slice(&WIREGUARD_PORT.to_be_bytes());
                    bytes[38..40].copy_from_slice(&length.to_be_bytes());
                }
                let mut frame = bytes.clone();
                let _ = end.take_off(&mut frame);
                let _ = end.put_on(&bytes);
            }
        }
    }
}
