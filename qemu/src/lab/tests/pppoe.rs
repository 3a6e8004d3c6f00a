//! PPPoE: a subscriber written by hand, byte by byte, and hostile ones.

use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use smoltcp::wire::Ipv4Packet;

use super::router::send;
use super::{Place, soon};
use crate::lab::{Flow, Lab, Plan, Side, Special};

const ROUTER: [u8; 6] = [0x52, 0x54, 0, 0, 2, 1];
const HOST: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// The end of the WAN link at which a router would be.
struct Subscriber {
    wan: UnixStream,
    lan: UnixStream,
}

impl Subscriber {
    fn connect(place: &Place, plan: Plan) -> (Lab, Subscriber) {
        let mut options = place.options();
        options.plan = plan;
        let lab = place.lab_with(options).unwrap();
        let [lan, wan] = [Side::Lan, Side::Wan].map(|side| super::connect(&lab, side));
        wan.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        lab.connected(soon()).unwrap();
        (lab, Subscriber { wan, lan })
    }

    /// Sends a frame of PPPoE; `kind` is the last byte of the type.
    fn say(&mut self, kind: u8, code: u8, session: u16, payload: &[u8]) {
        let mut frame = [&HOST[..], &ROUTER, &[0x88, kind, 0x11, code]].concat();
        frame.extend(session.to_be_bytes());
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload);
        // Short frames are padded on a real wire, which must not matter.
        frame.resize(frame.len().max(60), 0);
        send(&mut self.wan, &frame).unwrap();
    }

    /// The next frame from the WAN host: type, code, session and payload.
    fn hear(&mut self) -> (u8, u8, u16, Vec<u8>) {
        let frame = receive(&mut self.wan).unwrap();
        assert_eq!((&frame[..6], &frame[6..12], frame[12]), (&ROUTER[..], &HOST[..], 0x88));
        assert_eq!(frame.len(), 20 + usize::from(u16::from_be_bytes([frame[18], frame[19]])));
        (frame[13], frame[15], u16::from_be_bytes([frame[16], frame[17]]), frame[20..].to_vec())
    }

    /// Discovery and negotiation up to IP; the session's number.
    fn dial(&mut self) -> u16 {
        self.say(0x63, 0x09, 0, &[1, 1, 0, 0, 1, 3, 0, 1, 42]);
        let (kind, code, session, tags) = self.hear();
        assert_eq!((kind, code, session), (0x63, 0x07, 0));
        assert_eq!(tags, *b"\x01\x01\0\0\x01\x03\0\x01\x2a\x01\x02\0\x03lab");
        self.say(0x63, 0x19, 0, &[1, 1, 0, 0]);
        let (kind, code, session, _) = self.hear();
        assert_eq!((kind, code), (0x63, 0x65));
        assert_ne!(session, 0);
        // What comes before its time is passed over.
        self.say(0x64, 0, session, &[0x80, 0x21, 1, 1, 0, 4]);
        // LCP: they ask for 1,492 and a magic number, we agree to that and to nothing else.
        self.say(0x64, 0, session, &[0xc0, 0x21, 1, 1, 0, 10, 3, 4, 0xc0, 0x23, 7, 2]);
        assert_eq!(self.hear().3, b"\xc0\x21\x01\x01\0\x0e\x01\x04\x05\xd4\x05\x06lab.");
        assert_eq!(self.hear().3, [0xc0, 0x21, 4, 1, 0, 10, 3, 4, 0xc0, 0x23, 7, 2], "no authentication");
        self.say(0x64, 0, session, &[0xc0, 0x21, 2, 1, 0, 14, 1, 4, 5, 0xd4, 5, 6, b'l', b'a', b'b', b'.']);
        self.say(0x64, 0, session, &[0xc0, 0x21, 1, 2, 0, 4]);
        assert_eq!(self.hear().3, [0xc0, 0x21, 2, 2, 0, 4]);
        // An echo, and a protocol that nobody speaks.
        self.say(0x64, 0, session, &[0xc0, 0x21, 9, 7, 0, 9, 0, 0, 0, 0, 9]);
        assert_eq!(self.hear().3, b"\xc0\x21\x0a\x07\0\x09lab.\x09");
        self.say(0x64, 0, session, &[0x80, 0xfd, 1, 1, 0, 4]);
        assert_eq!(self.hear().3, [0xc0, 0x21, 8, 1, 0, 10, 0x80, 0xfd, 1, 1, 0, 4]);
        // IPCP: 0.0.0.0 is answered with the address of the plan.
        self.say(0x64, 0, session, &[0x80, 0x21, 1, 1, 0, 10, 3, 6, 0, 0, 0, 0]);
        assert_eq!(self.hear().3, [0x80, 0x21, 1, 1, 0, 10, 3, 6, 203, 0, 113, 2]);
        assert_eq!(self.hear().3, [0x80, 0x21, 3, 1, 0, 10, 3, 6, 203, 0, 113, 1]);
        self.say(0x64, 0, session, &[0x80, 0x21, 2, 1, 0, 10, 3, 6, 203, 0, 113, 2]);
        self.say(0x64, 0, session, &[0x80, 0x21, 1, 2, 0, 10, 3, 6, 203, 0, 113, 1]);
        let (ours, theirs) = (self.hear().3, [0x80, 0x21, 2, 2, 0, 10, 3, 6, 203, 0, 113, 1]);
        assert_eq!(ours, theirs);
        session
    }

    /// Passes IPv4 packets on both ways, translating nothing, until the lab hangs up.
    fn forward(mut self, session: u16) -> [std::thread::JoinHandle<()>; 2] {
        let [mut lan, mut wan] = [&self.lan, &self.wan].map(|socket| socket.try_clone().unwrap());
        let mut to_lan = self.lan.try_clone().unwrap();
        let to_wan = std::thread::spawn(move || {
            while let Some(frame) = receive(&mut lan) {
                match frame[12..14] {
                    [8, 6] => send(&mut lan, &arp_answer(&frame)).unwrap_or_default(),
                    [8, 0] => self.say(0x64, 0, session, &[&[0, 0x21], &frame[14..]].concat()),
                    _ => {}
                }
            }
        });
        let from_wan = std::thread::spawn(move || {
            while let Some(frame) = receive(&mut wan) {
                assert_eq!(frame[20..22], [0, 0x21], "IPv4 in PPP");
                let packet = &frame[22..];
                assert!(packet.len() <= 1492 && Ipv4Packet::new_checked(packet).is_ok());
                send(&mut to_lan, &[&[2, 0, 0, 0, 1, 2][..], &ROUTER, &[8, 0], packet].concat()).unwrap_or_default();
            }
        });
        [to_wan, from_wan]
    }
}

