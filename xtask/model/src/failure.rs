//! What went wrong, why, and what to do about it.
//!
//! A [`Failure`] is made from a [`Problem`], so it always has all three texts, an id that tests assert, and the exit
//! code that tells a caller whether a retry makes sense. A crate whose errors are used by programs first lists them
//! with [`errors!`](crate::errors).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::word::{self, Word};

/// The exit codes of `cargo xtask`; each has one meaning for a caller that decides about a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// A check or a test failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The host lacks something; the message holds the command that installs it.
    Host = 3,
    /// Upstream or the network failed; may be retried.
    Upstream = 4,
    /// A digest, signature or lock does not match; never retry.
    Mismatch = 5,
    /// Could not find out: guest, host or lab broke; may be retried once.
    Blocked = 6,
    /// A defect of this program.
    Bug = 70,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// From the most to the least important.
const ORDER: [Exit; 9] = [
    Exit::Interrupted,
    Exit::Bug,
    Exit::Mismatch,
    Exit::Failed,
    Exit::Blocked,
    Exit::Upstream,
    Exit::Host,
    Exit::Usage,
    Exit::Done,
];

impl Exit {
    /// The number handed to the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit with this number.
    pub fn of_code(code: u8) -> Option<Exit> {
        ORDER.into_iter().find(|exit| exit.code() == code)
    }

    /// The more important of two: interrupted, our bug, then 5, 1, 6, 4 and the rest.
    pub fn worse(self, other: Exit) -> Exit {
        let rank = |exit| ORDER.iter().position(|&known| known == exit);
        if rank(self) <= rank(other) { self } else { other }
    }
}

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, or something that could not be checked.
    Note,
    /// It works, but will surprise somebody.
    Warning,
    /// It is wrong.
    Error,
}

impl Severity {
    /// The word in front of a message.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something that the user should know: what, why and how to fix it, under a stable id. (`offloadctl` ships alone, so
/// it has its own type.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable id: two to five capitals for the topic and three digits, such as `VM003`.
    #[serde(deserialize_with = "word::read")]
    pub id: Word,
    /// How much it matters.
    pub severity: Severity,
    /// The file, package or place that it is about, if any.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What happened, one sentence without the full stop.
    pub what: String,
    /// Why it happened or why it matters.
    pub why: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity.word(), self.id, self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  where: {place}")?;
        }
        for (label, text) in [("why", &self.why), ("fix", &self.fix)] {
            write!(f, "\n  {label:>5}: {}", text.trim_end().replace('\n', "\n         "))?;
        }
        Ok(())
    }
}

/// The parts of a [`Failure`], by name. A text is a `&str` when it is constant, otherwise a `String`.
///
/// ```
/// use model::{Exit, Failure, Problem};
///
/// fn unknown(target: &str) -> Failure {
///     Failure::of(Problem {
///         exit: Exit::Usage,
///         id: "EX1",
///         what: format!("unknown target `{target}`"),
///         why: "no machine is described for it",
///         fix: "choose one that `cargo xtask plan` names",
///     })
/// }
/// assert_eq!(unknown("x86").at("line 3").id(), "EX1");
/// ```
#[derive(Debug, Clone)]
pub struct Problem<What, Why, Fix> {
    /// The exit code that the run ends with.
    pub exit: Exit,
    /// Stable id: two to five capitals for the topic and three digits; written only here, and asserted in a test.
    pub id: &'static str,
    /// What happened, one sentence without the full stop.
    pub what: What,
    /// Why it happened or why it matters.
    pub why: Why,
    /// What to do about it.
    pub fix: Fix,
}

/// A [`Finding`] that ended the work, and the exit code that the run ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<(Exit, Finding)>);

impl Failure {
    /// A failure with these texts, which the user will read.
    pub fn of(problem: Problem<impl Into<String>, impl Into<String>, impl Into<String>>) -> Self {
        let Problem { exit, id, what, why, fix } = problem;
        let (what, why, fix) = (what.into(), why.into(), fix.into());
        Failure(Box::new((exit, Finding { id, severity: Severity::Error, place: None, what, why, fix })))
    }

    /// Names the file, package or place that it is about.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.1.place = Some(place.to_string());
        self
    }

    /// A file operation that the operating system refused. `doing` completes "cannot …".
    pub fn io(doing: &str, path: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let (id, fix) = match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => (
                "IO002",
                "free some space, or point XDG_CACHE_HOME (cache) or --out (results) at a larger disk; nothing half-made was left behind",
            ),
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
                ("IO003", "make the path accessible to this user, or choose another one")
            }
            Kind::NotFound => ("IO004", "check that the path is spelled right and still exists"),
            _ => ("IO001", "check the path and the disk below it, then run the same command again"),
        };
        let what = format!("cannot {doing}");
        Failure::of(Problem { exit: Exit::Host, id, what, why: error.to_string(), fix }).at(path)
    }

    /// As [`Failure::io`], for a path that the user named: if it does not exist, the command was mistyped (exit code
    /// 2).
    pub fn io_named(doing: &str, path: impl fmt::Display, error: &std::io::Error) -> Self {
        let mut failure = Failure::io(doing, path, error);
        if error.kind() == std::io::ErrorKind::NotFound {
            failure.0.0 = Exit::Usage;
        }
        failure
    }

    /// The run was interrupted by the user.
    pub fn interrupted() -> Self {
        Failure::of(Problem {
            exit: Exit::Interrupted,
            id: "RUN001",
            what: "interrupted",
            why: "a signal asked the run to end; its children were ended with it",
            fix: "run the same command again: finished stages are kept",
        })
    }

    /// The exit code this ends with.
    pub fn exit(&self) -> Exit {
        self.0.0
    }

    /// What to tell the user.
    pub fn finding(&self) -> &Finding {
        &self.0.1
    }

    /// The stable id.
    pub fn id(&self) -> &'static str {
        self.0.1.id
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding().fmt(f)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_what_where_why_and_fix() {
        let (why, fix) = ("not in PATH", "apt-get install it".to_owned());
        let problem = Problem { exit: Exit::Host, id: "VM001", what: "no QEMU", why, fix };
        let failure = Failure::of(problem).at("/usr/bin");
        assert_eq!(
            failure.to_string(),
            "error[VM001]: no QEMU\n  where: /usr/bin\n    why: not in PATH\n    fix: apt-get install it"
        );
    }

    #[test]
    fn a_full_disk_has_its_own_id_and_advice() {
        for (kind, id) in [
            (std::io::ErrorKind::StorageFull, "IO002"),
            (std::io::ErrorKind::PermissionDenied, "IO003"),
            (std::io::ErrorKind::NotFound, "IO004"),
            (std::io::ErrorKind::BrokenPipe, "IO001"),
        ] {
            let failure = Failure::io("write", "/x", &std::io::Error::from(kind));
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Host));
            let exit = if id == "IO004" { Exit::Usage } else { Exit::Host };
            let named = Failure::io_named("write", "/x", &std::io::Error::from(kind));
            assert_eq!((named.id(), named.exit()), (id, exit));
        }
        assert_eq!(Failure::interrupted().id(), "RUN001");
    }

    #[test]
    fn a_mismatch_outranks_a_failed_test_which_outranks_blocked() {
        assert_eq!(Exit::Failed.worse(Exit::Mismatch), Exit::Mismatch);
        assert_eq!(Exit::Blocked.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Upstream.worse(Exit::Blocked), Exit::Blocked);
        assert_eq!(Exit::Done.worse(Exit::Usage), Exit::Usage);
        assert_eq!(Exit::Interrupted.code(), 130);
    }
}
