//! The caller's end of an open flow.

use std::net::SocketAddr;

use model::{Deadline, Result};

use super::remote::{Command, Remote};
use super::report::{Exchange, FlowReport};
use super::traffic::{End, Special};

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
        self.begin(amount, None, deadline)
    }

    /// As [`FlowHandle::exchange`], with packets that differ from plain ones. As many of them are not
    /// meant to arrive, it is no failure when none comes back: look at what is returned.
    ///
    /// Also fails with `LAB005` when such packets cannot be sent.
    pub fn exchange_special(&mut self, special: &Special, amount: u64, deadline: Deadline) -> Result<Exchange> {
        self.begin(amount, Some(special.clone()), deadline)
    }

    fn begin(&self, amount: u64, special: Option<Special>, deadline: Deadline) -> Result<Exchange> {
        let id = self.id;
        self.remote.call(deadline, |reply| Command::Exchange { id, amount, special, deadline, reply })
    }

    /// Sends a line of text over a TCP connection and returns it as it arrived at the other end, without
    /// its line break: a router that knows the protocol may have rewritten it. Lines are no payload: no
    /// report counts them.
    ///
    /// Fails with `LAB005` when that cannot be done, and otherwise as [`FlowHandle::exchange`].
    pub fn say(&mut self, from: End, text: &str, deadline: Deadline) -> Result<String> {
        let (id, text) = (self.id, text.to_owned());
        self.remote.call(deadline, |reply| Command::Say { id, from, text, deadline, reply })
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
