//! Flows inside the lab's loop: both ends of each, and who waits for what.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use model::{Deadline, Failure, Result};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::udp::{self, UdpMetadata};
use smoltcp::socket::{tcp, udp::PacketMetadata};

use super::engine::Reply;
use super::failures;
use super::host::Host;
use super::payload::DATAGRAM_HEADER;
use super::plan::Both;
use super::traffic::{Exchange, Flow, FlowReport, Transport};
use super::way::Way;

/// The far end's payload differs from the near end's by this in the seed.
const ANSWER_SEED: u64 = 0xa5a5_a5a5_5a5a_5a5a;

/// Room in UDP buffers beyond the window, for datagrams that were given up and arrive after all.
const SPARE: usize = 16;

/// Largest windows: datagrams, and bytes.
const MAX_DATAGRAMS: usize = 1024;
const MAX_BYTES: usize = 16 << 20;

/// Datagrams of a new flow that go alone.
const ALONE: u64 = 2;

/// Who waits, and for what.
#[derive(Debug)]
enum Wait {
    Open(Reply<SocketAddr>),
    Exchange(Reply<Exchange>),
    End(Reply<FlowReport>),
}

/// An open flow.
#[derive(Debug)]
pub(super) struct OpenFlow {
    pub(super) flow: Flow,
    source: SocketAddr,
    near: SocketHandle,
    far: SocketHandle,
    there: Way,
    back: Way,
    opened: Instant,
    /// What may be sent in all: datagrams or bytes.
    goal: u64,
    /// `goal` and time when the current exchange began.
    began: (u64, Instant),
    /// Datagrams of the current exchange whose answers came back.
    returned: u64,
    /// Datagrams below this number are under way no more.
    floor: u64,
    /// When something last arrived, or was sent with nothing under way.
    progress: Instant,
    wait: Option<(Wait, Deadline)>,
    /// Why the flow can go on no more.
    broken: Option<Failure>,
}

impl OpenFlow {
    /// Makes the sockets of both ends and starts a TCP connection; `reply` gets the near end's
    /// address once the far end can be talked to. Nothing is left behind on failure.
    pub(super) fn open(
        flow: Flow,
        deadline: Deadline,
        reply: Reply<SocketAddr>,
        hosts: &mut Both<Host>,
    ) -> Option<OpenFlow> {
        match Self::prepare(flow, hosts) {
            Ok(mut open) => {
                open.wait = Some((Wait::Open(reply), deadline));
                Some(open)
            }
            Err(failure) => {
                reply.send(Err(failure));
                None
            }
        }
    }

    fn prepare(flow: Flow, hosts: &mut Both<Host>) -> Result<OpenFlow> {
        check(&flow, hosts.get(flow.from))?;
        let (transport, listen) = (flow.transport, flow.far_port());
        if !hosts.get_mut(flow.from.other()).watch(transport, listen) {
            return Err(failures::bad_flow(format!("port {listen} of the far host is used by another flow")));
        }
        let near = hosts.get_mut(flow.from);
        let Some(port) = near.free_port(transport) else {
            hosts.get_mut(flow.from.other()).unwatch(transport, listen);
            return Err(failures::bad_flow("every port of the near host is in use"));
        };
        near.watch(transport, port);
        let source = SocketAddr::new(near.source_for(flow.to.ip()), port);
        let now = Instant::now();
        let open = OpenFlow {
            near: add_socket(&flow, near),
            far: add_socket(&flow, hosts.get_mut(flow.from.other())),
            source,
            there: Way::new(flow.seed),
            back: Way::new(flow.seed ^ ANSWER_SEED),
            opened: now,
            goal: 0,
            began: (0, now),
            returned: 0,
            floor: 0,
            progress: now,
            wait: None,
            broken: None,
            flow,
        };
        if open.start(hosts) {
            Ok(open)
        } else {
            open.remove(hosts);
            Err(failures::bad_flow("the stack refuses its addresses"))
        }
    }

    /// Binds the sockets; whether that worked.
    fn start(&self, hosts: &mut Both<Host>) -> bool {
        let (side, listen) = (self.flow.from, self.flow.far_port());
        match self.flow.transport {
            Transport::Tcp => {
                hosts.get_mut(side.other()).tcp(self.far).listen(listen).is_ok()
                    && hosts.get_mut(side).connect(self.near, self.source, self.flow.to)
            }
            Transport::Udp => {
                hosts.get_mut(side.other()).udp(self.far).bind(listen).is_ok()
                    && hosts.get_mut(side).udp(self.near).bind(self.source).is_ok()
            }
        }
    }

