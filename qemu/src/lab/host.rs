//! One of our two hosts: a user-space TCP/IP stack on a link.
//!
//! ARP, neighbour discovery, ping and TCP are smoltcp's. Only the first question for a neighbour is
//! our own: smoltcp waits a whole second before it repeats one.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::TxToken;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::link::{Link, Record};
use super::neighbour;
use super::nic::{Framing, Nic, NoNic, Room, Specials};
use super::notes::{Neighbour, Noted, Notes};
use super::plan::HostPlan;
use super::traffic::{Special, Transport};

/// How often we ask for a neighbour that does not answer. smoltcp asks once a second, too seldom for
/// a guest that has just come up.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer is good for; smoltcp forgets it after a minute.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// How long the rest of a fragmented packet is waited for: the lab's links lose nothing, so that what
/// is missing is not coming.
const REASSEMBLY: Duration = Duration::from_secs(2);

/// Ports that near ends are given: the dynamic range of RFC 6335.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A host.
pub(super) struct Host {
    pub(super) plan: HostPlan,
    interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    notes: Notes,
    specials: Specials,
    framing: Framing,
    next_port: u16,
    epoch: Instant,
}

impl Host {
    /// A host with the addresses of `plan`; time starts at `epoch`.
    pub(super) fn new(plan: HostPlan, epoch: Instant) -> Self {
        let framing = Framing::new(&plan);
        let address = match framing.concentrator {
            Some(_) => HardwareAddress::Ip,
            None => HardwareAddress::Ethernet(EthernetAddress(plan.mac)),
        };
        let mut device = NoNic { framing: &framing, mtu: plan.mtu };
        let mut interface = Interface::new(Config::new(address), &mut device, StackInstant::ZERO);
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
            if let Some((_, near)) = plan.tunnel {
                let _full = list.push(IpCidr::new(near.into(), prefix4.min(32)));
            }
        });
        if let Some(gateway) = plan.gateway4 {
            let _full = interface.routes_mut().add_default_ipv4_route(gateway);
        }
        if let Some(gateway) = plan.gateway6 {
            let _full = interface.routes_mut().add_default_ipv6_route(gateway);
        }
        interface.set_reassembly_timeout(REASSEMBLY.into());
        Host {
            plan,
            interface,
            sockets: SocketSet::new(Vec::new()),
            notes: Notes::default(),
            specials: Specials::default(),
            framing,
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
        let (notes, specials, framing) = (&mut self.notes, &mut self.specials, &mut self.framing);
        let mut nic = Nic { link, record, notes, specials, framing, mtu: self.plan.mtu };
        self.interface.poll(now, &mut nic, &mut self.sockets);
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
            Noted::default()
        });
        new
    }

    /// What was noted about a port since [`Host::watch`].
    pub(super) fn noted(&self, transport: Transport, port: u16) -> Noted {
        self.notes.watched.get(&(transport, port)).copied().unwrap_or_default()
    }

    /// Ends what [`Host::watch`] started.
    pub(super) fn unwatch(&mut self, transport: Transport, port: u16) {
        self.notes.watched.remove(&(transport, port));
        self.specials.set((transport, port), None);
    }

    /// How packets from a port have to look from now on.
    pub(super) fn send_special(&mut self, transport: Transport, port: u16, special: Option<&Special>) {
        self.specials.set((transport, port), special);
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

    /// An ICMP socket of this host.
    pub(super) fn icmp(&mut self, handle: SocketHandle) -> &mut icmp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Asks the wire for the hardware address of the next hop towards `destination`, unless it is
    /// known or was asked for just now; the stack learns it from the answer. Over PPPoE there is nothing
    /// to ask.
    pub(super) fn ask_for_neighbour(&mut self, destination: IpAddr, link: &mut Link, record: &mut Record) {
        if self.framing.concentrator.is_some() {
            return;
        }
        let now = Instant::now();
        let Some(hop) = self.plan.next_hop(destination) else { return };
        let before = self.notes.neighbours.get(&hop);
        let recent = |neighbour: &Neighbour| {
            now.duration_since(neighbour.asked) < ASK_EVERY
                || neighbour.answered.is_some_and(|at| now.duration_since(at) < KNOWN_FOR)
        };
        if before.is_some_and(recent) {
            return;
        }
        let question = neighbour::question(&self.plan, hop);
        let Some(outbox) = link.outbox() else { return };
        let room = Room { outbox, record, specials: &mut self.specials, framing: &mut self.framing };
        room.consume(question.len(), |frame| frame.copy_from_slice(&question));
        self.notes.neighbours.insert(hop, Neighbour { asked: now, answered: None });
    }

    /// Nothing is known about neighbours and sessions any more: another guest is at the wire.
    pub(super) fn forget_router(&mut self) {
        self.notes.neighbours.clear();
        self.framing = Framing::new(&self.plan);
    }
}
