//! Why a request to a mirror failed, whether that may pass, and how long we wait.

use std::time::Duration;

use model::{Exit, Failure, Problem};

/// Deadlines for a server, and the number of attempts.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For accepting a connection.
    pub connect: Duration,
    /// The time within which at least `least` bytes must arrive.
    pub silence: Duration,
    /// The fewest bytes within `silence`; a server that trickles is as bad as a silent one.
    pub least: u64,
    /// Attempts for one file.
    pub attempts: u32,
    /// Pause after the first failed attempt; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            least: 16 << 10,
            attempts: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// The id of the failure for a file that should be there.
pub(super) const ABSENT: &str = "MIR003";

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no such file.
    Absent,
    /// The server refused, with this status.
    Refused(u16),
    /// The server failed, with this status.
    Failing(u16),
    /// The connection failed or broke.
    Broken(String),
    /// The server sent nothing, or almost nothing, for too long.
    Silent,
    /// The server cannot continue the file; the whole may work.
    OtherRange,
    /// The file is larger than this limit.
    TooLarge(u64),
    /// It ended on our side: interrupted, another file failed, or writing failed.
    Ended(Failure),
}

impl Trouble {
    /// Whether it may pass by itself.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Trouble::Failing(_) | Trouble::Broken(_) | Trouble::Silent | Trouble::OtherRange)
    }

    pub(super) fn why(&self, patience: &Patience) -> String {
        match self {
            Trouble::Absent => "the mirror has no such file".into(),
            Trouble::Refused(status) => format!("the server answered with status {status}"),
            Trouble::Failing(status) => format!("the server failed with status {status}"),
            Trouble::Broken(problem) => problem.clone(),
            Trouble::Silent => {
                format!("fewer than {} bytes arrived within {} s", patience.least, patience.silence.as_secs_f32())
            }
            Trouble::OtherRange => "the server did not continue at the requested byte".into(),
            Trouble::TooLarge(limit) => format!("it has more than {limit} bytes, the limit"),
            Trouble::Ended(failure) => failure.finding().what.clone(),
        }
    }

    /// The failure for the user.
    pub(super) fn failure(self, address: &str, patience: &Patience) -> Failure {
        let why = self.why(patience);
        let tried = format!("{why}; it was tried {} times", patience.attempts);
        let failure = |id, what: &str, why: String, fix: &str| {
            Failure::of(Problem { exit: Exit::Upstream, id, what: what.to_owned(), why, fix: fix.to_owned() })
                .at(address)
        };
        match self {
            Trouble::Absent => failure(
                ABSENT,
                "the mirror lacks a file that its signed list names",
                why,
                "name another mirror with --mirror; copies can be incomplete for a while",
            ),
            Trouble::Refused(_) => failure(
                "MIR004",
                "the mirror refused a file",
                why,
                "open the address in a browser to see what it says, or name another mirror with --mirror",
            ),
            Trouble::Failing(_) => {
                failure("MIR005", "the mirror is not working", tried, "try later, or name another mirror with --mirror")
            }
            Trouble::Broken(_) | Trouble::OtherRange => failure(
                "MIR006",
                "the connection to the mirror failed",
                tried,
                "check the network and the address; what arrived is kept, and the next run completes it",
            ),
            Trouble::Silent => failure(
                "MIR007",
                "the mirror stopped sending",
                tried,
                "try later, or name another mirror with --mirror; what arrived is kept",
            ),
            Trouble::TooLarge(_) => failure(
                "MIR008",
                "the mirror sends more than the file may have",
                why,
                "name another mirror with --mirror: this is not the right file",
            ),
            Trouble::Ended(failure) => failure,
        }
    }
}
