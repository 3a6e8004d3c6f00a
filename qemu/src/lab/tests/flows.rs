//! Flows: what arrives, what does not, and how that is told.

use std::net::SocketAddr;
use std::time::Duration;

use super::router::{Fate, Router, damage, forward, honest, payload_length, turned};
use super::{Place, at_once, soon};
use crate::lab::{Flow, Side};

fn wan(port: u16) -> SocketAddr {
    ([10, 0, 0, 2], port).into()
}

/// UDP that gives up on a datagram quickly.
fn impatient(port: u16) -> Flow {
    Flow { loss_after: Duration::from_millis(100), ..Flow::udp(Side::Lan, wan(port)) }
}

#[test]
fn udp_goes_there_and_back_in_several_exchanges() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| {
        forward(frame);
        true
    });
    lab.connected(soon()).unwrap();
    let flow = Flow { sizes: vec![8, 1000, 1472], ..Flow::udp(Side::Lan, wan(5000)) };
    let mut handle = lab.open(flow, soon()).unwrap();
    let first = handle.exchange(3, soon()).unwrap();
    assert_eq!((first.sent, first.returned, first.lost()), (3, 3, 0));
    let during = handle.report().unwrap();
    assert_eq!(during.there.received.datagrams, 3);
    assert_eq!(handle.exchange(2997, soon()).unwrap().returned, 2997);
    let near = handle.near();
    let report = handle.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!(report.there.received.bytes, 1000 * (8 + 1000 + 1472));
    assert_eq!(report.there.sent.sha256, report.there.received.sha256);
    assert_eq!(report.back.sent.sha256, report.back.received.sha256);
    assert_ne!(report.there.sent.sha256, report.back.sent.sha256);
    assert_eq!((report.there.source, report.back.source), (Some(near), Some(wan(5000))));
    for direction in [&report.there, &report.back] {
        assert_eq!((direction.wire.packets, direction.wire.hop_limit), (3000, Some((63, 63))));
    }
}

#[test]
fn tcp_goes_there_and_back_and_ends_with_fin() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5001)), soon()).unwrap();
    assert_eq!(handle.exchange(1, soon()).unwrap().returned, 1);
    assert_eq!(handle.exchange(3_000_000, soon()).unwrap().returned, 3_000_000);
    let near = handle.near();
    let report = handle.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!((report.there.received.bytes, report.back.received.bytes), (3_000_001, 3_000_001));
    assert_eq!(report.there.source, Some(near));
    assert!(report.there.wire.packets > 2000, "{report:?}");
}

#[test]
fn flows_run_in_both_families_from_both_sides_at_once() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let addresses = |side| match side {
        Side::Lan => ["10.0.0.2", "2001:db8::2"],
        Side::Wan => ["10.0.0.1", "2001:db8::1"],
    };
    let mut handles = Vec::new();
    for side in [Side::Lan, Side::Wan] {
        for (to, port) in addresses(side).into_iter().zip([6000, 6001]) {
            let to = SocketAddr::new(to.parse().unwrap(), port);
            for flow in [Flow::tcp(side, to), Flow::udp(side, to)] {
                handles.push(lab.open(Flow { seed: handles.len() as u64, ..flow }, soon()).unwrap());
            }
        }
    }
    assert_eq!(handles.len(), 8);
    for _ in 0..3 {
        for handle in &mut handles {
            handle.exchange(50, soon()).unwrap();
        }
    }
    for handle in handles {
        handle.abort(soon()).unwrap().check().unwrap();
    }
}

#[test]
fn many_flows_at_once_from_many_threads() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4_u16 {
            let lab = &lab;
            scope.spawn(move || {
                let flows = (0..25).map(|n| impatient(7000 + worker * 25 + n));
                let mut handles: Vec<_> = flows.map(|flow| lab.open(flow, soon()).unwrap()).collect();
                for handle in &mut handles {
                    assert_eq!(handle.exchange(10, soon()).unwrap().lost(), 0);
                }
                for handle in handles {
                    handle.close(soon()).unwrap().check().unwrap();
                }
            });
        }
    });
    let arp = lab.counts().unwrap().lan.to_router.arp;
    assert!((1..10).contains(&arp), "a neighbour that answered is not asked for by every flow: {arp}");
}

#[test]
fn lost_datagrams_are_counted_and_nothing_is_sent_twice() {
    let place = Place::new();
    let lab = place.lab();
    // Of what the LAN sends, every tenth frame is swallowed once the two warm-ups went through.
    let _router = Router::connect(&lab, |side, number, frame| {
        side == Side::Wan || payload_length(frame).is_none() || number % 10 != 0
    });
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(impatient(5000), soon()).unwrap();
    let exchange = handle.exchange(500, soon()).unwrap();
    assert!((45..=55).contains(&exchange.lost()), "{exchange:?}");
    let report = handle.close(soon()).unwrap();
    assert_eq!((report.there.sent.datagrams, report.there.lost()), (500, exchange.lost()));
    assert_eq!((report.back.lost(), report.there.damaged), (0, 0));
    assert_eq!(report.check().unwrap_err().id(), "LAB011");
}

