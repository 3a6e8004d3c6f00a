//! An access concentrator: the provider's end of PPPoE (RFC 2516), as far as a router needs it that
//! is its only subscriber.
//!
//! ```text
//! router                      our host
//!   PADI ───────────────────────>          who offers a service?          [`discovery`]
//!        <─────────────────────── PADO     we do
//!   PADR ───────────────────────>          then a session, please
//!        <─────────────────────── PADS     number 1
//!   LCP  <──────────────────────> LCP      packet sizes, no authentication [`layer`], [`session`]
//!   IPCP <──────────────────────> IPCP     addresses; IPV6CP likewise
//!   IP   <──────────────────────> IP       frames of the stack, 22 bytes longer
//! ```
//!
//! It reads what the router sends, so whatever arrives must do no harm: every reader here takes any
//! bytes, and a packet in is at most a few packets out.

mod control;
mod discovery;
mod layer;
mod session;

pub(super) use discovery::{DISCOVERY, SESSION};

use discovery::{CONFIRMATION, HEADER, INITIATION, OFFER, REQUEST, TERMINATION};
use session::{IPV4, IPV6, Session};

use super::plan::{HostPlan, PPPOE_MTU};

/// Bytes of two addresses and the type of a frame.
const ETHERNET: usize = 14;

/// Bytes in front of an IP packet: those of Ethernet, PPPoE, and the protocol number of PPP.
pub(super) const LENGTH: usize = ETHERNET + HEADER + 2;

/// A concentrator and its session.
#[derive(Debug)]
pub(super) struct Concentrator {
    own: [u8; 6],
    terms: session::Terms,
    /// Number of the last session.
    last: u16,
    current: Option<Subscriber>,
}

/// The other end of a session.
#[derive(Debug)]
struct Subscriber {
    address: [u8; 6],
    number: u16,
    session: Session,
}

/// What a frame was.
pub(super) enum Frame<'a> {
    /// An IP packet of the session.
    Packet(&'a [u8]),
    /// Something else; these frames answer it.
    Answers(Vec<Vec<u8>>),
}

impl Concentrator {
    /// The concentrator of a host whose plan names the router's address.
    pub(super) fn new(plan: &HostPlan) -> Option<Self> {
        let [.., a, b, c, d, e, f, g, h] = plan.link_local.octets();
        let terms = session::Terms {
            own: plan.ipv4.0,
            peer: plan.pppoe?,
            interface: [a, b, c, d, e, f, g, h],
            mru: u16::try_from(plan.mtu.min(PPPOE_MTU)).unwrap_or(u16::MAX),
        };
        Some(Concentrator { own: plan.mac, terms, last: 0, current: None })
    }

