//! Packets that are out of the ordinary, and ICMP.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use smoltcp::wire::{EthernetAddress, EthernetFrame, Ipv4Packet};

use super::router::{Fate, Router, damage, forward, honest, payload_length};
use super::{Place, soon};
use crate::lab::{Flow, FlowHandle, IpOption, Side, Special, Transport};

const FAR: [u8; 4] = [10, 0, 0, 2];

fn udp() -> Flow {
    Flow { loss_after: Duration::from_millis(200), ..Flow::udp(Side::Lan, (FAR, 5000).into()) }
}

fn hops(limit: u8) -> Special {
    Special { hop_limit: NonZeroU8::new(limit), ..Special::default() }
}

/// A router that counts hops, and answers what expires with an ICMP error (RFC 792).
fn counting(_: Side, _: u64, frame: &mut Vec<u8>) -> Fate {
    if payload_length(frame).is_none() || frame[22] > 1 {
        if frame[12..14] == [8, 0] {
            forward(frame);
        }
        return Fate::On;
    }
    error(frame, [11, 0], 0);
    Fate::Back
}

/// Makes a packet over IPv4 the answer of the router that does not forward it.
fn error(frame: &mut Vec<u8>, kind: [u8; 2], mtu: u16) {
    let quoted = frame[14..42].to_vec();
    frame.truncate(14);
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    let from = ethernet.src_addr();
    ethernet.set_dst_addr(from);
    ethernet.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
    frame.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9]);
    frame.extend(&quoted[12..16]);
    Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    frame.extend([kind[0], kind[1], 0, 0, 0, 0, mtu.to_be_bytes()[0], mtu.to_be_bytes()[1]]);
    frame.extend(quoted);
}

#[test]
fn a_ttl_that_runs_out_is_refused_by_the_router_and_one_more_arrives() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, counting);
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(udp(), soon()).unwrap();
    flow.exchange(10, soon()).unwrap();
    let expired = flow.exchange_special(&hops(1), 5, soon()).unwrap();
    assert_eq!((expired.sent, expired.returned, expired.refused), (5, 0, 5));
    assert!(expired.took < Duration::from_millis(150), "errors are not waited past: {expired:?}");
    let enough = flow.exchange_special(&hops(2), 5, soon()).unwrap();
    assert_eq!((enough.returned, enough.refused), (5, 0));
    let report = flow.report().unwrap();
    assert_eq!((report.there.wire.hop_limit, report.back.wire.hop_limit), (Some((1, 63)), Some((1, 63))));
    assert_eq!(report.there.refusals.from, Some(IpAddr::from([10, 0, 0, 9])));
    assert_eq!((report.there.refusals.expired, report.back.refusals.total()), (5, 0));
    assert_eq!(flow.exchange(5, soon()).unwrap().lost(), 0, "plain ones go on");
    assert_eq!(flow.report().unwrap().there.wire.packets, 20);
}

#[test]
fn an_error_ends_the_wait_for_an_answer_and_is_named() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| {
        let is_payload = payload_length(frame).is_some();
        if is_payload {
            error(frame, [3, 3], 0);
        }
        if is_payload { Fate::Back } else { Fate::On }
    });
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(Flow { loss_after: Duration::from_secs(15), ..udp() }, soon()).unwrap();
    let failure = flow.exchange(1, soon()).unwrap_err();
    assert_eq!(failure.id(), "LAB008");
    assert!(failure.to_string().contains("10.0.0.9 says: 1 unreachable"), "{failure}");
}

