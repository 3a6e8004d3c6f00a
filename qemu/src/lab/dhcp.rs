//! A DHCP server (RFC 2131) with one address to give, for images whose WAN port asks for one.
//!
//! Offers and acknowledgements are always broadcast, which §4.1 allows a server that cannot send to an
//! address that its client does not have yet.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{self, PacketMetadata, UdpMetadata};
use smoltcp::wire::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, IpEndpoint};

use super::host::Host;
use super::plan::HostPlan;

/// How long an address is good for, in seconds: longer than any scenario.
const LEASE: u32 = 24 * 3600;

/// Requests and answers that may wait, and their bytes.
const SLOTS: usize = 8;
const BYTES: usize = SLOTS * 1500;

/// The server of a host.
#[derive(Debug)]
pub(super) struct Server {
    socket: SocketHandle,
    /// The address that it gives.
    lease: Ipv4Addr,
}

impl Server {
    /// The server of a host whose plan has one.
    pub(super) fn start(host: &mut Host) -> Option<Server> {
        let lease = host.plan.dhcp?;
        let buffer = || udp::PacketBuffer::new(vec![PacketMetadata::EMPTY; SLOTS], vec![0; BYTES]);
        let socket = host.sockets.add(udp::Socket::new(buffer(), buffer()));
        host.udp(socket).bind(DHCP_SERVER_PORT).ok()?;
        Some(Server { socket, lease })
    }

    /// Answers what arrived.
    pub(super) fn advance(&mut self, host: &mut Host) {
        let plan = host.plan.clone();
        let socket = host.udp(self.socket);
        while let Ok((request, _)) = socket.recv() {
            let Some(answer) = answer(&plan, self.lease, request) else { continue };
            let to = IpEndpoint::new(Ipv4Addr::BROADCAST.into(), DHCP_CLIENT_PORT);
            let metadata = UdpMetadata { local_address: Some(plan.ipv4.0.into()), ..to.into() };
            // With no room left the client asks again.
            let _full = socket.send_slice(&answer, metadata);
        }
    }
}

/// The answer to a request; `None` when there is none to give.
fn answer(plan: &HostPlan, lease: Ipv4Addr, request: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(request).ok()?;
    let asked = DhcpRepr::parse(&packet).ok()?;
    let (own, prefix) = plan.ipv4;
    if asked.server_identifier.is_some_and(|server| server != own) {
        return None;
    }
    let wanted = asked.requested_ip.unwrap_or(asked.client_ip);
    let (message_type, your_ip) = match asked.message_type {
        DhcpMessageType::Discover => (DhcpMessageType::Offer, lease),
        DhcpMessageType::Request if wanted == lease => (DhcpMessageType::Ack, lease),
        DhcpMessageType::Request => (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED),
        _ => return None,
    };
    let gives = message_type != DhcpMessageType::Nak;
    let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0));
    let answer = DhcpRepr {
        message_type,
        your_ip,
        client_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: own,
        server_identifier: Some(own),
        lease_duration: gives.then_some(LEASE),
        subnet_mask: gives.then_some(mask),
        router: gives.then_some(own),
        requested_ip: None,
        client_identifier: None,
        parameter_request_list: None,
        max_size: None,
        dns_servers: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
        ..asked
    };
    let mut bytes = vec![0; answer.buffer_len()];
    answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::plan::Plan;

    const LEASED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// A request as RFC 2131 §2 lays it out, with these options behind the magic number.
    fn request(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 3, 0x80, 0];
        bytes.extend([0; 16]);
        bytes.extend([0x52, 0x54, 0, 0, 2, 1]);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99]);
        bytes.extend(options);
        bytes.push(255);
        bytes
    }

    fn answered(options: &[u8]) -> Option<(u8, Vec<u8>, Vec<u8>)> {
        let bytes = answer(&Plan::masquerade().wan, LEASED, &request(options))?;
        assert_eq!(
            (bytes[0], &bytes[4..8], &bytes[28..34]),
            (2, &[0xde, 0xad, 0xbe, 0xef][..], &[0x52, 0x54, 0, 0, 2, 1][..])
        );
        assert_eq!(bytes[240..242], [53, 1]);
        Some((bytes[242], bytes[16..20].to_vec(), bytes[243..].to_vec()))
    }

    #[test]
    fn an_address_is_offered_and_given_and_no_other() {
        let (kind, address, options) = answered(&[53, 1, 1]).unwrap();
        assert_eq!((kind, address), (2, LEASED.octets().to_vec()), "an offer");
        let has = |option: &[u8]| options.windows(option.len()).any(|bytes| bytes == option);
        assert!(has(&[1, 4, 255, 255, 255, 0]) && has(&[3, 4, 203, 0, 113, 2]) && has(&[54, 4, 203, 0, 113, 2]));
        assert!(has(&[51, 4, 0, 1, 0x51, 0x80]), "{options:?}");
        let wanted = |last| [53, 1, 3, 50, 4, 203, 0, 113, last, 54, 4, 203, 0, 113, 2];
        assert_eq!(answered(&wanted(1)).map(|(kind, address, _)| (kind, address)), Some((5, LEASED.octets().to_vec())));
        assert_eq!(answered(&wanted(9)).map(|(kind, address, _)| (kind, address)), Some((6, vec![0; 4])), "refused");
        assert_eq!(answered(&[53, 1, 3, 50, 4, 203, 0, 113, 1, 54, 4, 203, 0, 113, 3]), None, "another server's");
        assert_eq!(answered(&[53, 1, 7]), None, "a release needs no answer");
    }

    proptest! {
        #[test]
        fn no_request_breaks_it(options in prop::collection::vec(any::<u8>(), 0..60), cut in 0..300_usize) {
            let mut bytes = request(&options);
            bytes.truncate(cut);
            let _ = answer(&Plan::masquerade().wan, LEASED, &bytes);
            let _ = answer(&Plan::masquerade().wan, LEASED, &request(&options));
        }
    }
}
