//! What the lab does when QEMU, the disk or the user gets in the way.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Cancel, Exit};
use rustix::fs::{FileType, Mode};

use super::router::{Router, honest, send};
use super::{Place, at_once, connect, soon};
use crate::fake;
use crate::lab::{Flow, Lab, Options, Side, failures, stream};

fn flow() -> Flow {
    Flow::udp(Side::Lan, ([10, 0, 0, 2], 5000).into())
}

#[test]
fn without_qemu_nothing_works_and_everything_says_why() {
    let place = Place::new();
    let lab = place.lab();
    let failure = lab.connected(at_once()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB002", Exit::Blocked));
    assert!(failure.to_string().contains("lan and wan"), "{failure}");
    let _half = connect(&lab, Side::Lan);
    let failure = lab.connected(at_once()).unwrap_err();
    assert!(failure.to_string().contains("no connection for wan"), "{failure}");
    let failure = lab.open(flow(), soon()).unwrap_err();
    assert_eq!(failure.id(), "LAB003");
    assert!(failure.to_string().contains("not connected yet"), "{failure}");
}

#[test]
fn qemu_that_goes_away_ends_the_flow_at_once_and_a_new_one_is_taken() {
    let place = Place::new();
    let lab = place.lab();
    let router = Router::connect(&lab, |side, number, _| side == Side::Lan || number < 10);
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(flow(), soon()).unwrap();
    udp.exchange(2, soon()).unwrap();
    let started = Instant::now();
    let failure = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| udp.exchange(1000, soon()).unwrap_err());
        drop(router);
        waiting.join().unwrap()
    });
    assert_eq!((failure.id(), failure.exit()), ("LAB003", Exit::Blocked));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(udp.exchange(1, soon()).unwrap_err().id(), "LAB003");
    assert!(udp.report().unwrap().there.received.datagrams >= 2, "what was seen is still known");
    assert_eq!(udp.close(soon()).unwrap_err().id(), "LAB003");

    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(flow(), soon()).unwrap();
    assert_eq!(udp.exchange(50, soon()).unwrap().returned, 50);
    let counts = lab.counts().unwrap();
    assert_eq!((counts.lan.connections, counts.wan.connections), (2, 2));
}

