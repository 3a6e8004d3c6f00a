//! What is wrong, why, and what to do about it, under an id that stays the same.
//!
//! The same shape serves an error that ends the program and a remark in the status report.

use std::io;

/// Something that the reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable id: `OCTL` and three digits; below 100 for errors, from 101 for remarks of `status`.
    pub id: &'static str,
    /// What was seen.
    pub what: String,
    /// Why it is so, or why it matters.
    pub why: String,
    /// How to fix it.
    pub fix: String,
}

impl Finding {
    /// A finding from its four parts.
    pub fn new(id: &'static str, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { id, what: what.into(), why: why.into(), fix: fix.into() }
    }

    /// A file could not be read; lack of privilege is told apart from the rest.
    pub fn unreadable(path: &str, error: &io::Error) -> Finding {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Finding::not_permitted(path),
            _ => Finding::new(
                "OCTL010",
                format!("cannot read {path}"),
                format!("the system answers: {error}"),
                "check that /proc is mounted and complete",
            ),
        }
    }

    /// The kernel shows `subject` to administrators only.
    pub fn not_permitted(subject: &str) -> Finding {
        Finding::new(
            "OCTL003",
            format!("not allowed to read {subject}"),
            "the kernel shows it only to processes with CAP_NET_ADMIN in this network namespace",
            "run as root; in a container, add the capability NET_ADMIN",
        )
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub enum Stop {
    /// Something to tell.
    Finding(Finding),
    /// The output could not be written.
    Output(io::Error),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Stop {
        Stop::Finding(finding)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

impl Stop {
    /// What to tell; nothing when the reader of a pipe has left, as `head` does.
    pub fn finding(self) -> Option<Finding> {
        match self {
            Stop::Finding(finding) => Some(finding),
            Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Stop::Output(error) => Some(Finding::new(
                "OCTL011",
                "cannot write the output",
                format!("the system answers: {error}"),
                "make room or write elsewhere",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_privilege_is_told_apart() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Finding::unreadable("/proc/x", &denied).id, "OCTL003");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let finding = Finding::unreadable("/proc/x", &missing);
        assert_eq!(finding.id, "OCTL010");
        assert!(finding.what.contains("/proc/x"));
    }

    #[test]
    fn a_full_disk_is_told_and_a_closed_pipe_is_not() {
        let full = Stop::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.finding().unwrap().id, "OCTL011");
        assert_eq!(Stop::from(io::Error::from(io::ErrorKind::BrokenPipe)).finding(), None);
    }
}
