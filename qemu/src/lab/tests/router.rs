//! Plays QEMU and the router in it: connects to both sockets and passes frames on, or not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

use super::connect;
use crate::lab::{Lab, Side};

/// What becomes of a frame.
pub(super) enum Fate {
    /// It goes to the other side.
    On,
    /// It goes back to where it came from.
    Back,
    /// It is lost.
    Lost,
}

impl From<bool> for Fate {
    fn from(on: bool) -> Self {
        if on { Fate::On } else { Fate::Lost }
    }
}

/// Passes everything on.
pub(super) fn honest(_: Side, _: u64, _: &mut Vec<u8>) -> bool {
    true
}

/// A connected router; dropping it hangs up.
pub(super) struct Router {
    sockets: [UnixStream; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Router {
    /// `judge` decides about every frame, by its side and number, and may change it.
    pub(super) fn connect<F: Into<Fate> + 'static>(lab: &Lab, judge: fn(Side, u64, &mut Vec<u8>) -> F) -> Router {
        let lan = connect(lab, Side::Lan);
        let wan = connect(lab, Side::Wan);
        let ways = [(Side::Lan, &lan, &wan), (Side::Wan, &wan, &lan)];
        let threads = ways
            .map(|(side, from, to)| {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || pass_on(side, from, to, judge))
            })
            .into();
        Router { sockets: [lan, wan], threads }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _gone = socket.shutdown(std::net::Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn pass_on<F: Into<Fate>>(side: Side, from: UnixStream, mut to: UnixStream, judge: fn(Side, u64, &mut Vec<u8>) -> F) {
    let mut back = from.try_clone().unwrap();
    let mut from = std::io::BufReader::with_capacity(1 << 17, from);
    for number in 1.. {
        let mut prefix = [0; 4];
        if from.read_exact(&mut prefix).is_err() {
            return;
        }
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        if from.read_exact(&mut frame).is_err() {
            return;
        }
        let to = match judge(side, number, &mut frame).into() {
            Fate::On => &mut to,
            Fate::Back => &mut back,
            Fate::Lost => continue,
        };
        if send(to, &frame).is_err() {
            return;
        }
    }
}

/// Sends a frame as QEMU does.
pub(super) fn send(to: &mut UnixStream, frame: &[u8]) -> std::io::Result<()> {
    let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    to.write_all(&bytes)
}

/// Payload length of a TCP or UDP packet over IPv4; `None` for all other frames.
pub(super) fn payload_length(frame: &[u8]) -> Option<usize> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    match packet.next_header() {
        IpProtocol::Udp => Some(UdpPacket::new_checked(packet.payload()).ok()?.payload().len()),
        IpProtocol::Tcp => Some(TcpPacket::new_checked(packet.payload()).ok()?.payload().len()),
        _ => None,
    }
}

/// Changes the last payload byte of a packet over IPv4 and makes the checksums right again.
pub(super) fn damage(frame: &mut [u8]) {
    let mut frame = EthernetFrame::new_checked(frame).unwrap();
    let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).unwrap();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Udp => {
            let mut udp = UdpPacket::new_checked(packet.payload_mut()).unwrap();
            *udp.payload_mut().last_mut().unwrap() ^= 1;
            udp.fill_checksum(&from, &to);
        }
        IpProtocol::Tcp => {
            let mut tcp = TcpPacket::new_checked(packet.payload_mut()).unwrap();
            *tcp.payload_mut().last_mut().unwrap() ^= 1;
            tcp.fill_checksum(&from, &to);
        }
        other => panic!("{other} has no payload to damage"),
    }
}

/// Sends a packet over IPv4 on with a TTL smaller by one, as a router does.
pub(super) fn forward(frame: &mut [u8]) {
    let mut frame = EthernetFrame::new_checked(frame).unwrap();
    if frame.ethertype() == EthernetProtocol::Ipv4 {
        let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).unwrap();
        packet.set_hop_limit(packet.hop_limit() - 1);
        packet.fill_checksum();
    }
}

/// Translates a UDP packet over IPv4 as a router does that sends it back to its LAN: the two addresses change places, and
/// the service behind `port` listens on `listen`. Whether it was such a packet.
pub(super) fn turned(frame: &mut [u8], port: u16, listen: u16) -> bool {
    let mut frame = EthernetFrame::new_checked(frame).unwrap();
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return false;
    }
    let (from, to) = (frame.src_addr(), frame.dst_addr());
    frame.set_src_addr(to);
    frame.set_dst_addr(from);
    let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).unwrap();
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    packet.set_src_addr(to);
    packet.set_dst_addr(from);
    packet.fill_checksum();
    let mut udp = UdpPacket::new_checked(packet.payload_mut()).unwrap();
    if udp.dst_port() == port {
        udp.set_dst_port(listen);
    } else {
        udp.set_src_port(port);
    }
    udp.fill_checksum(&to.into(), &from.into());
    true
}
