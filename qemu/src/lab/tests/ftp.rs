//! Lines of text, and FTP's use of them.

use smoltcp::wire::{Ipv4Packet, TcpPacket};

use super::router::{Router, honest, payload_length};
use super::{Place, at_once, soon};
use crate::lab::{End, Flow, FtpMode, Side};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 21);

#[test]
fn both_modes_open_a_data_connection_as_announced() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    for (mode, port, from, to) in
        [(FtpMode::Active, 8020, Side::Wan, "10.0.0.1:8020"), (FtpMode::Passive, 8021, Side::Lan, "10.0.0.2:8021")]
    {
        let mut ftp = lab.ftp(SERVER.into(), mode, port, soon()).unwrap();
        assert_eq!(ftp.announced, to.parse().unwrap());
        ftp.data.exchange(200_000, soon()).unwrap();
        ftp.control.exchange(10_000, soon()).unwrap();
        ftp.control.say(End::Far, "226 that was it", soon()).unwrap();
        let data = ftp.data.close(soon()).unwrap();
        data.check().unwrap();
        assert_eq!((data.flow.from, data.there.received.bytes), (from, 200_000));
        let control = ftp.control.close(soon()).unwrap();
        control.check().unwrap();
        assert_eq!(control.there.received.bytes, 10_000, "lines are no payload");
    }
}

/// Rewrites the client's address in lines, as a helper does, and makes the checksum right again.
fn rewrite(frame: &mut [u8]) {
    if payload_length(frame).is_some_and(|length| length > 0) {
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
        let mut tcp = TcpPacket::new_unchecked(packet.payload_mut());
        if tcp.payload_mut().starts_with(b"PORT 10,0,0,1,") {
            tcp.payload_mut()[5..13].copy_from_slice(b"10,9,9,9");
            tcp.fill_checksum(&from, &to);
        }
    }
}

#[test]
fn a_line_is_heard_as_the_router_rewrote_it() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| {
        rewrite(frame);
        true
    });
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(Flow::tcp(Side::Lan, SERVER.into()), soon()).unwrap();
    assert_eq!(flow.say(End::Near, "PORT 10,0,0,1,4,1", soon()).unwrap(), "PORT 10,9,9,9,4,1");
    assert_eq!(flow.say(End::Far, "200 hello", soon()).unwrap(), "200 hello");
    drop(flow);
    let failure = lab.ftp(SERVER.into(), FtpMode::Active, 8020, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB014", model::Exit::Failed));
    assert!(failure.to_string().contains("PORT 10,9,9,9,31,84"), "{failure}");
}

#[test]
fn what_is_no_line_or_does_not_arrive_is_a_failure() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| payload_length(frame).is_none_or(|length| length < 50));
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(Flow::udp(Side::Lan, SERVER.into()), soon()).unwrap();
    assert_eq!(udp.say(End::Near, "hello", soon()).unwrap_err().id(), "LAB005");
    let mut tcp = lab.open(Flow::tcp(Side::Lan, SERVER.into()), soon()).unwrap();
    for text in ["two\nlines", &"x".repeat(999)] {
        assert_eq!(tcp.say(End::Near, text, soon()).unwrap_err().id(), "LAB005");
    }
    assert_eq!(tcp.say(End::Near, &"x".repeat(60), at_once()).unwrap_err().id(), "LAB007");
}
