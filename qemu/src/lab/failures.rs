//! Everything the lab can fail with, in one place: the ids, and the advice.
//!
//! What the lab itself could not do is *blocked* (exit 6, may be retried once); what the router did
//! not do with our packets is a *failed* check (exit 1).

use std::fmt::Display;
use std::io;

use model::{Deadline, Exit, Failure};

use super::frames::MAX_FRAME;
use super::plan::Side;
use super::wire::Words;

/// A socket that cannot be had.
pub(super) fn listen(path: impl Display, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Host,
        "LAB001",
        "cannot listen for QEMU's network",
        error.to_string(),
        "use a new, empty work directory with a short path (a unix socket's path has at most 107 bytes), such as one below /tmp",
    )
    .at(path)
}

/// Nobody came to a wire.
pub(super) fn never_connected(missing: &str, deadline: Deadline, words: &Words) -> Failure {
    Failure::new(
        Exit::Blocked,
        "LAB002",
        format!("{} did not connect the router's network in {:.1} s", words.who, deadline.after.as_secs_f64()),
        format!("no connection for {missing}"),
        words.absent,
    )
}

/// A link that is not there (any more).
pub(super) fn not_connected(side: Side, why: &str, words: &Words) -> Failure {
    Failure::new(Exit::Blocked, "LAB003", format!("the {} link to the router is down", side.word()), why, words.gone)
}

/// Bytes that are no frames.
pub(super) fn framing(side: Side, length: u32, words: &Words) -> Failure {
    Failure::new(
        Exit::Blocked,
        "LAB004",
        format!("the {} link carries something that is no frame", side.word()),
        format!(
            "a frame of {length} bytes was announced and the longest is {MAX_FRAME}; what follows cannot be told apart"
        ),
        words.noise,
    )
}

/// A flow, or a plan of the lab, that cannot be had.
pub(super) fn bad_flow(why: impl Into<String>) -> Failure {
    Failure::new(
        Exit::Usage,
        "LAB005",
        "the lab cannot do what was asked for",
        why,
        "correct the flow or the plan of the lab in the scenario; the plan names the addresses of both hosts",
    )
}

/// A connection that did not come about in time.
pub(super) fn no_connection(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB006",
        format!("no connection in {:.1} s", deadline.after.as_secs_f64()),
        progress,
        "check the router's addresses, ip_forward, firewall and NAT; a capture of both links shows where the packets end",
    )
    .at(flow)
}

/// An exchange that did not finish in time.
pub(super) fn stalled(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB007",
        format!("the exchange was not finished in {:.1} s", deadline.after.as_secs_f64()),
        progress,
        "a capture of both links shows where the packets end; raise the deadline if the guest is merely slow",
    )
    .at(flow)
}

/// Datagrams were sent and not one came back.
pub(super) fn silence(flow: impl Display, progress: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB008",
        "no datagram came back",
        progress,
        "check the router's addresses, ip_forward, firewall and NAT; a capture of both links shows where the packets end",
    )
    .at(flow)
}

/// A connection that somebody ended.
pub(super) fn reset(flow: impl Display, progress: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB009",
        "the connection was reset",
        progress,
        "a reject rule, a NAT entry that was removed or a router that rebooted ends connections: see the capture and the kernel log",
    )
    .at(flow)
}

/// A connection that did not end in time.
pub(super) fn not_ended(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB010",
        format!("the end of the connection did not arrive in {:.1} s", deadline.after.as_secs_f64()),
        progress,
        "the router swallowed a FIN or RST: see the capture of both links",
    )
    .at(flow)
}

/// Bytes arrived that were not sent.
pub(super) fn damaged(flow: impl Display, why: String) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB011",
        "what arrived is not what was sent",
        why,
        "the router changed or lost payload: compare the captures of both links at the named place",
    )
    .at(flow)
}

/// The thread of the lab is gone.
pub(super) fn ended() -> Failure {
    Failure::new(
        Exit::Blocked,
        "LAB012",
        "the lab has ended",
        "its thread answers no more",
        "run the same command again; a lab that was dropped cannot be used",
    )
}

/// An operation of the lab's own loop that the system refused.
pub(super) fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Blocked,
        "LAB013",
        format!("the lab cannot {doing}"),
        error.to_string(),
        "free resources of the system (open files, memory, threads), then run again",
    )
}

/// A control connection of FTP on which no address arrived.
pub(super) fn not_announced(heard: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "LAB014",
        "no usable address of a data connection arrived",
        format!("the other end of the control connection heard `{heard}`"),
        "the router's FTP helper rewrites this line: look at its kernel log and at the capture of both links",
    )
}