#[test]
fn a_wire_may_be_of_any_kind_and_speaks_for_itself() {
    let (wires, far) = fake::wires().unwrap();
    let lab = Lab::start(wires, Place::new().options()).unwrap();
    lab.connected(soon()).unwrap();
    // As a bridge does, until the lab goes, or somebody cuts the wires after so many frames.
    let ends = Arc::new([far.lan, far.wan]);
    let bridge = [0, 1].map(|side: usize| {
        let ends = ends.clone();
        std::thread::spawn(move || {
            for _ in 0..300 {
                let Some(frame) = fake::take(&ends[side]).unwrap_or_default() else { return };
                let _gone = fake::give(&ends[1 - side], &frame);
            }
        })
    });
    drop(ends);
    let mut udp = lab.open(flow(), soon()).unwrap();
    assert_eq!(udp.exchange(50, soon()).unwrap().returned, 50);
    let failure = udp.exchange(10_000, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB003", Exit::Blocked));
    assert!(failure.to_string().contains("keep the other end"), "{failure}");
    for side in bridge {
        side.join().unwrap();
    }
    let counts = lab.counts().unwrap();
    assert_eq!((counts.lan.connections, counts.wan.connections), (1, 1), "what is cut stays so");
}

#[test]
fn bytes_that_are_no_frames_end_the_link_with_their_own_failure() {
    let place = Place::new();
    let lab = place.lab();
    let _lan = connect(&lab, Side::Lan);
    let mut wan = connect(&lab, Side::Wan);
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(flow(), soon()).unwrap();
    wan.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
    let failure = udp.exchange(1, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB004", Exit::Blocked));
    assert!(failure.to_string().contains("wan"), "{failure}");
}

#[test]
fn frames_of_any_kind_are_counted_and_do_no_harm() {
    let place = Place::new();
    let lab = place.lab();
    let mut lan = connect(&lab, Side::Lan);
    let wan = connect(&lab, Side::Wan);
    lab.connected(soon()).unwrap();
    // Each kind, cut at every length: stacks have died of less.
    let mut sent = 0;
    for kind in [[8, 0], [8, 6], [0x86, 0xdd], [0x88, 0xcc], [0x81, 0]] {
        let mut frame = [0xff; 14 + 60];
        frame[12..14].copy_from_slice(&kind);
        frame[14] = if kind == [8, 0] { 0x45 } else { 0x60 };
        for length in 0..frame.len() {
            send(&mut lan, &frame[..length]).unwrap();
            sent += 1;
        }
    }
    while lab.counts().unwrap().lan.from_router.frames < sent {
        std::thread::yield_now();
    }
    let counts = lab.counts().unwrap().lan.from_router;
    assert_eq!((counts.frames, counts.arp, counts.ipv4, counts.ipv6), (sent, 60, 60, 60));
    assert_eq!(counts.other, sent - 180);
    drop((lan, wan));

    while lab.counts().unwrap().lan.connections < 2 {
        let _router = connect(&lab, Side::Lan);
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupt_ends_a_wait() {
    let place = Place::new();
    let cancel = Cancel::default();
    let lab = place.lab_with(Options { cancel: cancel.clone(), ..place.options() }).unwrap();
    let _router = Router::connect(&lab, |_, _, _| false);
    lab.connected(soon()).unwrap();
    let started = Instant::now();
    let failure = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.open(Flow::tcp(Side::Lan, flow().to), soon()).unwrap_err());
        cancel.cancel();
        waiting.join().unwrap()
    });
    assert_eq!(failure.exit(), Exit::Interrupted);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn places_that_cannot_be_used_are_refused() {
    let place = Place::new();
    let lab = place.lab();
    let again = place.lab_with(place.options()).unwrap_err();
    assert_eq!((again.id(), again.exit()), ("LAB001", Exit::Host));
    let sockets = [Side::Lan, Side::Wan].map(|side| lab.socket(side).unwrap().to_owned());
    assert!(sockets.iter().all(|socket| socket.exists()));
    drop(lab);
    assert!(sockets.iter().all(|socket| !socket.exists()), "a lab takes its sockets with it");

    let long = place.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    std::fs::set_permissions(&long, PermissionsExt::from_mode(0o700)).unwrap();
    let failure = stream::listen(&long).err().unwrap();
    assert_eq!(failure.id(), "LAB001");

    let open = place.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).unwrap();
    let failure = stream::listen(&open).err().unwrap();
    assert!(failure.id() == "LAB001" && failure.to_string().contains("0700"), "{failure}");

    let missing = place.path().join("missing");
    assert_eq!(stream::listen(&missing).err().unwrap().id(), "IO004");
    assert_eq!(place.lab_with(Options { captures: Some(missing), ..place.options() }).unwrap_err().id(), "IO004");

    let mut options = place.options();
    options.plan.wan.mtu = 1279;
    assert_eq!(place.lab_with(options).unwrap_err().id(), "LAB005");
}

#[test]
fn a_capture_holds_every_frame_of_its_link() {
    let place = Place::new();
    let lab = place.lab_with(Options { captures: Some(place.path()), ..place.options() }).unwrap();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(flow(), soon()).unwrap();
    udp.exchange(10, soon()).unwrap();
    let counts = lab.counts().unwrap();
    // Read while the lab is alive: a killed run leaves as much.
    for (name, link) in [("lan.pcap", counts.lan), ("wan.pcap", counts.wan)] {
        let bytes = std::fs::read(place.path().join(name)).unwrap();
        let mut rest = &bytes[24..];
        let (mut frames, mut datagrams) = (0, 0);
        while let Some((head, tail)) = rest.split_at_checked(16) {
            let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
            assert_eq!(head[8..12], head[12..16]);
            datagrams += u32::from(tail[..length].len() == 14 + 20 + 8 + 1000);
            rest = &tail[length..];
            frames += 1;
        }
        assert!(rest.is_empty());
        assert_eq!(frames, link.from_router.frames + link.to_router.frames, "{name}");
        assert_eq!(datagrams, 20, "{name}");
    }
}

#[test]
fn a_capture_that_cannot_begin_or_go_on_is_a_failure() {
    let place = Place::new();
    let capture = place.path().join("wan.pcap");
    std::os::unix::fs::symlink("/dev/full", &capture).unwrap();
    let failure = place.lab_with(Options { captures: Some(place.path()), ..place.options() }).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("IO002", Exit::Host));

    // A pipe whose reader goes away stands for a disk that breaks.
    std::fs::remove_file(&capture).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, capture.as_std_path(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let reader = std::thread::spawn(move || File::open(capture).unwrap());
    let lab = place.lab_with(Options { captures: Some(place.path()), ..place.options() }).unwrap();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    drop(reader.join().unwrap());
    let mut udp = lab.open(flow(), soon()).unwrap();
    let failure = udp.exchange(10, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.finding().what.as_str()), ("IO001", "cannot write the capture"));
    assert_eq!(lab.counts().unwrap_err(), failure);
    assert_eq!(lab.connected(soon()).unwrap_err(), failure);
}

#[test]
fn what_cannot_be_provoked_has_its_ids_too() {
    let failure = failures::broken("start its thread", &std::io::Error::from_raw_os_error(11));
    assert_eq!((failure.id(), failure.exit()), ("LAB013", Exit::Blocked));
}

#[test]
fn a_flow_outlives_its_lab_with_a_failure() {
    let place = Place::new();
    let lab = place.lab();
    let _router = Router::connect(&lab, honest);
    lab.connected(soon()).unwrap();
    let mut udp = lab.open(flow(), soon()).unwrap();
    drop(lab);
    let failure = udp.exchange(1, soon()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("LAB012", Exit::Blocked));
}
