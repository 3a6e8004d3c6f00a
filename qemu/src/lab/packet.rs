//! The few header fields that the lab looks at itself, read from bytes that may be anything.
//!
//! By hand rather than by smoltcp's readers, which refuse the cut-off packets that ICMP errors quote.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::traffic::Transport;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_HEADER: usize = 14;

/// Numbers of the protocols in IP headers (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A port of a host, as packets name it: for ICMP echo its identifier.
pub(super) type Port = (Transport, u16);

/// An IP header and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    protocol: u8,
    /// Bytes that the packet claims to have, header included.
    pub(super) length: u32,
    pub(super) hop_limit: u8,
    pub(super) has_options: bool,
    /// Whether more fragments follow this one.
    pub(super) more_fragments: bool,
    /// Whether it is a fragment but the first.
    pub(super) is_later_fragment: bool,
    payload: &'a [u8],
}

/// Why a packet was not forwarded or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Expired,
    /// With the MTU of the link that it did not fit.
    TooBig(u32),
    Unreachable,
    Other,
}

/// Reads an IPv4 (RFC 791) or IPv6 (RFC 8200) header, by the version in it. Packets may be cut off
/// behind the header. IPv6 extension headers are not read: no flow of the lab has them.
pub(super) fn read(packet: &[u8]) -> Option<Packet<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let head: &[u8; 20] = packet.first_chunk()?;
            let length = usize::from(head[0] & 0x0f) * 4;
            if length < 20 {
                return None;
            }
            let fragment = u16::from_be_bytes([head[6], head[7]]);
            Some(Packet {
                source: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
                protocol: head[9],
                length: u16::from_be_bytes([head[2], head[3]]).into(),
                hop_limit: head[8],
                has_options: length > 20,
                more_fragments: fragment & 0x2000 != 0,
                is_later_fragment: fragment & 0x1fff != 0,
                payload: packet.get(length..)?,
            })
        }
        6 => {
            let (head, payload) = packet.split_first_chunk::<40>()?;
            let source: [u8; 16] = head[8..24].try_into().ok()?;
            Some(Packet {
                source: IpAddr::V6(Ipv6Addr::from(source)),
                protocol: head[6],
                length: 40 + u32::from(u16::from_be_bytes([head[4], head[5]])),
                hop_limit: head[7],
                has_options: false,
                more_fragments: false,
                is_later_fragment: false,
                payload,
            })
        }
        _ => None,
    }
}

impl<'a> Packet<'a> {
    /// Source and destination of a TCP or UDP packet; for ICMP echo the identifier is both. `None`
    /// for everything else, and for later fragments.
    pub(super) fn ports(&self) -> Option<(Port, Port)> {
        if self.is_later_fragment {
            return None;
        }
        let word = |at: usize| Some(u16::from_be_bytes(self.payload.get(at..at + 2)?.try_into().ok()?));
        let (transport, places) = match (self.protocol, self.payload.first()?) {
            (TCP, _) => (Transport::Tcp, [0, 2]),
            (UDP, _) => (Transport::Udp, [0, 2]),
            // Echo request and reply: RFC 792 and RFC 4443 §4.
            (ICMP, 8 | 0) | (ICMPV6, 128 | 129) => (Transport::Icmp, [4, 4]),
            _ => return None,
        };
        Some(((transport, word(places[0])?), (transport, word(places[1])?)))
    }

    /// What an ICMP error says about the packet that it quotes the beginning of.
    pub(super) fn refusal(&self) -> Option<(Refusal, &'a [u8])> {
        let (head, quoted) = self.payload.split_first_chunk::<8>()?;
        let mtu = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let refusal = match (self.protocol, head[0], head[1]) {
            // RFC 1191 has the MTU in the lower half of the word.
            (ICMP, 3, 4) => Refusal::TooBig(mtu & 0xffff),
            (ICMP, 3, _) | (ICMPV6, 1, _) => Refusal::Unreachable,
            (ICMP, 11, _) | (ICMPV6, 3, _) => Refusal::Expired,
            (ICMPV6, 2, _) => Refusal::TooBig(mtu),
            (ICMP, 12, _) | (ICMPV6, 4, _) => Refusal::Other,
            _ => return None,
        };
        Some((refusal, quoted))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// UDP from port 7 to port 9, written by hand after RFC 791 and RFC 768.
    const UDP_PACKET: [u8; 28] =
        [0x45, 0, 0, 28, 0, 0, 0x40, 0, 63, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 0, 9, 0, 8, 0, 0];

    #[test]
    fn fields_are_where_the_standard_has_them() {
        let packet = read(&UDP_PACKET).unwrap();
        assert_eq!((packet.length, packet.hop_limit, packet.source), (28, 63, [192, 0, 2, 1].into()));
        assert!(!packet.has_options && !packet.more_fragments && !packet.is_later_fragment);
        assert_eq!(packet.ports(), Some(((Transport::Udp, 7), (Transport::Udp, 9))));
        for end in 0..24 {
            assert_eq!(read(&UDP_PACKET[..end]).and_then(|packet| packet.ports()), None, "cut at {end}");
        }

        let mut bytes = UDP_PACKET.to_vec();
        bytes[0] = 0x46;
        bytes.splice(20..20, [1, 1, 1, 0]);
        let packet = read(&bytes).unwrap();
        assert!(packet.has_options && packet.ports() == Some(((Transport::Udp, 7), (Transport::Udp, 9))));

        let mut bytes = UDP_PACKET;
        bytes[6] = 0x20;
        assert!(read(&bytes).unwrap().more_fragments);
        bytes[7] = 1;
        assert_eq!(read(&bytes).unwrap().ports(), None, "later fragments have no ports");
        bytes[0] = 0x44;
        assert_eq!(read(&bytes), None, "a header shorter than any");
    }

    #[test]
    fn errors_are_told_by_type_and_code_and_quote_a_packet() {
        let error = |kind: u8, code: u8| {
            let mut bytes = UDP_PACKET[..20].to_vec();
            bytes[9] = ICMP;
            bytes.extend([kind, code, 0, 0, 0, 0, 0x05, 0x78]);
            bytes.extend(UDP_PACKET);
            bytes
        };
        for (kind, code, refusal) in [
            (3, 4, Refusal::TooBig(1400)),
            (3, 3, Refusal::Unreachable),
            (11, 0, Refusal::Expired),
            (12, 0, Refusal::Other),
        ] {
            let bytes = error(kind, code);
            let (seen, quoted) = read(&bytes).unwrap().refusal().unwrap();
            assert_eq!(seen, refusal);
            assert_eq!(read(quoted).unwrap().ports().unwrap().0, (Transport::Udp, 7));
        }
        assert_eq!(read(&error(0, 0)).unwrap().refusal(), None, "an echo reply is no error");
        let mut six = vec![0x60, 0, 0, 0, 0, 8, ICMPV6, 64];
        six.extend([0; 32]);
        six.extend([2, 0, 0, 0, 0, 0, 5, 0]);
        assert_eq!(read(&six).unwrap().refusal(), Some((Refusal::TooBig(1280), &[][..])));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..80), first in any::<bool>()) {
            if let Some(byte) = bytes.first_mut() {
                *byte = if first { 0x45 } else { 0x60 };
            }
            if let Some(packet) = read(&bytes) {
                let _ = packet.ports();
                if let Some((_, quoted)) = packet.refusal() {
                    let _ = read(quoted).and_then(|packet| packet.ports());
                }
            }
        }
    }
}
