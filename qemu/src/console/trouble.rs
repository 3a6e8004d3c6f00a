//! What can go wrong between us and a guest, and what to tell the user about it.

use std::time::Duration;

use model::{Exit, Failure, Problem};

use super::crash::Crash;

/// The id of a command that did not end in time.
pub(crate) const OVERRAN: &str = "VM015";

/// What went wrong. All of it means that nothing was found out, never that a scenario failed.
#[derive(Debug)]
pub enum Trouble {
    /// The kernel said that it crashed.
    Crashed {
        /// How.
        crash: Crash,
        /// Its own words.
        line: String,
    },
    /// The other end of the console is gone.
    Closed,
    /// The guest did not print its readiness line.
    NotReady {
        /// The line.
        line: String,
        /// How long it had.
        after: Duration,
    },
    /// A command did not end; the guest answers others.
    Stuck {
        /// The command.
        command: String,
        /// How long it had.
        after: Duration,
    },
    /// The guest answers nothing.
    Hung {
        /// The last command.
        command: String,
        /// How long it had.
        after: Duration,
    },
    /// The shell on the console ended, and the guest asks for Enter again.
    ShellEnded {
        /// The last command.
        command: String,
    },
    /// An answer's length is not what it says, three times in a row.
    Garbled {
        /// Bytes that the guest counted.
        expected: usize,
        /// Bytes that arrived.
        got: usize,
    },
    /// A file did not arrive as it was sent.
    NotStored {
        /// The file.
        path: String,
        /// What the guest said.
        said: String,
    },
    /// A command cannot be written on a command line.
    Unspeakable {
        /// The word.
        word: String,
    },
    /// The run ended for another reason, such as the user's interrupt.
    Ended(Failure),
}

impl Trouble {
    /// The failure for the user. `console` is the end of the console, `process` what is known of QEMU.
    pub fn into_failure(self, console: &str, process: &str) -> Failure {
        const AGAIN: &str =
            "run it once more; if it happens again, keep the console lines above and look at the kernel's last words";
        const SLOW: &str =
            "on a busy or slow host give it a longer deadline; otherwise look at the console lines above";
        let seen =
            if console.is_empty() { "the console is empty".into() } else { format!("last console lines:\n{console}") };
        let blocked = |id, what: String, why: &str, fix: &str| {
            Failure::of(Problem { exit: Exit::Blocked, id, what, why: format!("{why}; {seen}"), fix })
        };
        match self {
            Trouble::Crashed { crash: Crash::Panic, line } => {
                blocked("VM010", "the guest's kernel panicked".into(), &line, AGAIN)
            }
            Trouble::Crashed { crash: Crash::Oops, line } => {
                blocked("VM011", "the guest's kernel hit a bug (oops)".into(), &line, AGAIN)
            }
            Trouble::Crashed { crash: Crash::Lockup, line } => {
                blocked("VM012", "the guest's kernel is stuck".into(), &line, AGAIN)
            }
            Trouble::Closed => blocked("VM013", "QEMU ended while the guest was in use".into(), process, AGAIN),
            Trouble::NotReady { line, after } => blocked(
                "VM014",
                format!("the guest did not become ready within {}", seconds(after)),
                &format!("its console never showed `{line}`"),
                SLOW,
            ),
            Trouble::Stuck { command, after } => blocked(
                OVERRAN,
                format!("a command in the guest did not end within {}", seconds(after)),
                &format!("`{command}` was interrupted, and the guest answers again"),
                SLOW,
            ),
            Trouble::Hung { command, after } => blocked(
                "VM016",
                format!("the guest stopped answering within {}", seconds(after)),
                &format!("neither `{command}` nor an empty command came back"),
                SLOW,
            ),
            Trouble::ShellEnded { command } => blocked(
                "VM021",
                "the shell on the guest's console ended".into(),
                &format!("the console asked for Enter again when `{command}` should have been answered"),
                AGAIN,
            ),
            Trouble::Garbled { expected, got } => blocked(
                "VM017",
                "the console damaged an answer".into(),
                &format!("the guest counted {expected} bytes and {got} arrived, three times in a row"),
                "check that nothing in the guest writes to the console, such as a background process",
            ),
            Trouble::NotStored { path, said } => blocked(
                "VM018",
                format!("{path} could not be written in the guest"),
                &format!("the guest said: {}", said.trim()),
                "check that the folder exists and that the guest has memory left",
            ),
            Trouble::Unspeakable { word } => Failure::of(Problem {
                exit: Exit::Usage,
                id: "VM019",
                what: format!("{word:?} cannot be a word of a command"),
                why: "words of a command line end at a zero byte",
                fix: "put the bytes into a file of the guest and pass its name",
            }),
            Trouble::Ended(failure) => failure,
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
