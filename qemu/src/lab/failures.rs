//! Everything the lab can fail with, in one place: the ids, and the advice.
//!
//! What the lab itself could not do is *blocked* (exit 6, may be retried once); what the router did
//! not do with our packets is a *failed* check (exit 1).

use std::fmt::Display;
use std::io;

use model::{Deadline, Exit, Failure, Problem};

use super::frames::MAX_FRAME;
use super::plan::Side;
use super::wire::Words;

/// A socket that cannot be had.
pub(super) fn listen(path: impl Display, error: &io::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "LAB001",
        what: "cannot listen for QEMU's network",
        why: error.to_string(),
        fix: "use a new, empty work directory with a short path (a unix socket's path has at most 107 bytes), such as one below /tmp",
    })
    .at(path)
}

/// Nobody came to a wire.
pub(super) fn never_connected(missing: &str, deadline: Deadline, words: &Words) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "LAB002",
        what: format!("{} did not connect the router's network in {:.1} s", words.who, deadline.after.as_secs_f64()),
        why: format!("no connection for {missing}"),
        fix: words.absent,
    })
}

/// A link that is not there (any more).
pub(super) fn not_connected(side: Side, why: &str, words: &Words) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "LAB003",
        what: format!("the {} link to the router is down", side.word()),
        why,
        fix: words.gone,
    })
}

/// Bytes that are no frames.
pub(super) fn framing(side: Side, length: u32, words: &Words) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "LAB004",
        what: format!("the {} link carries something that is no frame", side.word()),
        why: format!(
            "a frame of {length} bytes was announced and the longest is {MAX_FRAME}; what follows cannot be told apart"
        ),
        fix: words.noise,
    })
}

/// A flow, or a plan of the lab, that cannot be had.
pub(super) fn bad_flow(why: impl Into<String>) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "LAB005",
        what: "the lab cannot do what was asked for",
        why,
        fix: "correct the flow or the plan of the lab in the scenario; the plan names the addresses of both hosts",
    })
}

/// A connection that did not come about in time.
pub(super) fn no_connection(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB006",
        what: format!("no connection in {:.1} s", deadline.after.as_secs_f64()),
        why: progress,
        fix: "check the router's addresses, ip_forward, firewall and NAT; a capture of both links shows where the packets end",
    })
    .at(flow)
}

/// An exchange that did not finish in time.
pub(super) fn stalled(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB007",
        what: format!("the exchange was not finished in {:.1} s", deadline.after.as_secs_f64()),
        why: progress,
        fix: "a capture of both links shows where the packets end; raise the deadline if the guest is merely slow",
    })
    .at(flow)
}

/// Datagrams were sent and not one came back.
pub(super) fn silence(flow: impl Display, progress: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB008",
        what: "no datagram came back",
        why: progress,
        fix: "check the router's addresses, ip_forward, firewall and NAT; a capture of both links shows where the packets end",
    })
    .at(flow)
}

/// A connection that somebody ended.
pub(super) fn reset(flow: impl Display, progress: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB009",
        what: "the connection was reset",
        why: progress,
        fix: "a reject rule, a NAT entry that was removed or a router that rebooted ends connections: see the capture and the kernel log",
    })
    .at(flow)
}

/// A connection that did not end in time.
pub(super) fn not_ended(flow: impl Display, deadline: Deadline, progress: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB010",
        what: format!("the end of the connection did not arrive in {:.1} s", deadline.after.as_secs_f64()),
        why: progress,
        fix: "the router swallowed a FIN or RST: see the capture of both links",
    })
    .at(flow)
}

/// Bytes arrived that were not sent.
pub(super) fn damaged(flow: impl Display, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB011",
        what: "what arrived is not what was sent",
        why,
        fix: "the router changed or lost payload: compare the captures of both links at the named place",
    })
    .at(flow)
}

/// The thread of the lab is gone.
pub(super) fn ended() -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "LAB012",
        what: "the lab has ended",
        why: "its thread no longer answers",
        fix: "run the same command again; a lab that was dropped cannot be used",
    })
}

/// An operation of the lab's own loop that the system refused.
pub(super) fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "LAB013",
        what: format!("the lab cannot {doing}"),
        why: error.to_string(),
        fix: "free resources of the system (open files, memory, threads), then run again",
    })
}

/// A control connection of FTP on which no address arrived.
pub(super) fn not_announced(heard: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LAB014",
        what: "no usable address of a data connection arrived",
        why: format!("the other end of the control connection heard `{heard}`"),
        fix: "the router's FTP helper rewrites this line: look at its kernel log and at the capture of both links",
    })
}