    /// Takes the sockets away, without a word to the router.
    pub(super) fn remove(self, hosts: &mut Both<Host>) {
        let Flow { from, transport, .. } = self.flow;
        let near = hosts.get_mut(from);
        near.sockets.remove(self.near);
        near.unwatch(transport, self.source.port());
        let far = hosts.get_mut(from.other());
        far.sockets.remove(self.far);
        far.unwatch(transport, self.flow.far_port());
    }

    /// Begins an exchange of `amount` more datagrams or bytes.
    pub(super) fn exchange(&mut self, amount: u64, deadline: Deadline, reply: Reply<Exchange>) {
        // An exchange that was given up leaves no debt.
        let sent =
            if self.flow.transport == Transport::Udp { self.there.sent.datagrams } else { self.there.sent.bytes };
        self.began = (sent, Instant::now());
        self.goal = sent.saturating_add(amount);
        self.returned = 0;
        self.progress = Instant::now();
        self.wait = Some((Wait::Exchange(reply), deadline));
    }

    /// Begins to end the flow.
    pub(super) fn end(&mut self, abort: bool, deadline: Deadline, reply: Reply<FlowReport>, hosts: &mut Both<Host>) {
        if self.flow.transport == Transport::Tcp {
            let near = hosts.get_mut(self.flow.from).tcp(self.near);
            if abort { near.abort() } else { near.close() }
        }
        self.wait = Some((Wait::End(reply), deadline));
    }