    /// Takes a frame from the wire.
    pub(super) fn receive<'a>(&mut self, frame: &'a [u8]) -> Frame<'a> {
        self.packet(frame).map_or_else(|| Frame::Answers(self.answers(frame).unwrap_or_default()), Frame::Packet)
    }

    /// The IP packet in a frame of the session, if its protocol was agreed upon.
    fn packet<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let (from, kind, bytes) = split(frame)?;
        let packet = discovery::read(bytes).filter(|packet| kind == SESSION && packet.code == 0)?;
        let current = self.current.as_ref()?;
        if current.address != from || current.number != packet.session {
            return None;
        }
        let (protocol, payload) = packet.payload.split_first_chunk::<2>()?;
        current.session.carries(u16::from_be_bytes(*protocol)).then_some(payload)
    }

    fn answers(&mut self, frame: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (from, kind, bytes) = split(frame)?;
        let packet = discovery::read(bytes)?;
        let answer = |kind, code, number, payload: &[u8]| {
            let head = [&from[..], &self.own].concat();
            [&head, &u16::to_be_bytes(kind)[..], &discovery::header(code, number, payload.len()), payload].concat()
        };
        match (kind, packet.code) {
            (DISCOVERY, INITIATION) => {
                Some(vec![answer(DISCOVERY, OFFER, 0, &discovery::answer_tags(packet.payload)?)])
            }
            (DISCOVERY, REQUEST) => {
                let tags = discovery::answer_tags(packet.payload)?;
                // Session 0 means "no session yet", and 0xffff is reserved (RFC 2516).
                self.last = self.last % 0xfffe + 1;
                let answer = answer(DISCOVERY, CONFIRMATION, self.last, &tags);
                self.current = Some(Subscriber { address: from, number: self.last, session: Session::new(self.terms) });
                Some(vec![answer])
            }
            (DISCOVERY, TERMINATION) => {
                self.current.take_if(|current| current.address == from && current.number == packet.session);
                None
            }
            (SESSION, 0) => {
                let current = self.current.as_mut()?;
                if current.address != from || current.number != packet.session {
                    return None;
                }
                let (protocol, payload) = packet.payload.split_first_chunk::<2>()?;
                let said = current.session.receive(u16::from_be_bytes(*protocol), payload);
                let number = packet.session;
                let frame = |(protocol, packet): (u16, Vec<u8>)| {
                    answer(SESSION, 0, number, &[&protocol.to_be_bytes()[..], &packet].concat())
                };
                Some(said.into_iter().map(frame).collect())
            }
            _ => None,
        }
    }

    /// Fills in what stands in front of an IP packet that lies behind [`LENGTH`] unused bytes; whether
    /// there is a session that takes it.
    pub(super) fn put_on(&self, frame: &mut [u8]) -> bool {
        let Some((head, packet)) = frame.split_at_mut_checked(LENGTH) else { return false };
        let protocol = match packet.first().map(|first| first >> 4) {
            Some(4) => IPV4,
            Some(6) => IPV6,
            _ => return false,
        };
        let Some(current) = self.current.as_ref().filter(|current| current.session.carries(protocol)) else {
            return false;
        };
        let header = discovery::header(0, current.number, 2 + packet.len());
        let bytes =
            [&current.address[..], &self.own, &SESSION.to_be_bytes(), &header, &protocol.to_be_bytes()].concat();
        head.copy_from_slice(&bytes);
        true
    }
}

/// Source, type and payload of a frame.
fn split(frame: &[u8]) -> Option<([u8; 6], u16, &[u8])> {
    let (head, payload) = frame.split_first_chunk::<ETHERNET>()?;
    let [_, _, _, _, _, _, a, b, c, d, e, f, high, low] = *head;
    Some(([a, b, c, d, e, f], u16::from_be_bytes([high, low]), payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::plan::Plan;

    /// Packets that get as far as possible: with right headers, and any bytes from some layer on.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let code = prop::sample::select(vec![0, INITIATION, REQUEST, TERMINATION, CONFIRMATION]);
        let protocol = prop::sample::select(vec![0xc021_u16, 0x8021, 0x8057, IPV4, IPV6, 0x80fd]);
        let packet = (0..12_u8, any::<u8>(), bytes()).prop_map(|(code, id, data)| control::write(code, id, &data));
        let inside = prop_oneof![
            bytes(),
            Just(vec![1, 1, 0, 0]),
            (protocol, packet).prop_map(|(protocol, packet)| [&protocol.to_be_bytes()[..], &packet].concat()),
        ];
        (code, 0..3_u16, inside, any::<bool>()).prop_map(|(code, session, payload, cut)| {
            let kind = if code == 0 { SESSION } else { DISCOVERY };
            let head = discovery::header(code, session, payload.len());
            let mut frame = [&[9; 12][..], &kind.to_be_bytes(), &head, &payload].concat();
            frame.truncate(if cut { frame.len() / 2 } else { frame.len() });
            frame
        })
    }

    proptest! {
        #[test]
        fn no_subscriber_breaks_it(frames in prop::collection::vec(frames(), 1..40)) {
            let mut concentrator = Concentrator::new(&Plan::pppoe().wan).unwrap();
            for frame in &frames {
                match concentrator.receive(frame) {
                    Frame::Packet(packet) => prop_assert!(packet.len() + LENGTH <= frame.len()),
                    Frame::Answers(answers) => prop_assert!(answers.len() <= 2 && answers.iter().all(|a| a.len() < 200)),
                }
                let mut room = [0; LENGTH + 1];
                room[LENGTH] = 0x45;
                concentrator.put_on(&mut room);
            }
        }
    }
}
