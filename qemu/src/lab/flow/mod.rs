//! Flows inside the lab's loop: both ends of each, and who waits for what.
//!
//! [`pump`] moves the payload, [`line`] text, [`check`] refuses what cannot be sent, [`sockets`] makes and binds.

mod check;
mod line;
mod pump;
mod sockets;

use std::net::SocketAddr;
use std::time::Instant;

use model::{Deadline, Failure, Result};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::failures;
use super::host::Host;
use super::notes::Noted;
use super::plan::Both;
use super::remote::Reply;
use super::report::{Direction, Exchange, FlowReport};
use super::traffic::{End, Flow, Special, Transport};
use super::way::Way;
use line::Line;

/// The far end's payload differs from the near end's by this in the seed.
const ANSWER_SEED: u64 = 0xa5a5_a5a5_5a5a_5a5a;

/// Who waits, and for what.
#[derive(Debug)]
enum Wait {
    Open(Reply<SocketAddr>),
    Exchange(Reply<Exchange>),
    Line(Reply<String>),
    End(Reply<FlowReport>),
}

/// How things stood when the current exchange began.
#[derive(Debug)]
struct Began {
    at: Instant,
    /// The number of its first datagram, or byte.
    number: u64,
    /// ICMP errors that the near end had got.
    refused: u64,
    /// Whether it is no failure when nothing comes back.
    may_be_lost: bool,
}

