//! One of our two hosts: a user-space TCP/IP stack on a link.
//!
//! ARP, neighbour discovery, ping and TCP are smoltcp's. Only the first question for a neighbour is
//! our own: smoltcp waits a whole second before it repeats one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, HardwareAddress,
    Icmpv6Packet, Icmpv6Repr, IpCidr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr,
};

use super::link::{Link, Outbox, Record};
use super::plan::HostPlan;
use super::traffic::Transport;
use super::wire::{Arrivals, ETHERNET_HEADER, Neighbour, NoWire, Notes, Wire};

/// How often we ask for a neighbour that does not answer. smoltcp asks once a second, too seldom for
/// a guest that has just come up.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer is good for; smoltcp forgets it after a minute.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// Ports that near ends are given: the dynamic range of RFC 6335.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A host.
pub(super) struct Host {
    pub(super) plan: HostPlan,
    interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    notes: Notes,
    next_port: u16,
    epoch: Instant,
}

impl Host {
    /// A host with the addresses of `plan`; time starts at `epoch`.
    pub(super) fn new(plan: HostPlan, epoch: Instant) -> Self {
        let address = HardwareAddress::Ethernet(EthernetAddress(plan.mac));
        let mut interface = Interface::new(Config::new(address), &mut NoWire { mtu: plan.mtu }, StackInstant::ZERO);
        interface.update_ip_addrs(|list| {
            let (address4, prefix4) = plan.ipv4;
            let (address6, prefix6) = plan.ipv6;
            for cidr in [
                IpCidr::new(address4.into(), prefix4.min(32)),
                IpCidr::new(address6.into(), prefix6.min(128)),
                IpCidr::new(plan.link_local.into(), 64),
            ] {
                // The list is sized for these by a feature of smoltcp.
                let _full = list.push(cidr);
            }
        });
        if let Some(gateway) = plan.gateway4 {
            let _full = interface.routes_mut().add_default_ipv4_route(gateway);
        }
        if let Some(gateway) = plan.gateway6 {
            let _full = interface.routes_mut().add_default_ipv6_route(gateway);
        }
        Host {
            plan,
            interface,
            sockets: SocketSet::new(Vec::new()),
            notes: Notes::default(),
            next_port: *PORTS.start(),
            epoch,
        }
    }

    fn now(&self) -> StackInstant {
        StackInstant::from_micros(i64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Takes what arrived and sends what sockets hold.
    pub(super) fn poll(&mut self, link: &mut Link, record: &mut Record) {
        let now = self.now();
        let mut wire = Wire { link, record, notes: &mut self.notes, mtu: self.plan.mtu };
        self.interface.poll(now, &mut wire, &mut self.sockets);
    }

    /// How long the stack can wait; `None` when only a frame can change anything.
    pub(super) fn delay(&mut self) -> Option<Duration> {
        let now = self.now();
        self.interface.poll_delay(now, &self.sockets).map(Into::into)
    }

    /// The address that packets to `destination` carry.
    pub(super) fn source_for(&self, destination: IpAddr) -> IpAddr {
        match destination {
            IpAddr::V4(_) => IpAddr::V4(self.plan.ipv4.0),
            IpAddr::V6(address) if address.is_unicast_link_local() => IpAddr::V6(self.plan.link_local),
            IpAddr::V6(_) => IpAddr::V6(self.plan.ipv6.0),
        }
    }

    /// A port that is not in use.
    pub(super) fn free_port(&mut self, transport: Transport) -> Option<u16> {
        for _ in PORTS {
            let port = self.next_port;
            self.next_port = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
            if !self.notes.watched.contains_key(&(transport, port)) {
                return Some(port);
            }
        }
        None
    }

    /// Starts to note what arrives for a port; `false` when somebody does already.
    pub(super) fn watch(&mut self, transport: Transport, port: u16) -> bool {
        let mut new = false;
        self.notes.watched.entry((transport, port)).or_insert_with(|| {
            new = true;
            Arrivals::default()
        });
        new
    }

    /// What arrived for a port since [`Host::watch`].
    pub(super) fn arrivals(&self, transport: Transport, port: u16) -> Arrivals {
        self.notes.watched.get(&(transport, port)).copied().unwrap_or_default()
    }

    /// Ends what [`Host::watch`] started.
    pub(super) fn unwatch(&mut self, transport: Transport, port: u16) {
        self.notes.watched.remove(&(transport, port));
    }

    /// A new TCP socket with buffers of `window` bytes.
    ///
    /// Nagle's algorithm (RFC 896) is off: together with delayed acknowledgements it makes every odd
    /// last segment wait.
    pub(super) fn add_tcp(&mut self, window: usize) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; window]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        self.sockets.add(socket)
    }

