//! The host as a peer of WireGuard: handshakes are answered, and packets encrypted (https://www.wireguard.com/protocol).
//!
//! The router begins; both know each other's keys, which are no secrets.

use std::fmt;
use std::net::Ipv4Addr;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

/// The private key of the host. Scenarios name the public one that belongs to it.
const OURS: [u8; 32] = [1; 32];

/// The private key that a scenario gives the router.
const ROUTERS: [u8; 32] = [2; 32];

/// Bytes that a datagram has more than its packet, or a handshake at most.
const SPARE: usize = 256;

/// A peer with the state of its session.
pub(super) struct Peer(Box<Tunn>);

/// What was in a datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// An IP packet from behind the tunnel.
    pub(super) packet: Option<Vec<u8>>,
    /// Datagrams to send back.
    pub(super) answers: Vec<Vec<u8>>,
}

impl Peer {
    pub(super) fn new() -> Peer {
        Peer::of(OURS, ROUTERS)
    }

    fn of(own: [u8; 32], other: [u8; 32]) -> Peer {
        let other = PublicKey::from(&StaticSecret::from(other));
        Peer(Box::new(Tunn::new(StaticSecret::from(own), other, None, None, 0, None)))
    }

    /// Reads a datagram. One that is not from the router, or not whole, is dropped, as by any peer.
    pub(super) fn open(&mut self, from: Ipv4Addr, datagram: &[u8]) -> Opened {
        let mut opened = Opened::default();
        let mut room = vec![0; datagram.len() + SPARE];
        let mut next = datagram;
        loop {
            match self.0.decapsulate(Some(from.into()), next, &mut room) {
                TunnResult::WriteToNetwork(answer) => opened.answers.push(answer.to_vec()),
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    opened.packet = Some(packet.to_vec());
                    return opened;
                }
                TunnResult::Done | TunnResult::Err(_) => return opened,
            }
            // What waited for the handshake is asked for without a datagram.
            next = &[];
        }
    }

    /// The datagram that carries a packet. Without a session the packet waits: the datagram then begins a handshake, or is
    /// `None` where one was begun a moment ago.
    pub(super) fn seal(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut room = vec![0; packet.len() + SPARE];
        match self.0.encapsulate(packet, &mut room) {
            TunnResult::WriteToNetwork(datagram) => Some(datagram.to_vec()),
            _ => None,
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Peer")
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::*;
    use proptest::prelude::*;

    use super::*;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// A UDP packet of IPv4 with this last byte.
    fn packet(last: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0, 7, 0, 7, 0, 12, 0, 0, 1, 2, 3, last]);
        packet
    }

    #[test]
    fn a_router_shakes_hands_and_packets_go_both_ways() {
        let (mut ours, mut router) = (Peer::new(), Peer::of(ROUTERS, OURS));
        // The first packet waits, and the handshake goes out in its place.
        let hello = router.seal(&packet(1)).unwrap();
        let mut opened = ours.open(ROUTER, &hello);
        assert_eq!((opened.packet, opened.answers.len()), (None, 1));
        let back = router.open(ROUTER, &opened.answers.remove(0));
        let arrived: Vec<_> = back.answers.iter().map(|datagram| ours.open(ROUTER, datagram).packet).collect();
        assert!(arrived.contains(&Some(packet(1))), "{arrived:?}");
        let sealed = ours.seal(&packet(2)).unwrap();
        assert!(!sealed.windows(4).any(|bytes| bytes == [1, 2, 3, 2]), "it is encrypted");
        assert_eq!(router.open(ROUTER, &sealed).packet, Some(packet(2)));
        // Nobody is heard twice, nor with a changed byte.
        assert_eq!(router.open(ROUTER, &sealed), Opened::default());
        let mut changed = ours.seal(&packet(3)).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(router.open(ROUTER, &changed), Opened::default());
    }

    #[test]
    fn a_stranger_is_not_answered() {
        let hello = Peer::of([3; 32], OURS).seal(&packet(1)).unwrap();
        assert_eq!(Peer::new().open(ROUTER, &hello), Opened::default());
    }

    #[test]
    fn the_keys_are_those_that_scenarios_name() {
        let text = include_str!("../../../tests/scenarios/offload-wireguard.yaml");
        for key in [PublicKey::from(&StaticSecret::from(OURS)).to_bytes(), ROUTERS] {
            let key = BASE64_STANDARD.encode(key);
            assert!(text.contains(&key), "{key}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut peer = Peer::new();
            prop_assert_eq!(peer.open(ROUTER, &bytes).packet, None);
            let _ = peer.seal(&bytes);
        }
    }
}
