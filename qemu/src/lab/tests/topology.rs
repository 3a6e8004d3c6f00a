//! What is around the packets: VLAN tags, unequal MTUs.

use smoltcp::wire::{EthernetFrame, TcpPacket};

use super::router::{Router, honest, payload_length};
use super::{Place, at_once, soon};
use crate::lab::{Flow, Side};

fn wan(port: u16) -> std::net::SocketAddr {
    ([10, 0, 0, 2], port).into()
}

/// Removes the tag of VLAN 10 from what comes from the LAN, and puts it on what goes there, by hand.
fn untag_lan(side: Side, _: u64, frame: &mut Vec<u8>) -> bool {
    match side {
        Side::Lan => {
            assert_eq!(frame[12..16], [0x81, 0, 0, 10], "everything is tagged");
            frame.drain(12..16);
        }
        Side::Wan => {
            assert_ne!(frame[12..14], [0x81, 0], "nothing is tagged");
            frame.splice(12..12, [0x81, 0, 0x60, 10]);
        }
    }
    true
}

#[test]
fn a_side_with_a_vlan_sends_and_takes_nothing_but_tagged_frames() {
    let place = Place::new();
    let mut options = place.options();
    options.plan.lan.vlan = Some(10);
    let lab = place.lab_with(options).unwrap();
    let _router = Router::connect(&lab, untag_lan);
    lab.connected(soon()).unwrap();
    for flow in [Flow::udp(Side::Lan, wan(5000)), Flow { sizes: vec![1472], ..Flow::udp(Side::Lan, wan(5001)) }] {
        let mut udp = lab.open(flow, soon()).unwrap();
        udp.exchange(200, soon()).unwrap();
        let report = udp.close(soon()).unwrap();
        report.check().unwrap();
        assert_eq!((report.there.wire.packets, report.back.wire.packets), (200, 200));
    }
    let mut six = lab.open(Flow::tcp(Side::Wan, "[2001:db8::1]:80".parse().unwrap()), soon()).unwrap();
    six.exchange(100_000, soon()).unwrap();
    six.close(soon()).unwrap().check().unwrap();
    let counts = lab.counts().unwrap();
    let lan = counts.lan;
    assert!(lan.from_router.tagged == lan.from_router.frames && lan.to_router.tagged == lan.to_router.frames);
    assert!(lan.from_router.ipv4 >= 400 && lan.from_router.other == 0, "counted by what is behind the tag: {lan:?}");
    assert_eq!((lan.wrong_vlan, counts.wan.wrong_vlan, counts.wan.from_router.tagged), (0, 0, 0));
}

#[test]
fn frames_of_another_vlan_or_none_are_counted_and_not_taken() {
    let place = Place::new();
    let mut options = place.options();
    options.plan.lan.vlan = Some(10);
    let lab = place.lab_with(options).unwrap();
    // What goes to the LAN gets the tag of VLAN 11 and none in turn.
    let _router = Router::connect(&lab, |side, number, frame| {
        if side == Side::Lan {
            frame.drain(12..16);
        } else if number % 2 == 0 {
            frame.splice(12..12, [0x81, 0, 0, 11]);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(Flow::udp(Side::Lan, wan(5000)), soon()).unwrap();
    assert_eq!(udp.exchange(1, at_once()).unwrap_err().id(), "LAB007");
    let lan = lab.counts().unwrap().lan;
    assert!(lan.wrong_vlan > 1 && lan.wrong_vlan == lan.from_router.frames, "{lan:?}");
    assert_eq!(udp.report().unwrap().back.wire.packets, 0);
}

#[test]
fn a_vlan_that_cannot_be_is_refused() {
    for vlan in [0, 4095] {
        let place = Place::new();
        let mut options = place.options();
        options.plan.wan.vlan = Some(vlan);
        assert_eq!(place.lab_with(options).unwrap_err().id(), "LAB005");
    }
}

#[test]
fn the_smaller_of_two_mtus_bounds_segments_both_ways() {
    for (lan, wan_mtu) in [(1500, 1280), (1400, 1500)] {
        let place = Place::new();
        let mut options = place.options();
        (options.plan.lan.mtu, options.plan.wan.mtu) = (lan, wan_mtu);
        let lab = place.lab_with(options).unwrap();
        // A router between such links: neither gets a packet that is too large for it.
        let _router = Router::connect(&lab, |_, _, frame| {
            let ethernet = EthernetFrame::new_unchecked(&frame[..]);
            let syn = payload_length(frame) == Some(0) && TcpPacket::new_unchecked(&ethernet.payload()[20..]).syn();
            assert!(syn || frame.len() <= 14 + 1400, "{} bytes", frame.len());
            true
        });
        lab.connected(soon()).unwrap();
        let mut tcp = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
        tcp.exchange(500_000, soon()).unwrap();
        let report = tcp.close(soon()).unwrap();
        report.check().unwrap();
        let most = lan.min(wan_mtu) as u64;
        for way in [&report.there, &report.back] {
            assert!(way.wire.bytes <= way.wire.packets * most, "{way:?}");
            assert!(way.wire.packets >= 500_000 / (most - 40), "{way:?}");
        }
    }
}

#[test]
fn sixteen_flows_to_one_host_are_open_at_once() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let flow = |n: u16| {
        if n.is_multiple_of(2) { Flow::udp(Side::Lan, wan(5000 + n)) } else { Flow::tcp(Side::Lan, wan(5000 + n)) }
    };
    let mut handles: Vec<_> = (0..16).map(|n| lab.open(Flow { seed: n.into(), ..flow(n) }, soon()).unwrap()).collect();
    for _ in 0..2 {
        for handle in &mut handles {
            handle.exchange(100, soon()).unwrap();
        }
    }
    let mut sources: Vec<_> = handles.iter().map(|handle| handle.near().port()).collect();
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 16);
    for handle in handles {
        handle.close(soon()).unwrap().check().unwrap();
    }
}
