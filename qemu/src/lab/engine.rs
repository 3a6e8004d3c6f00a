//! The lab's thread: one loop over both links, both hosts, all flows and the web server.
//!
//! It sleeps in poll(2) until a frame, a command or a due time. Callers talk to it through a channel,
//! and wake it through a socket pair.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use model::{Deadline, Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::dhcp;
use super::failures;
use super::flow::OpenFlow;
use super::host::Host;
use super::http::Server;
use super::link::{Link, Record};
use super::plan::{Both, Plan, Side};
use super::remote::{Command, Reply};
use super::wire::{Closed, Wire, Wires};

/// How often a flow that was never answered is looked at, to ask for its next hop again.
const UNANSWERED: Duration = Duration::from_millis(50);

/// One of the two wires.
struct End {
    side: Side,
    wire: Box<dyn Wire>,
    /// While somebody is at the other end.
    link: Option<Link>,
    record: Record,
    /// Why there is no link any more.
    down: Option<Failure>,
}

impl End {
    /// Why there is no link.
    fn reason(&self) -> Failure {
        match &self.down {
            Some(failure) => failure.clone(),
            None => self.closed(Closed(format!("{} has not connected yet", self.wire.words().who))),
        }
    }

    fn closed(&self, Closed(why): Closed) -> Failure {
        failures::not_connected(self.side, &why, self.wire.words())
    }

    /// Finds the other end, or reads what it sent.
    fn take(&mut self) -> Result<Taken> {
        if let Some(link) = &mut self.link {
            // What the other end sends waits while it does not take what we sent: that bounds our memory.
            let taken = if link.outbox.is_full() { Ok(()) } else { self.wire.receive(&mut link.inbox) };
            return taken.map(|()| Taken::Frames).map_err(|closed| self.closed(closed));
        }
        match self.wire.connect() {
            Ok(false) => Ok(Taken::Nobody),
            Ok(true) => {
                self.link = Some(Link::default());
                self.down = None;
                self.record.counts.connections += 1;
                Ok(Taken::Somebody)
            }
            Err(error) => {
                let doing = format!("accept {}'s connection", self.wire.words().who);
                Ok(Taken::Broken(failures::broken(&doing, &error)))
            }
        }
    }

    /// Sends what waits, and looks whether what arrived can be frames.
    fn send(&mut self) -> Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let sent = self.wire.send(&mut link.outbox);
        let announced = link.inbox.has_frame();
        sent.map_err(|closed| self.closed(closed))?;
        announced.map(|_| ()).map_err(|length| failures::framing(self.side, length, self.wire.words()))
    }
}

/// What a look at a wire came to.
enum Taken {
    Frames,
    Nobody,
    Somebody,
    /// The lab cannot go on.
    Broken(Failure),
}

/// Everything that the thread owns.
pub(super) struct Engine {
    commands: Receiver<Command>,
    wake: UnixStream,
    ends: Both<End>,
    hosts: Both<Host>,
    flows: BTreeMap<u64, OpenFlow>,
    server: Server,
    dhcp: Both<Option<dhcp::Server>>,
    connecting: Vec<(Deadline, Reply<()>)>,
    /// What broke the lab itself; from then on it only answers with this.
    fault: Option<Failure>,
}