#[test]
fn tcp_repeats_what_is_lost() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, number, frame| payload_length(frame).is_none() || number % 50 != 0);
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
    handle.exchange(200_000, soon()).unwrap();
    handle.report().unwrap().check().unwrap();
}

#[test]
fn a_changed_byte_with_a_right_checksum_is_noticed() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |side, number, frame| {
        if side == Side::Lan && number == 20 && payload_length(frame).is_some_and(|length| length > 900) {
            damage(frame);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(impatient(5000), soon()).unwrap();
    let exchange = handle.exchange(100, soon()).unwrap();
    assert_eq!(exchange.lost(), 1);
    let report = handle.close(soon()).unwrap();
    assert_eq!((report.there.damaged, report.there.lost(), report.back.damaged), (1, 0, 0));
    assert_ne!(report.there.sent.sha256, report.there.received.sha256);
    let failure = report.check().unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB011", model::Exit::Failed));
}

#[test]
fn a_changed_byte_of_a_stream_is_noticed_on_the_way_back_too() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |side, number, frame| {
        if side == Side::Wan && (20..40).contains(&number) && payload_length(frame).is_some_and(|length| length > 900) {
            damage(frame);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
    handle.exchange(300_000, soon()).unwrap();
    let report = handle.report().unwrap();
    assert!(report.there.is_intact() && !report.back.is_intact(), "{report:?}");
    assert_ne!(report.back.sent.sha256, report.back.received.sha256);
    let text = report.check().unwrap_err().to_string();
    assert!(text.contains("LAB011") && text.contains("back from the far end"), "{text}");
}

#[test]
fn a_router_that_swallows_everything_is_a_failure_with_its_deadline() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, _| false);
    lab.connected(soon()).unwrap();
    let failure = lab.open(Flow::tcp(Side::Lan, wan(5000)), at_once()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB006", model::Exit::Failed));
    assert!(failure.to_string().contains("0.2 s"), "{failure}");

    let mut handle = lab.open(impatient(5000), soon()).unwrap();
    assert_eq!(handle.exchange(1, soon()).unwrap_err().id(), "LAB008");
    let mut patient = lab.open(Flow::udp(Side::Lan, wan(5001)), soon()).unwrap();
    assert_eq!(patient.exchange(1, at_once()).unwrap_err().id(), "LAB007");
}

#[test]
fn a_stream_that_stalls_says_how_far_it_came() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| payload_length(frame).is_none_or(|length| length < 900));
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
    handle.exchange(100, soon()).unwrap();
    let failure = handle.exchange(100_000, at_once()).unwrap_err();
    assert_eq!(failure.id(), "LAB007");
    assert!(failure.to_string().contains("towards the far end: 100 of "), "{failure}");
}

#[test]
fn an_end_that_does_not_arrive_is_told() {
    let place = Place::new();
    let lab = place.lab();
    // TCP flags lie in byte 47 of a frame with IPv4: FIN is 1, RST is 4.
    let _router = Router::connect(&lab, |_, _, frame| payload_length(frame).is_none() || frame[47] & 5 == 0);
    lab.connected(soon()).unwrap();
    for abort in [false, true] {
        let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
        handle.exchange(100, soon()).unwrap();
        let failure = if abort { handle.abort(at_once()) } else { handle.close(at_once()) }.unwrap_err();
        assert_eq!(failure.id(), "LAB010", "abort: {abort}");
    }
}

