//! The sockets of a flow: made, bound, and told how their packets have to look.

use std::num::NonZeroU8;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::icmp::{self, Endpoint};
use smoltcp::socket::udp::{self, PacketMetadata};

use super::super::host::Host;
use super::super::plan::Both;
use super::super::traffic::{Flow, Special, Transport};
use super::{OpenFlow, check};

/// Room in buffers of datagrams beyond the window, for those that were given up and arrive after all.
const SPARE: usize = 16;

/// A new socket for a flow.
pub(super) fn add(flow: &Flow, host: &mut Host) -> SocketHandle {
    // As large as any datagram of a later exchange. Memory is taken where it is used only.
    let slots = flow.window + SPARE;
    let bytes = slots * (8 + check::room(flow, &host.plan));
    match flow.transport {
        Transport::Tcp => host.add_tcp(flow.window),
        Transport::Udp => {
            let buffer = || udp::PacketBuffer::new(vec![PacketMetadata::EMPTY; slots], vec![0; bytes]);
            host.sockets.add(udp::Socket::new(buffer(), buffer()))
        }
        Transport::Icmp => {
            let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; slots], vec![0; bytes]);
            host.sockets.add(icmp::Socket::new(buffer(), buffer()))
        }
    }
}

impl OpenFlow {
    /// Binds the sockets; whether that worked.
    pub(super) fn start(&self, hosts: &mut Both<Host>) -> bool {
        let listen = self.flow.far_port();
        let far = self.far.is_none_or(|far| {
            let host = hosts.get_mut(self.flow.far);
            match self.flow.transport {
                Transport::Tcp => host.tcp(far).listen(listen).is_ok(),
                Transport::Udp => host.udp(far).bind(listen).is_ok(),
                Transport::Icmp => false,
            }
        });
        let near = hosts.get_mut(self.flow.from);
        far && match self.flow.transport {
            Transport::Tcp => near.connect(self.near, self.source, self.flow.to),
            Transport::Udp => near.udp(self.near).bind(self.source).is_ok(),
            Transport::Icmp => near.icmp(self.near).bind(Endpoint::Ident(self.source.port())).is_ok(),
        }
    }

    /// Makes the packets of both ends look like `special` from now on.
    pub(super) fn dress(&self, special: &Special, hosts: &mut Both<Host>) {
        let Flow { from, far: far_side, transport, .. } = self.flow;
        let near = Some((from, self.near, self.source.port()));
        let far = self.far.map(|far| (far_side, far, self.flow.far_port()));
        for (side, socket, port) in near.into_iter().chain(far) {
            let host = hosts.get_mut(side);
            let hop_limit = special.hop_limit.map(NonZeroU8::get);
            match transport {
                Transport::Tcp => host.tcp(socket).set_hop_limit(hop_limit),
                Transport::Udp => host.udp(socket).set_hop_limit(hop_limit),
                Transport::Icmp => host.icmp(socket).set_hop_limit(hop_limit),
            }
            host.send_special(transport, port, Some(special));
        }
    }
}