    /// A TCP socket of this host.
    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// A UDP socket of this host.
    pub(super) fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Starts a TCP connection; `false` when the addresses cannot be used.
    pub(super) fn connect(&mut self, handle: SocketHandle, from: SocketAddr, to: SocketAddr) -> bool {
        let context = self.interface.context();
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(context, to, from).is_ok()
    }

    /// Asks the wire for the hardware address of the next hop towards `destination`, unless it is
    /// known or was asked for just now; the stack learns it from the answer.
    pub(super) fn ask_for_neighbour(&mut self, destination: IpAddr, link: &mut Link, record: &mut Record) {
        let now = Instant::now();
        let (Some(hop), Some(outbox)) = (self.plan.next_hop(destination), link.outbox()) else { return };
        let before = self.notes.neighbours.get(&hop);
        let recent = |neighbour: &Neighbour| {
            now.duration_since(neighbour.asked) < ASK_EVERY
                || neighbour.answered.is_some_and(|at| now.duration_since(at) < KNOWN_FOR)
        };
        if before.is_some_and(recent) {
            return;
        }
        self.notes.neighbours.insert(hop, Neighbour { asked: now, answered: None });
        match hop {
            IpAddr::V4(hop) => self.ask_ipv4(hop, outbox, record),
            IpAddr::V6(hop) => self.ask_ipv6(hop, outbox, record),
        }
    }

    /// Nothing is known about neighbours any more: another guest is at the wire.
    pub(super) fn forget_neighbours(&mut self) {
        self.notes.neighbours.clear();
    }

    /// An ARP request, RFC 826.
    fn ask_ipv4(&self, hop: Ipv4Addr, outbox: &mut Outbox, record: &mut Record) {
        let own = EthernetAddress(self.plan.mac);
        let question = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: own,
            source_protocol_addr: self.plan.ipv4.0,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: hop,
        };
        let header =
            EthernetRepr { src_addr: own, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
        outbox.push(record, ETHERNET_HEADER + question.buffer_len(), |bytes| {
            let mut frame = EthernetFrame::new_unchecked(bytes);
            header.emit(&mut frame);
            question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        });
    }

    /// A neighbour solicitation to the solicited-node group, RFC 4861 §4.3.
    fn ask_ipv6(&self, hop: Ipv6Addr, outbox: &mut Outbox, record: &mut Record) {
        let own = EthernetAddress(self.plan.mac);
        let [.., a, b, c] = hop.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        let source = self.plan.ipv6.0;
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
        let length = ETHERNET_HEADER + packet.buffer_len() + question.buffer_len();
        outbox.push(record, length, |bytes| {
            let mut frame = EthernetFrame::new_unchecked(bytes);
            header.emit(&mut frame);
            let mut ipv6 = Ipv6Packet::new_unchecked(frame.payload_mut());
            packet.emit(&mut ipv6);
            let mut icmp = Icmpv6Packet::new_unchecked(ipv6.payload_mut());
            question.emit(&source, &group, &mut icmp, &ChecksumCapabilities::default());
        });
    }
}