#[test]
fn a_reset_by_somebody_else_is_told() {
    let place = Place::new();
    let lab = place.lab();
    // From the sixth frame on, what the LAN sends becomes a RST on its way.
    let _router = Router::connect(&lab, |side, number, frame| {
        if side == Side::Lan && number > 5 && payload_length(frame).is_some_and(|length| length > 0) {
            frame[47] = 4;
            damage(frame);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
    let failure = handle.exchange(100_000, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB009", model::Exit::Failed));
}

#[test]
fn a_flow_that_makes_no_sense_is_refused_and_leaves_nothing_behind() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let good = Flow::udp(Side::Lan, wan(5000));
    let to = |text: &str| Flow { to: text.parse().unwrap(), ..good.clone() };
    for (flow, reason) in [
        (to("10.0.1.2:1"), "no route"),
        (to("[2001:db8:9::1]:1"), "no route"),
        (to("224.0.0.1:1"), "one host"),
        (to("10.0.0.2:0"), "port 0"),
        (Flow { listen: Some(0), ..good.clone() }, "port 0"),
        (Flow { sizes: vec![], ..good.clone() }, "no size"),
        (Flow { sizes: vec![7], ..good.clone() }, "7 bytes"),
        (Flow { sizes: vec![1473], ..good.clone() }, "1473 bytes"),
        (Flow { window: 0, ..good.clone() }, "window"),
        (Flow { window: usize::MAX, ..good.clone() }, "window"),
        (Flow { window: 1 << 40, ..Flow::tcp(Side::Lan, wan(1)) }, "window"),
    ] {
        let failure = lab.open(flow, soon()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("LAB005", model::Exit::Usage));
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    let first = lab.open(good.clone(), soon()).unwrap();
    assert!(lab.open(good.clone(), soon()).unwrap_err().to_string().contains("another flow"));
    drop(first);
    lab.open(good, soon()).unwrap();
}

#[test]
fn a_router_may_change_the_port_that_the_far_host_listens_on() {
    let place = Place::new();
    let lab = place.lab();
    // Destination port 8080 becomes 80 and back; a UDP checksum of 0 means none (RFC 768).
    let _router = Router::connect(&lab, |side, _, frame| {
        if payload_length(frame).is_some() {
            let (place, port) = if side == Side::Lan { (36, 80_u16) } else { (34, 8080) };
            frame[place..place + 2].copy_from_slice(&port.to_be_bytes());
            frame[40..42].fill(0);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let flow = Flow { listen: Some(80), ..Flow::udp(Side::Lan, wan(8080)) };
    let mut handle = lab.open(flow, soon()).unwrap();
    handle.exchange(20, soon()).unwrap();
    let report = handle.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!((report.back.source, report.there.wire.packets), (Some(wan(8080)), 20));
}

#[test]
fn a_translated_source_is_seen_at_the_far_end() {
    let place = Place::new();
    let lab = place.lab();
    // The near end's port loses its highest bit on the way, and gets it back.
    let _router = Router::connect(&lab, |side, _, frame| {
        if payload_length(frame).is_some() {
            frame[if side == Side::Lan { 34 } else { 36 }] ^= 0x80;
            frame[40..42].fill(0);
        }
        true
    });
    lab.connected(soon()).unwrap();
    let mut handle = lab.open(Flow::udp(Side::Lan, wan(5000)), soon()).unwrap();
    handle.exchange(5, soon()).unwrap();
    let near = handle.near();
    let report = handle.close(soon()).unwrap();
    report.check().unwrap();
    let seen = report.there.source.unwrap();
    assert_eq!((seen.ip(), seen.port()), (near.ip(), near.port() ^ 0x8000));
}

#[test]
fn the_mtu_of_a_plan_bounds_datagrams_and_segments() {
    for mtu in [1280, 9000] {
        let place = Place::new();
        let mut options = place.options();
        (options.plan.lan.mtu, options.plan.wan.mtu) = (mtu, mtu);
        let lab = place.lab_with(options).unwrap();
        let _router = Router::connect(&lab, honest);
        lab.connected(soon()).unwrap();
        let sized = |size| Flow { sizes: vec![size], ..Flow::udp(Side::Lan, wan(5000)) };
        assert_eq!(lab.open(sized(mtu - 27), soon()).unwrap_err().id(), "LAB005");
        let mut udp = lab.open(sized(mtu - 28), soon()).unwrap();
        udp.exchange(10, soon()).unwrap();
        let report = udp.close(soon()).unwrap();
        report.check().unwrap();
        assert_eq!(report.there.wire.bytes, 10 * mtu as u64);

        let mut tcp = lab.open(Flow::tcp(Side::Lan, wan(5000)), soon()).unwrap();
        tcp.exchange(1_000_000, soon()).unwrap();
        let packets = tcp.close(soon()).unwrap().there.wire.packets;
        let full = 1_000_000 / (mtu as u64 - 40);
        assert!((full..2 * full + 200).contains(&packets), "{packets} packets for an MTU of {mtu}");
    }
}

#[test]
fn a_flow_that_the_router_sends_back_has_both_ends_on_one_side() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, |_, _, frame| if turned(frame, 5000, 5001) { Fate::Back } else { Fate::On });
    lab.connected(soon()).unwrap();
    let flow = Flow { far: Side::Lan, listen: Some(5001), ..Flow::udp(Side::Lan, wan(5000)) };
    let mut handle = lab.open(flow, soon()).unwrap();
    let exchange = handle.exchange(500, soon()).unwrap();
    assert_eq!((exchange.sent, exchange.returned), (500, 500));
    let report = handle.close(soon()).unwrap();
    report.check().unwrap();
    assert_eq!(report.there.source.map(|source| source.ip()), Some([10, 0, 0, 2].into()));
}
