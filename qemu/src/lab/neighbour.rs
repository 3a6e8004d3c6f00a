//! Questions for the hardware address of a neighbour.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr,
};

use super::packet::ETHERNET_HEADER;
use super::plan::HostPlan;

/// The frame by which a host asks who has the address `hop`.
pub(super) fn question(plan: &HostPlan, hop: IpAddr) -> Vec<u8> {
    match hop {
        IpAddr::V4(hop) => arp(plan, hop),
        IpAddr::V6(hop) => solicitation(plan, hop),
    }
}

/// An ARP request, RFC 826.
fn arp(plan: &HostPlan, hop: Ipv4Addr) -> Vec<u8> {
    let own = EthernetAddress(plan.mac);
    let question = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: own,
        source_protocol_addr: plan.ipv4.0,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: hop,
    };
    let header = EthernetRepr { src_addr: own, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
    let mut bytes = vec![0; ETHERNET_HEADER + question.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    header.emit(&mut frame);
    question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// A neighbour solicitation to the solicited-node group, RFC 4861 §4.3.
fn solicitation(plan: &HostPlan, hop: Ipv6Addr) -> Vec<u8> {
    let own = EthernetAddress(plan.mac);
    let [.., a, b, c] = hop.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let source = plan.ipv6.0;
    let question = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: hop, lladdr: Some(own.into()) });
    let packet = Ipv6Repr {
        src_addr: source,
        dst_addr: group,
        next_header: IpProtocol::Icmpv6,
        payload_len: question.buffer_len(),
        hop_limit: 255,
    };
    let header = EthernetRepr {
        src_addr: own,
        dst_addr: EthernetAddress([0x33, 0x33, 0xff, a, b, c]),
        ethertype: EthernetProtocol::Ipv6,
    };
    let mut bytes = vec![0; ETHERNET_HEADER + packet.buffer_len() + question.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    header.emit(&mut frame);
    let mut ipv6 = Ipv6Packet::new_unchecked(frame.payload_mut());
    packet.emit(&mut ipv6);
    let mut icmp = Icmpv6Packet::new_unchecked(ipv6.payload_mut());
    question.emit(&source, &group, &mut icmp, &ChecksumCapabilities::default());
    bytes
}
