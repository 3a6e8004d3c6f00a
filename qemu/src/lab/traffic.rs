//! Flows through the router, as a caller sees them: open, exchange, look at the router, go on, end.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use model::{Deadline, Result};

use super::engine::{Command, Remote};
use super::failures;
use super::plan::Side;
use super::wire::Arrivals;

/// The transport protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
}

/// What to send. The host on side `from` is the *near* end and begins; the other one is the *far*
/// end and answers every datagram, or byte, with one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The protocol.
    pub transport: Transport,
    /// Where the near end is.
    pub from: Side,
    /// What the near end sends to: an address of the far host, or of the router when it translates
    /// destinations.
    pub to: SocketAddr,
    /// The port that the far host listens on, when the router changes it on the way.
    pub listen: Option<u16>,
    /// Chooses the payload: equal seeds give equal bytes. The two directions carry different ones.
    pub seed: u64,
    /// Payload bytes of the datagrams, taken in turn; 8 to what the MTU allows. TCP ignores it.
    pub sizes: Vec<usize>,
    /// How much may be under way at once: datagrams for UDP, bytes in each buffer for TCP. The first
    /// two datagrams of a flow always go alone, so that they alone take the slow path.
    pub window: usize,
    /// A datagram is lost when nothing at all arrived for so long. Nothing is ever sent again.
    pub loss_after: Duration,
}

impl Flow {
    /// UDP with datagrams of 1,000 bytes, 64 at once.
    pub fn udp(from: Side, to: SocketAddr) -> Flow {
        Flow {
            transport: Transport::Udp,
            from,
            to,
            listen: None,
            seed: 1,
            sizes: vec![1000],
            window: 64,
            loss_after: Duration::from_secs(2),
        }
    }

    /// TCP with buffers of 256 KiB.
    pub fn tcp(from: Side, to: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, window: 256 << 10, ..Flow::udp(from, to) }
    }

    /// The port that the far host listens on.
    pub fn far_port(&self) -> u16 {
        self.listen.unwrap_or(self.to.port())
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{transport} from {} to {}", self.from.word(), self.to)
    }
}

/// What one [`FlowHandle::exchange`] did; datagrams for UDP, bytes for TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// Sent by the near end.
    pub sent: u64,
    /// Answers that came back, intact.
    pub returned: u64,
    /// How long it took.
    pub took: Duration,
}

impl Exchange {
    /// Round trips that were not completed: lost or damaged on either way. Never for TCP.
    pub fn lost(&self) -> u64 {
        self.sent - self.returned
    }
}

/// What was sent or received in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Amount {
    /// Datagrams; 0 for TCP.
    pub datagrams: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// SHA-256 of the payload in the order it was sent or arrived, in hex.
    pub sha256: String,
}

/// One direction of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Direction {
    /// What the sending end sent.
    pub sent: Amount,
    /// What the receiving end got, damaged bytes included.
    pub received: Amount,
    /// Damaged datagrams, or damaged reads from the TCP stream.
    pub damaged: u64,
    /// The first damage: place in the TCP stream in bytes, or how many datagrams arrived before.
    pub first_damage: Option<u64>,
    /// Datagrams that arrived again.
    pub repeated: u64,
    /// Datagrams that arrived after a later one.
    pub reordered: u64,
    /// Where the packets came from, as the receiving end saw it: tells whether the router translated.
    pub source: Option<SocketAddr>,
    /// What arrived on the wire.
    pub wire: Arrivals,
}

impl Direction {
    /// Datagrams that did not arrive; 0 for TCP, which repeats what is lost.
    pub fn lost(&self) -> u64 {
        self.sent.datagrams.saturating_sub(self.received.datagrams.saturating_sub(self.repeated))
    }

    /// Whether all that was sent arrived, once and unchanged.
    pub fn is_intact(&self) -> bool {
        self.damaged == 0
            && self.repeated == 0
            && self.sent.bytes == self.received.bytes
            && (self.reordered > 0 || self.sent.sha256 == self.received.sha256)
    }
}

/// All that is known about a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowReport {
    /// What was asked for.
    pub flow: Flow,
    /// Address and port of the near end, before any translation.
    pub near: SocketAddr,
    /// From the near to the far end.
    pub there: Direction,
    /// From the far to the near end.
    pub back: Direction,
    /// Time since the flow was opened.
    pub took: Duration,
}

impl FlowReport {
    /// Whether all payload arrived, once and unchanged, on both ways.
    pub fn is_intact(&self) -> bool {
        self.there.is_intact() && self.back.is_intact()
    }

    /// Fails, naming the first difference, unless [`FlowReport::is_intact`].
    pub fn check(&self) -> Result<()> {
        for (way, direction) in [("towards", &self.there), ("back from", &self.back)] {
            if !direction.is_intact() {
                return Err(failures::damaged(&self.flow, format!("{way} the far end: {direction}")));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes arrived", self.received.bytes, self.sent.bytes)?;
        for (count, what) in [
            (self.lost(), "datagrams lost"),
            (self.damaged, "pieces damaged"),
            (self.repeated, "datagrams repeated"),
            (self.reordered, "datagrams out of order"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if let Some(place) = self.first_damage {
            write!(f, ", the first damage at {place}")?;
        }
        Ok(())
    }
}

/// An open flow. Dropping it ends the flow without a word to the router.
#[derive(Debug)]
pub struct FlowHandle {
    remote: Remote,
    id: u64,
    near: SocketAddr,
    ended: bool,
}

impl FlowHandle {
    pub(super) fn new(remote: Remote, id: u64, near: SocketAddr) -> Self {
        FlowHandle { remote, id, near, ended: false }
    }

    /// Address and port of the near end: the original direction of the router's conntrack entry.
    pub fn near(&self) -> SocketAddr {
        self.near
    }

    /// Sends `amount` more datagrams (UDP) or bytes (TCP) and waits for as many answers.
    ///
    /// Lost or damaged datagrams are counted, not failed, as long as one came back. Fails with
    /// `LAB003` when the link is down, `LAB007` after the deadline, `LAB008` when nothing came back,
    /// `LAB009` when the connection was reset.
    pub fn exchange(&mut self, amount: u64, deadline: Deadline) -> Result<Exchange> {
        let id = self.id;
        self.remote.call(deadline, |reply| Command::Exchange { id, amount, deadline, reply })
    }

    /// What is known so far; the flow goes on.
    pub fn report(&self) -> Result<FlowReport> {
        let id = self.id;
        self.remote.ask(|reply| Command::Report { id, reply })
    }

    /// Ends a TCP connection from both ends with FIN and waits until both know. UDP just ends.
    /// Fails with `LAB010` after the deadline.
    pub fn close(self, deadline: Deadline) -> Result<FlowReport> {
        self.end(false, deadline)
    }

    /// Ends a TCP connection from the near end with RST and waits until the far end knows. UDP just
    /// ends. Fails with `LAB010` after the deadline.
    pub fn abort(self, deadline: Deadline) -> Result<FlowReport> {
        self.end(true, deadline)
    }

    fn end(mut self, abort: bool, deadline: Deadline) -> Result<FlowReport> {
        let id = self.id;
        let report = self.remote.call(deadline, |reply| Command::End { id, abort, deadline, reply })?;
        self.ended = true;
        Ok(report)
    }
}

impl Drop for FlowHandle {
    fn drop(&mut self) {
        if !self.ended {
            self.remote.tell(Command::Forget { id: self.id });
        }
    }
}