#[test]
fn a_packet_that_is_too_large_for_the_next_link_names_its_mtu() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| {
        let large = frame.len() > 14 + 1400 && frame[20] & 0x40 != 0;
        if large {
            error(frame, [3, 4], 1400);
        }
        if large { Fate::Back } else { Fate::On }
    });
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(udp(), soon()).unwrap();
    flow.exchange(2, soon()).unwrap();
    let large = Special { sizes: vec![1472], ..Special::default() };
    let exchange = flow.exchange_special(&large, 3, soon()).unwrap();
    assert_eq!((exchange.returned, exchange.refused), (0, 3));
    let refusals = flow.report().unwrap().there.refusals;
    assert_eq!((refusals.too_big, refusals.mtu), (3, Some(1400)));
    let free = Special { may_fragment: true, ..large };
    assert_eq!(flow.exchange_special(&free, 3, soon()).unwrap().returned, 3);
}

#[test]
fn options_arrive_on_both_ways_and_do_no_harm() {
    for option in [IpOption::NoOperation, IpOption::RecordRoute] {
        let place = Place::new();
        let lab = place.lab();
        let _router = Router::connect(&lab, honest);
        lab.connected(soon()).unwrap();
        let mut flow = lab.open(udp(), soon()).unwrap();
        flow.exchange(2, soon()).unwrap();
        let special = Special { option: Some(option), ..Special::default() };
        assert_eq!(flow.exchange_special(&special, 100, soon()).unwrap().returned, 100);
        flow.exchange(2, soon()).unwrap();
        let report = flow.close(soon()).unwrap();
        report.check().unwrap();
        for way in [&report.there, &report.back] {
            assert_eq!((way.wire.packets, way.wire.with_options, way.wire.fragmented), (104, 100, 0));
        }
    }
}

#[test]
fn fragments_are_put_together_at_the_far_end() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(udp(), soon()).unwrap();
    flow.exchange(2, soon()).unwrap();
    let special = Special { sizes: vec![1472, 700], fragment: Some(500), ..Special::default() };
    assert_eq!(flow.exchange_special(&special, 100, soon()).unwrap().returned, 100);
    let report = flow.close(soon()).unwrap();
    report.check().unwrap();
    for way in [&report.there, &report.back] {
        assert_eq!((way.wire.packets, way.wire.fragmented), (102, 100));
    }
    // 1,480 bytes behind the IP header are three of 496, 708 are two.
    let counts = lab.counts().unwrap();
    assert_eq!((counts.wan.to_router.fragments, counts.lan.to_router.fragments), (250, 250));

    let mut tcp = lab.open(Flow::tcp(Side::Lan, (FAR, 5001).into()), soon()).unwrap();
    let special = Special { fragment: Some(1000), ..Special::default() };
    tcp.exchange_special(&special, 200_000, soon()).unwrap();
    tcp.close(soon()).unwrap().check().unwrap();
}

#[test]
fn a_lost_fragment_loses_its_datagram_only() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |side, number, frame| {
        let later = frame[12..14] == [8, 0] && u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff != 0;
        !(side == Side::Lan && later && number % 21 == 0)
    });
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(udp(), soon()).unwrap();
    flow.exchange(2, soon()).unwrap();
    let special = Special { fragment: Some(600), ..Special::default() };
    let exchange = flow.exchange_special(&special, 50, soon()).unwrap();
    assert!((1..=8).contains(&exchange.lost()), "{exchange:?}");
    assert_eq!(flow.report().unwrap().there.damaged, 0);
}

#[test]
fn pings_are_answered_in_both_families_and_counted() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| {
        if frame[12..14] == [8, 0] {
            forward(frame);
        }
        true
    });
    lab.connected(soon()).unwrap();
    for (to, hops) in [(IpAddr::from(FAR), 63), ("2001:db8::2".parse().unwrap(), 64)] {
        let mut ping = lab.open(Flow::ping(Side::Lan, to), soon()).unwrap();
        assert_eq!(ping.exchange(100, soon()).unwrap().lost(), 0);
        let report = ping.close(soon()).unwrap();
        report.check().unwrap();
        assert_eq!((report.flow.transport, report.back.received.bytes), (Transport::Icmp, 20_000));
        assert_eq!((report.there.wire.packets, report.back.wire.packets), (100, 100));
        assert_eq!(report.back.wire.hop_limit, Some((hops, hops)));
        assert_eq!(report.back.source.map(|source| source.ip()), Some(to));
    }
}