/// The next frame; `None` when the lab has hung up.
fn receive(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// RFC 826: whatever address is asked for, it is the router's.
fn arp_answer(question: &[u8]) -> Vec<u8> {
    let (who, asked) = (&question[22..32], &question[38..42]);
    [&question[6..12], &ROUTER, &question[12..20], &[0, 2], &ROUTER, asked, who].concat()
}

#[test]
fn a_subscriber_gets_a_session_an_address_and_a_way_for_its_packets() {
    let place = Place::new();
    let (lab, mut subscriber) = Subscriber::connect(&place, Plan::pppoe());
    let session = subscriber.dial();
    let hung_up = subscriber.forward(session);
    let far = (Ipv4Addr::new(203, 0, 113, 2), 5000).into();
    let mut udp = lab.open(Flow { sizes: vec![1000, 1464], ..Flow::udp(Side::Lan, far) }, soon()).unwrap();
    udp.exchange(400, soon()).unwrap();
    let fragments = Special { fragment: Some(800), ..Special::default() };
    assert_eq!(udp.exchange_special(&fragments, 20, soon()).unwrap().returned, 20);
    let report = udp.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!((report.there.wire.packets, report.there.wire.fragmented), (420, 20));
    let mut tcp = lab.open(Flow::tcp(Side::Lan, far), soon()).unwrap();
    tcp.exchange(300_000, soon()).unwrap();
    let report = tcp.close(soon()).unwrap();
    report.check().unwrap();
    assert!(report.there.wire.bytes <= report.there.wire.packets * 1492, "{report:?}");
    let counts = lab.counts().unwrap().wan;
    assert_eq!((counts.from_router.pppoe, counts.from_router.ipv4), (counts.from_router.frames, 0));
    drop(lab);
    for thread in hung_up {
        thread.join().unwrap();
    }
}

#[test]
fn a_session_ends_with_its_last_word_and_another_may_follow() {
    let place = Place::new();
    let (lab, mut subscriber) = Subscriber::connect(&place, Plan::pppoe());
    let first = subscriber.dial();
    // Echo requests show what is alive: to nobody else's session, and not after the end.
    let echo = [0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0];
    subscriber.say(0x64, 0, first + 1, &echo);
    subscriber.say(0x63, 0xa7, first + 1, &[]);
    subscriber.say(0x64, 0, first, &[0xc0, 0x21, 5, 9, 0, 4]);
    assert_eq!(subscriber.hear().3, [0xc0, 0x21, 6, 9, 0, 4], "an end is confirmed");
    subscriber.say(0x63, 0xa7, first, &[]);
    subscriber.say(0x64, 0, first, &echo);
    assert_eq!(subscriber.dial(), first + 1, "nothing was heard in between");
    drop(lab);
}

#[test]
fn an_mtu_that_pppoe_has_no_room_for_is_refused() {
    let place = Place::new();
    let mut options = place.options();
    options.plan = Plan::pppoe();
    options.plan.wan.mtu = 1493;
    assert_eq!(place.lab_with(options).unwrap_err().id(), "LAB005");
}

#[test]
fn a_line_may_have_a_vlan_around_it() {
    let place = Place::new();
    let mut plan = Plan::pppoe();
    plan.wan.vlan = Some(7);
    let (_lab, mut subscriber) = Subscriber::connect(&place, plan);
    let frame = [&HOST[..], &ROUTER, &[0x81, 0, 0, 7, 0x88, 0x63, 0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0], &[0; 30]].concat();
    send(&mut subscriber.wan, &frame).unwrap();
    let offer = receive(&mut subscriber.wan).unwrap();
    assert_eq!(offer[12..20], [0x81, 0, 0, 7, 0x88, 0x63, 0x11, 7]);
}