/// What the thread is started with; neither the socket nor the wires block.
pub(super) struct Parts {
    pub(super) commands: Receiver<Command>,
    pub(super) wake: UnixStream,
    pub(super) wires: Wires,
    pub(super) records: Both<Record>,
    pub(super) plan: Plan,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { commands, wake, wires, records, plan } = parts;
        let epoch = Instant::now();
        let mut hosts = Both { lan: Host::new(plan.lan, epoch), wan: Host::new(plan.wan, epoch) };
        let dhcp = Both { lan: dhcp::Server::start(&mut hosts.lan), wan: dhcp::Server::start(&mut hosts.wan) };
        let end = |side, wire, record| End { side, wire, link: None, record, down: None };
        Engine {
            commands,
            wake,
            ends: Both { lan: end(Side::Lan, wires.lan, records.lan), wan: end(Side::Wan, wires.wan, records.wan) },
            hosts,
            dhcp,
            flows: BTreeMap::new(),
            server: Server::default(),
            connecting: Vec::new(),
            fault: None,
        }
    }

    /// Runs until it is told to end, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        loop {
            self.sleep();
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Shutdown) => return,
                    Ok(command) => self.obey(command),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            if self.fault.is_none() {
                self.turn();
            }
        }
    }

    /// Waits for a frame, a command or a due time.
    fn sleep(&mut self) {
        let timeout = self.timeout();
        let mut watched = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if self.fault.is_none() {
            for end in [&self.ends.lan, &self.ends.wan] {
                let mut flags = PollFlags::IN;
                if let Some(link) = &end.link {
                    flags.set(PollFlags::IN, !link.outbox.is_full());
                    flags.set(PollFlags::OUT, !link.outbox.is_empty());
                }
                watched.extend(end.wire.fd().map(|fd| PollFd::from_borrowed_fd(fd, flags)));
            }
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let outcome = poll(&mut watched, timeout.as_ref());
        drop(watched);
        if let Err(error) = outcome
            && error != rustix::io::Errno::INTR
        {
            self.break_down(failures::broken("wait for frames", &error.into()));
        }
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(64)) {}
    }

    /// How long nothing is due; `None` for ever.
    fn timeout(&mut self) -> Option<Duration> {
        if self.fault.is_some() {
            return None;
        }
        let mut delays = Vec::new();
        for (end, host) in [(&mut self.ends.lan, &mut self.hosts.lan), (&mut self.ends.wan, &mut self.hosts.wan)] {
            // While the other end has to catch up, the stack's wish to send cannot be granted.
            if end.link.as_ref().is_some_and(|link| !link.outbox.is_full()) {
                delays.extend(host.delay());
            }
        }
        let now = Instant::now();
        let hosts = &self.hosts;
        let due = self.flows.values().filter_map(OpenFlow::wakeup);
        let due = due.chain(self.flows.values().filter(|flow| flow.is_unanswered(hosts)).map(|_| now + UNANSWERED));
        let due = due.chain(self.server.wakeup(&hosts.wan));
        let due = due.chain(self.connecting.iter().map(|(deadline, _)| deadline.at));
        delays.extend(due.map(|at| at.saturating_duration_since(now)));
        delays.into_iter().min()
    }

    /// Does what a caller asks for, or begins to.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Connected { deadline, reply } => match &self.fault {
                Some(fault) => reply.send(Err(fault.clone())),
                None => self.connecting.push((deadline, reply)),
            },
            Command::Open { id, flow, deadline, reply } => match self.not_ready() {
                Some(failure) => reply.send(Err(failure)),
                None => {
                    if let Some(flow) = OpenFlow::open(flow, deadline, reply, &mut self.hosts) {
                        self.flows.insert(id, flow);
                    }
                }
            },
            Command::Exchange { id, amount, special, deadline, reply } => {
                match (self.not_ready(), self.flows.get_mut(&id)) {
                    (Some(failure), _) => reply.send(Err(failure)),
                    (None, Some(flow)) => flow.exchange(amount, special, deadline, reply, &mut self.hosts),
                    (None, None) => reply.send(Err(failures::ended())),
                }
            }
            Command::Say { id, from, text, deadline, reply } => match (self.not_ready(), self.flows.get_mut(&id)) {
                (Some(failure), _) => reply.send(Err(failure)),
                (None, Some(flow)) => flow.say(from, text, deadline, reply),
                (None, None) => reply.send(Err(failures::ended())),
            },
            Command::Report { id, reply } => {
                // What is on the wire by now counts: whoever asks has asked the router before.
                if self.fault.is_none() {
                    self.turn();
                }
                match self.flows.get(&id) {
                    Some(flow) => reply.send(Ok(flow.report(&self.hosts))),
                    None => reply.send(Err(failures::ended())),
                }
            }
            Command::End { id, abort, deadline, reply } => match (self.not_ready(), self.flows.get_mut(&id)) {
                (Some(failure), _) => reply.send(Err(failure)),
                (None, Some(flow)) => flow.end(abort, deadline, reply, &mut self.hosts),
                (None, None) => reply.send(Err(failures::ended())),
            },
            Command::Forget { id } => self.forget(id),
            Command::Serve { root, reply } => {
                self.server.serve(root);
                // A caller who was answered may rely on a listening socket.
                self.server.advance(&mut self.hosts.wan);
                reply.send(Ok(()));
            }
            Command::Requests { reply } => reply.send(Ok(self.server.log())),
            Command::Counts { reply } => reply.send(match &self.fault {
                Some(fault) => Err(fault.clone()),
                None => Ok(Both { lan: self.ends.lan.record.counts, wan: self.ends.wan.record.counts }),
            }),
            Command::Shutdown => {}
        }
    }

    /// Why no packets can be sent.
    fn not_ready(&self) -> Option<Failure> {
        let down = |end: &End| end.link.is_none().then(|| end.reason());
        self.fault.clone().or_else(|| down(&self.ends.lan)).or_else(|| down(&self.ends.wan))
    }

    fn forget(&mut self, id: u64) {
        if let Some(flow) = self.flows.remove(&id) {
            flow.remove(&mut self.hosts);
        }
    }

    /// One turn: take frames, move payload, send frames, answer callers.
    fn turn(&mut self) {
        for side in [Side::Lan, Side::Wan] {
            let outcome = match self.ends.get_mut(side).take() {
                Ok(Taken::Somebody) => {
                    self.hosts.get_mut(side).forget_router();
                    Ok(())
                }
                Ok(Taken::Broken(failure)) => {
                    self.break_down(failure);
                    Ok(())
                }
                Ok(Taken::Frames | Taken::Nobody) => Ok(()),
                Err(failure) => Err(failure),
            };
            self.lose_on_error(side, outcome);
        }
        self.poll_hosts();
        for flow in self.flows.values_mut() {
            flow.advance(&mut self.hosts);
        }
        self.server.advance(&mut self.hosts.wan);
        for side in [Side::Lan, Side::Wan] {
            if let Some(server) = self.dhcp.get_mut(side) {
                server.advance(self.hosts.get_mut(side));
            }
        }
        self.ask_for_neighbours();
        self.poll_hosts();
        for side in [Side::Lan, Side::Wan] {
            let outcome = self.ends.get_mut(side).send();
            self.lose_on_error(side, outcome);
        }
        self.settle();
        for side in [Side::Lan, Side::Wan] {
            let capture = self.ends.get_mut(side).record.capture.as_mut();
            if let Some(Err(failure)) = capture.map(super::pcap::Capture::flush) {
                return self.break_down(failure);
            }
        }
    }

    fn poll_hosts(&mut self) {
        for side in [Side::Lan, Side::Wan] {
            let End { link, record, .. } = self.ends.get_mut(side);
            if let Some(link) = link {
                self.hosts.get_mut(side).poll(link, record);
            }
        }
    }

    fn ask_for_neighbours(&mut self) {
        for flow in self.flows.values() {
            if flow.is_unanswered(&self.hosts) {
                let side = flow.flow.from;
                let End { link, record, .. } = self.ends.get_mut(side);
                if let Some(link) = link {
                    self.hosts.get_mut(side).ask_for_neighbour(flow.flow.to.ip(), link, record);
                }
            }
        }
    }

    /// A link that failed is gone, and with it whatever went over it.
    fn lose_on_error(&mut self, side: Side, outcome: Result<()>) {
        let Err(failure) = outcome else { return };
        let end = self.ends.get_mut(side);
        end.link = None;
        end.wire.disconnect();
        for flow in self.flows.values_mut() {
            flow.fail(&failure);
        }
        end.down = Some(failure);
        if side == Side::Wan {
            self.server.reset(&mut self.hosts.wan);
        }
    }

    /// Answers those whose time has come.
    fn settle(&mut self) {
        let over: Vec<u64> =
            self.flows.iter_mut().filter_map(|(id, flow)| flow.settle(&mut self.hosts).then_some(*id)).collect();
        for id in over {
            self.forget(id);
        }
        let missing: Vec<&str> = [&self.ends.lan, &self.ends.wan]
            .iter()
            .filter(|end| end.link.is_none())
            .map(|end| end.side.word())
            .collect();
        let words = self.ends.lan.wire.words();
        self.connecting.retain(|(deadline, reply)| {
            if missing.is_empty() {
                reply.send(Ok(()));
            } else if deadline.passed() {
                reply.send(Err(failures::never_connected(&missing.join(" and "), *deadline, words)));
            } else {
                return true;
            }
            false
        });
    }

    /// The lab itself cannot go on: everybody who waits is told, and everybody who asks.
    fn break_down(&mut self, failure: Failure) {
        for flow in self.flows.values_mut() {
            flow.fail(&failure);
        }
        for (_, reply) in self.connecting.drain(..) {
            reply.send(Err(failure.clone()));
        }
        self.fault = Some(failure);
        self.settle();
    }
}