#[test]
fn a_ping_that_comes_back_changed_is_noticed() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |side, number, frame| {
        if side == Side::Wan && number == 10 && frame[12..14] == [8, 0] {
            *frame.last_mut().unwrap() ^= 1;
            // An ICMP checksum is the complement of a sum: this bit moves from one to the other.
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
            smoltcp::wire::Icmpv4Packet::new_unchecked(packet.payload_mut()).fill_checksum();
        }
        true
    });
    lab.connected(soon()).unwrap();
    let flow = Flow { loss_after: Duration::from_millis(200), ..Flow::ping(Side::Lan, FAR.into()) };
    let mut ping = lab.open(flow, soon()).unwrap();
    assert_eq!(ping.exchange(20, soon()).unwrap().lost(), 1);
    assert_eq!(ping.close(soon()).unwrap().check().unwrap_err().id(), "LAB011");
}

/// Sends back what comes from the LAN, as an echo service of the router does: both ends swapped.
fn echo(side: Side, _: u64, frame: &mut Vec<u8>) -> Fate {
    if side == Side::Wan || payload_length(frame).is_none() {
        return Fate::On;
    }
    let swap = |frame: &mut Vec<u8>, at: usize, length: usize| {
        for place in at..at + length {
            frame.swap(place, place + length);
        }
    };
    swap(frame, 0, 6);
    swap(frame, 26, 4);
    swap(frame, 34, 2);
    Fate::Back
}

#[test]
fn an_echo_service_needs_no_far_end_of_ours() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, echo);
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(Flow { echo: true, ..udp() }, soon()).unwrap();
    assert_eq!(flow.exchange(50, soon()).unwrap().lost(), 0);
    let report = flow.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!((report.back.sent.bytes, report.there.wire.packets), (50_000, 0));
    assert_eq!(report.back.sent.sha256, report.there.sent.sha256);
}

#[test]
fn an_echo_that_is_changed_on_the_way_is_noticed() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |side, number, frame| {
        let fate = echo(side, number, frame);
        if matches!(fate, Fate::Back) && number == 9 {
            damage(frame);
        }
        fate
    });
    lab.connected(soon()).unwrap();
    let mut flow = lab.open(Flow { echo: true, ..udp() }, soon()).unwrap();
    assert_eq!(flow.exchange(50, soon()).unwrap().lost(), 1);
    assert_eq!(flow.close(soon()).unwrap().check().unwrap_err().id(), "LAB011");
}

#[test]
fn packets_that_cannot_be_sent_are_refused_and_the_flow_goes_on() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let six = Flow::udp(Side::Lan, "[2001:db8::2]:5001".parse().unwrap());
    let mut flows = [udp(), six, Flow::tcp(Side::Lan, (FAR, 5002).into())].map(|flow| lab.open(flow, soon()).unwrap());
    let plain = Special::default();
    let option = Special { option: Some(IpOption::RecordRoute), ..plain.clone() };
    for (number, special, reason) in [
        (0, Special { sizes: vec![1473], ..plain.clone() }, "1473"),
        (0, Special { sizes: vec![1465], ..option.clone() }, "1464"),
        (0, Special { fragment: Some(7), ..plain.clone() }, "8 bytes"),
        (1, Special { may_fragment: true, ..plain.clone() }, "IPv4 only"),
        (2, option, "no room"),
    ] {
        let flow: &mut FlowHandle = &mut flows[number];
        let failure = flow.exchange_special(&special, 1, soon()).unwrap_err();
        assert_eq!(failure.id(), "LAB005");
        assert!(failure.to_string().contains(reason), "{failure}");
        flow.exchange(10, soon()).unwrap();
    }
    let no_echo = Flow { echo: false, ..Flow::ping(Side::Lan, FAR.into()) };
    assert_eq!(lab.open(no_echo, soon()).unwrap_err().id(), "LAB005");
}