    /// The flow cannot go on.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.broken.get_or_insert_with(|| failure.clone());
    }

    /// What is known.
    pub(super) fn report(&self, hosts: &Both<Host>) -> FlowReport {
        let Flow { from, transport, .. } = self.flow;
        let near = hosts.get(from).arrivals(transport, self.source.port());
        let far = hosts.get(from.other()).arrivals(transport, self.flow.far_port());
        FlowReport {
            flow: self.flow.clone(),
            near: self.source,
            there: self.there.direction(far),
            back: self.back.direction(near),
            took: self.opened.elapsed(),
        }
    }

    /// Moves payload between the payload generators and the sockets of both ends.
    pub(super) fn advance(&mut self, hosts: &mut Both<Host>) {
        match self.flow.transport {
            Transport::Tcp => self.advance_tcp(hosts),
            Transport::Udp => self.advance_udp(hosts),
        }
    }

    fn advance_tcp(&mut self, hosts: &mut Both<Host>) {
        let far = hosts.get_mut(self.flow.from.other()).tcp(self.far);
        self.there.source = self.there.source.or_else(|| far.remote_endpoint().map(Into::into));
        receive(far, &mut self.there);
        send(far, &mut self.back, self.there.received.bytes);
        if far.state() == State::CloseWait && far.send_queue() == 0 {
            far.close();
        }
        let near = hosts.get_mut(self.flow.from).tcp(self.near);
        self.back.source = self.back.source.or_else(|| near.remote_endpoint().map(Into::into));
        receive(near, &mut self.back);
        send(near, &mut self.there, self.goal);
    }

    fn advance_udp(&mut self, hosts: &mut Both<Host>) {
        let far = hosts.get_mut(self.flow.from.other()).udp(self.far);
        while let Ok((data, from)) = far.recv() {
            let (length, source) = (data.len(), SocketAddr::from(from.endpoint));
            let number = self.there.receive_datagram(data, source, self.there.sent.datagrams);
            let answer = UdpMetadata { local_address: from.local_address, ..from.endpoint.into() };
            if let Some(number) = number
                && let Ok(out) = far.send(length, answer)
            {
                self.back.send_datagram(number, out);
            }
        }
        let near = hosts.get_mut(self.flow.from).udp(self.near);
        while let Ok((data, from)) = near.recv() {
            self.progress = Instant::now();
            let source = SocketAddr::from(from.endpoint);
            if let Some(number) = self.back.receive_datagram(data, source, self.there.sent.datagrams) {
                self.floor = self.floor.max(number + 1);
                self.returned += u64::from(number >= self.began.0);
            }
        }
        if self.is_quiet() {
            self.floor = self.there.sent.datagrams;
        }
        while self.there.sent.datagrams < self.goal && self.under_way() < self.window() {
            let number = self.there.sent.datagrams;
            let size = self.size(number);
            let Ok(out) = near.send(size, self.flow.to) else { break };
            if self.under_way() == 0 {
                self.progress = Instant::now();
            }
            self.there.send_datagram(number, out);
        }
    }

    fn size(&self, number: u64) -> usize {
        let turn = number % self.flow.sizes.len().max(1) as u64;
        usize::try_from(turn).ok().and_then(|turn| self.flow.sizes.get(turn)).copied().unwrap_or(DATAGRAM_HEADER)
    }

    fn under_way(&self) -> u64 {
        self.there.sent.datagrams - self.floor
    }

    fn window(&self) -> u64 {
        if self.back.received.datagrams < ALONE { 1 } else { self.flow.window as u64 }
    }

    /// Whether what has not arrived by now is lost.
    fn is_quiet(&self) -> bool {
        self.progress.elapsed() >= self.flow.loss_after
    }

    /// Answers who waits, when it is time; whether the flow is over.
    pub(super) fn settle(&mut self, hosts: &mut Both<Host>) -> bool {
        let Some((wait, deadline)) = self.wait.take() else { return false };
        if let Some(failure) = &self.broken {
            return refuse(wait, failure.clone());
        }
        let near = match self.flow.transport {
            Transport::Tcp => Some(hosts.get_mut(self.flow.from).tcp(self.near).state()),
            Transport::Udp => None,
        };
        let far = match self.flow.transport {
            Transport::Tcp => Some(hosts.get_mut(self.flow.from.other()).tcp(self.far).state()),
            Transport::Udp => None,
        };
        match &wait {
            Wait::Open(reply) if [near, far].iter().flatten().all(|&state| state == State::Established) => {
                reply.send(Ok(self.source));
            }
            Wait::End(reply) if matches!(near, None | Some(State::TimeWait | State::Closed)) && far_is_done(far) => {
                reply.send(Ok(self.report(hosts)));
                return true;
            }
            Wait::Open(_) | Wait::Exchange(_) if near == Some(State::Closed) || far == Some(State::Closed) => {
                let failure = failures::reset(&self.flow, &self.progress_text(hosts));
                self.broken = Some(failure.clone());
                return refuse(wait, failure);
            }
            Wait::Exchange(reply) if self.is_exchanged() => reply.send(self.exchanged(hosts)),
            _ if deadline.passed() => {
                let text = self.progress_text(hosts);
                let failure = match wait {
                    Wait::Open(_) => failures::no_connection(&self.flow, deadline, &text),
                    Wait::Exchange(_) => failures::stalled(&self.flow, deadline, &text),
                    Wait::End(_) => failures::not_ended(&self.flow, deadline, &text),
                };
                // Nothing more is sent for an exchange that nobody waits for.
                self.goal = 0;
                return refuse(wait, failure);
            }
            _ => self.wait = Some((wait, deadline)),
        }
        false
    }

    fn is_exchanged(&self) -> bool {
        match self.flow.transport {
            Transport::Tcp => self.back.received.bytes >= self.goal,
            Transport::Udp => {
                self.there.sent.datagrams >= self.goal && (self.returned >= self.goal - self.began.0 || self.is_quiet())
            }
        }
    }

    fn exchanged(&self, hosts: &Both<Host>) -> Result<Exchange> {
        let (from, began) = self.began;
        let sent = self.goal - from;
        let returned = match self.flow.transport {
            Transport::Tcp => sent,
            Transport::Udp => self.returned,
        };
        if returned == 0 && sent > 0 {
            return Err(failures::silence(&self.flow, &self.progress_text(hosts)));
        }
        Ok(Exchange { sent, returned, took: began.elapsed() })
    }

    /// How far the flow came, for messages: the first thing that is missing tells where to look.
    fn progress_text(&self, hosts: &Both<Host>) -> String {
        let report = self.report(hosts);
        format!(
            "towards the far end: {}, in {} packets; back: {}, in {} packets",
            report.there, report.there.wire.packets, report.back, report.back.wire.packets
        )
    }

    /// Whether the near end waits for a first packet, and may have to learn its next hop.
    pub(super) fn is_unanswered(&self, hosts: &Both<Host>) -> bool {
        let near = hosts.get(self.flow.from);
        self.wait.is_some() && near.arrivals(self.flow.transport, self.source.port()).packets == 0
    }

    /// When to look again though no frame arrived.
    pub(super) fn wakeup(&self) -> Option<Instant> {
        let (wait, deadline) = self.wait.as_ref()?;
        let loss = match (wait, self.flow.transport) {
            (Wait::Exchange(_), Transport::Udp) => Some(self.progress + self.flow.loss_after),
            _ => None,
        };
        Some(loss.map_or(deadline.at, |loss| loss.min(deadline.at)))
    }
}

