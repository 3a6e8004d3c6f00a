//! How callers talk to the lab's thread: a command in, an answer back before a deadline.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use model::{Cancel, Deadline, Result};

use super::failures;
use super::http::Request;
use super::link::LinkCounts;
use super::plan::Both;
use super::report::{Exchange, FlowReport};
use super::traffic::{End, Flow, Special};

/// How often a waiting caller looks whether the user interrupted.
const LOOK_AT_CANCEL: Duration = Duration::from_millis(50);

/// What the thread gets beyond a deadline to say that it passed.
const GRACE: Duration = Duration::from_secs(5);

/// For questions that need no packets.
const ASK: Duration = Duration::from_secs(10);

/// Where one answer goes.
#[derive(Debug)]
pub(super) struct Reply<T>(SyncSender<Result<T>>);

impl<T> Reply<T> {
    /// Answers the caller, who may have stopped waiting.
    pub(super) fn send(&self, answer: Result<T>) {
        let _gone = self.0.try_send(answer);
    }
}

/// What callers ask for.
pub(super) enum Command {
    Connected { deadline: Deadline, reply: Reply<()> },
    Open { id: u64, flow: Flow, deadline: Deadline, reply: Reply<SocketAddr> },
    Exchange { id: u64, amount: u64, special: Option<Special>, deadline: Deadline, reply: Reply<Exchange> },
    Say { id: u64, from: End, text: String, deadline: Deadline, reply: Reply<String> },
    Report { id: u64, reply: Reply<FlowReport> },
    End { id: u64, abort: bool, deadline: Deadline, reply: Reply<FlowReport> },
    Forget { id: u64 },
    Serve { root: Utf8PathBuf, reply: Reply<()> },
    Requests { reply: Reply<Vec<Request>> },
    Counts { reply: Reply<Both<LinkCounts>> },
    Shutdown,
}

/// The caller's end of the channel.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    commands: Sender<Command>,
    wake: Arc<UnixStream>,
    cancel: Cancel,
}

impl Remote {
    pub(super) fn new(commands: Sender<Command>, wake: UnixStream, cancel: Cancel) -> Self {
        Remote { commands, wake: Arc::new(wake), cancel }
    }

    /// Sends a command that needs no answer.
    pub(super) fn tell(&self, command: Command) {
        let _gone = self.commands.send(command);
        // A full pipe has bytes in it already, which wake the thread as well.
        let _full = (&*self.wake).write(&[1]);
    }

    /// Sends a command and waits for its answer; the thread looks at the deadline itself.
    pub(super) fn call<T>(&self, deadline: Deadline, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let (sender, answer) = sync_channel(1);
        self.tell(command(Reply(sender)));
        loop {
            self.cancel.check()?;
            match answer.recv_timeout(LOOK_AT_CANCEL) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline.at + GRACE => {}
                Err(_) => return Err(failures::ended()),
            }
        }
    }

    /// As [`Remote::call`], for what is answered at once.
    pub(super) fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        self.call(Deadline::after(ASK), command)
    }
}