/// An open flow.
#[derive(Debug)]
pub(super) struct OpenFlow {
    pub(super) flow: Flow,
    source: SocketAddr,
    near: SocketHandle,
    /// Our far end; an echo has none.
    far: Option<SocketHandle>,
    there: Way,
    back: Way,
    opened: Instant,
    /// Payload bytes of datagrams, in turn.
    sizes: Vec<usize>,
    /// What may be sent in all: datagrams or bytes.
    goal: u64,
    began: Began,
    /// Datagrams of the current exchange whose answers came back.
    returned: u64,
    /// Datagrams with a lower number have arrived or are lost.
    floor: u64,
    /// When something last arrived, or was sent with nothing under way.
    progress: Instant,
    wait: Option<(Wait, Deadline)>,
    /// Text that is said just now.
    line: Option<Line>,
    /// Why the flow cannot go on.
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
        check::flow(&flow, &hosts.get(flow.from).plan)?;
        let transport = flow.transport;
        let near = hosts.get_mut(flow.from);
        let Some(port) = near.free_port(transport) else {
            return Err(failures::bad_flow("every port of the near host is in use"));
        };
        if let Some(listen) = far_port(&flow, port)
            && !hosts.get_mut(flow.far).watch(transport, listen)
        {
            return Err(failures::bad_flow(format!("port {listen} of the far host is used by another flow")));
        }
        let near = hosts.get_mut(flow.from);
        near.watch(transport, port);
        let source = SocketAddr::new(near.source_for(flow.to.ip()), port);
        let now = Instant::now();
        let open = OpenFlow {
            near: sockets::add(&flow, near),
            far: (!flow.echo).then(|| sockets::add(&flow, hosts.get_mut(flow.far))),
            source,
            there: Way::new(flow.seed),
            back: Way::new(if flow.echo { flow.seed } else { flow.seed ^ ANSWER_SEED }),
            opened: now,
            sizes: flow.sizes.clone(),
            goal: 0,
            began: Began { at: now, number: 0, refused: 0, may_be_lost: false },
            returned: 0,
            floor: 0,
            progress: now,
            wait: None,
            line: None,
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

    /// Takes the sockets away, without a word to the router.
    pub(super) fn remove(self, hosts: &mut Both<Host>) {
        let Flow { from, far: far_side, transport, .. } = self.flow;
        let near = hosts.get_mut(from);
        near.sockets.remove(self.near);
        near.unwatch(transport, self.source.port());
        let far = hosts.get_mut(far_side);
        if let Some(socket) = self.far {
            far.sockets.remove(socket);
        }
        if let Some(port) = far_port(&self.flow, self.source.port()) {
            far.unwatch(transport, port);
        }
    }

    /// Begins an exchange of `amount` more datagrams or bytes, `special` ones if given.
    pub(super) fn exchange(
        &mut self,
        amount: u64,
        special: Option<Special>,
        deadline: Deadline,
        reply: Reply<Exchange>,
        hosts: &mut Both<Host>,
    ) {
        let may_be_lost = special.is_some();
        let special = special.unwrap_or_default();
        if let Err(failure) = check::special(&special, &self.flow, &hosts.get(self.flow.from).plan) {
            return reply.send(Err(failure));
        }
        self.dress(&special, hosts);
        self.sizes = if special.sizes.is_empty() { self.flow.sizes.clone() } else { special.sizes };
        // An exchange that was given up leaves no debt.
        let number = match self.flow.transport {
            Transport::Tcp => self.there.sent.bytes,
            Transport::Udp | Transport::Icmp => self.there.sent.datagrams,
        };
        let now = Instant::now();
        let refused = self.noted(hosts).0.refusals.total();
        self.began = Began { at: now, number, refused, may_be_lost };
        self.goal = number.saturating_add(amount);
        self.returned = 0;
        self.progress = now;
        self.wait = Some((Wait::Exchange(reply), deadline));
    }

    /// Begins to send a line of text from one end.
    pub(super) fn say(&mut self, from: End, text: String, deadline: Deadline, reply: Reply<String>) {
        match Line::new(&self.flow, from, &text) {
            Ok(line) => {
                self.line = Some(line);
                self.wait = Some((Wait::Line(reply), deadline));
            }
            Err(failure) => reply.send(Err(failure)),
        }
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

    /// What was noted at the near and at the far end.
    fn noted(&self, hosts: &Both<Host>) -> (Noted, Noted) {
        let Flow { from, transport, .. } = self.flow;
        let near = hosts.get(from).noted(transport, self.source.port());
        let far = far_port(&self.flow, self.source.port());
        (near, far.map_or_else(Noted::default, |port| hosts.get(self.flow.far).noted(transport, port)))
    }

    /// What is known.
    pub(super) fn report(&self, hosts: &Both<Host>) -> FlowReport {
        let (near, far) = self.noted(hosts);
        let there = self.there.direction(far.arrivals, near.refusals);
        let mut back = self.back.direction(near.arrivals, far.refusals);
        if self.flow.echo {
            back.sent = there.sent.clone();
        }
        FlowReport { flow: self.flow.clone(), near: self.source, there, back, took: self.opened.elapsed() }
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
        let (near, far) = self.states(hosts);
        let heard = self.line.as_ref().and_then(Line::heard);
        match &wait {
            Wait::Open(reply) if [near, far].iter().flatten().all(|&state| state == State::Established) => {
                reply.send(Ok(self.source));
            }
            Wait::End(reply) if matches!(near, None | Some(State::TimeWait | State::Closed)) && far_is_done(far) => {
                reply.send(Ok(self.report(hosts)));
                return true;
            }
            Wait::Open(_) | Wait::Exchange(_) | Wait::Line(_)
                if near == Some(State::Closed) || far == Some(State::Closed) =>
            {
                let failure = failures::reset(&self.flow, &self.progress_text(hosts));
                self.broken = Some(failure.clone());
                return refuse(wait, failure);
            }
            Wait::Line(reply) if heard.is_some() => {
                reply.send(Ok(heard.unwrap_or_default()));
                self.line = None;
            }
            Wait::Exchange(reply) if self.is_exchanged(hosts) => reply.send(self.exchanged(hosts)),
            _ if deadline.passed() => {
                let text = self.progress_text(hosts);
                let failure = match wait {
                    Wait::Open(_) => failures::no_connection(&self.flow, deadline, &text),
                    Wait::Exchange(_) | Wait::Line(_) => failures::stalled(&self.flow, deadline, &text),
                    Wait::End(_) => failures::not_ended(&self.flow, deadline, &text),
                };
                // Nothing more is sent for an exchange or a line that nobody waits for.
                self.goal = 0;
                self.line = None;
                return refuse(wait, failure);
            }
            _ => self.wait = Some((wait, deadline)),
        }
        false
    }

    /// States of the TCP connection's ends, as far as there are any.
    fn states(&self, hosts: &mut Both<Host>) -> (Option<State>, Option<State>) {
        if self.flow.transport != Transport::Tcp {
            return (None, None);
        }
        let near = hosts.get_mut(self.flow.from).tcp(self.near).state();
        (Some(near), self.far.map(|far| hosts.get_mut(self.flow.far).tcp(far).state()))
    }

    /// ICMP errors that the near end got during the current exchange.
    fn refused(&self, hosts: &Both<Host>) -> u64 {
        self.noted(hosts).0.refusals.total() - self.began.refused
    }

    fn is_exchanged(&self, hosts: &Both<Host>) -> bool {
        match self.flow.transport {
            Transport::Tcp => self.back.received.bytes >= self.goal,
            Transport::Udp | Transport::Icmp => {
                let answered = || self.returned + self.refused(hosts) >= self.goal - self.began.number;
                self.there.sent.datagrams >= self.goal && (answered() || self.is_quiet())
            }
        }
    }

    fn exchanged(&self, hosts: &Both<Host>) -> Result<Exchange> {
        let Began { at, number, may_be_lost, .. } = self.began;
        let sent = self.goal - number;
        let returned = match self.flow.transport {
            Transport::Tcp => sent,
            Transport::Udp | Transport::Icmp => self.returned,
        };
        if returned == 0 && sent > 0 && !may_be_lost {
            return Err(failures::silence(&self.flow, &self.progress_text(hosts)));
        }
        Ok(Exchange { sent, returned, refused: self.refused(hosts), took: at.elapsed() })
    }

    /// How far the flow came, for messages: the first thing that is missing tells where to look.
    fn progress_text(&self, hosts: &Both<Host>) -> String {
        let report = self.report(hosts);
        let text = |(way, direction): (&str, &Direction)| {
            format!("{way} the far end: {direction}, in {} packets", direction.wire.packets)
        };
        let ways: Vec<String> = report.known().map(text).collect();
        match report.there.refusals.from {
            Some(router) => format!("{}; {router} says: {}", ways.join("; "), report.there.refusals),
            None => ways.join("; "),
        }
    }

    /// Whether the near end waits for a first packet, and may have to learn its next hop.
    pub(super) fn is_unanswered(&self, hosts: &Both<Host>) -> bool {
        let near = hosts.get(self.flow.from);
        self.wait.is_some() && near.noted(self.flow.transport, self.source.port()).arrivals.packets == 0
    }

    /// When to look again though no frame arrived.
    pub(super) fn wakeup(&self) -> Option<Instant> {
        let (wait, deadline) = self.wait.as_ref()?;
        let loss = match (wait, self.flow.transport) {
            (Wait::Exchange(_), Transport::Udp | Transport::Icmp) => Some(self.progress + self.flow.loss_after),
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
        Wait::Line(reply) => {
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

/// The port of the far host that a flow's packets go to, by which they are noted there: of ICMP echo,
/// the identifier, which routers seldom change.
fn far_port(flow: &Flow, near: u16) -> Option<u16> {
    match (flow.transport, flow.echo) {
        (Transport::Icmp, _) => Some(near),
        (_, true) => None,
        (_, false) => Some(flow.far_port()),
    }
}