/// Passes a failure to who waits; whether the flow is over with it.
fn refuse(wait: Wait, failure: Failure) -> bool {
    match wait {
        Wait::Open(reply) => {
            reply.send(Err(failure));
            true
        }
        Wait::Exchange(reply) => {
            reply.send(Err(failure));
            false
        }
        Wait::End(reply) => {
            reply.send(Err(failure));
            true
        }
    }
}

fn far_is_done(state: Option<State>) -> bool {
    matches!(state, None | Some(State::Closed))
}

/// Sends the TCP stream up to `goal`.
fn send(socket: &mut tcp::Socket<'_>, way: &mut Way, goal: u64) {
    while way.sent.bytes < goal && socket.can_send() {
        let left = usize::try_from(goal - way.sent.bytes).unwrap_or(usize::MAX);
        let sent = socket.send(|room| {
            let length = room.len().min(left);
            way.send_bytes(&mut room[..length]);
            (length, length)
        });
        if !matches!(sent, Ok(1..)) {
            break;
        }
    }
}

/// Takes what arrived of the TCP stream.
fn receive(socket: &mut tcp::Socket<'_>, way: &mut Way) {
    while socket.can_recv() {
        let received = socket.recv(|data| {
            way.receive_bytes(data);
            (data.len(), data.len())
        });
        if !matches!(received, Ok(1..)) {
            break;
        }
    }
}

/// A new socket for a flow.
fn add_socket(flow: &Flow, host: &mut Host) -> SocketHandle {
    match flow.transport {
        Transport::Tcp => host.add_tcp(flow.window),
        Transport::Udp => {
            let slots = flow.window + SPARE;
            let bytes = slots * flow.sizes.iter().copied().max().unwrap_or(DATAGRAM_HEADER);
            let buffer = || udp::PacketBuffer::new(vec![PacketMetadata::EMPTY; slots], vec![0; bytes]);
            host.sockets.add(udp::Socket::new(buffer(), buffer()))
        }
    }
}

/// Refuses what the stack cannot send, before anything is set up.
fn check(flow: &Flow, near: &Host) -> Result<()> {
    let refuse = |why: String| Err(failures::bad_flow(why));
    let to = flow.to.ip();
    if to.is_multicast() || to.is_unspecified() || to == IpAddr::from([255; 4]) {
        return refuse(format!("{to} is not the address of one host"));
    }
    if near.plan.next_hop(to).is_none() {
        return refuse(format!("the {} host has no route to {to}", flow.from.word()));
    }
    if flow.to.port() == 0 || flow.far_port() == 0 {
        return refuse("port 0 cannot be sent to".into());
    }
    let most = match flow.transport {
        Transport::Tcp => MAX_BYTES,
        Transport::Udp => MAX_DATAGRAMS,
    };
    if !(1..=most).contains(&flow.window) {
        return refuse(format!("a window of {} is not between 1 and {most}", flow.window));
    }
    let headers = 8 + if to.is_ipv4() { 20 } else { 40 };
    let room = near.plan.mtu - headers;
    let bad = flow.sizes.iter().find(|&&size| !(DATAGRAM_HEADER..=room).contains(&size));
    match bad {
        _ if flow.transport == Transport::Tcp => Ok(()),
        Some(size) => refuse(format!("a datagram of {size} bytes is not between {DATAGRAM_HEADER} and {room}")),
        None if flow.sizes.is_empty() => refuse("no size of datagrams is given".into()),
        None => Ok(()),
    }
}
