//! What a check concluded.

use serde::{Deserialize, Serialize};

use crate::{Exit, Finding};

/// The conclusion of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every assertion held.
    Pass,
    /// An assertion did not hold.
    Fail {
        /// Which one, and what was observed instead.
        finding: Finding,
    },
    /// Not run, for a reason that is no defect.
    Skip {
        /// The reason.
        reason: String,
    },
    /// Could not find out: boot, host or lab broke. Never green; the only one that may be retried.
    Blocked {
        /// What broke.
        finding: Finding,
    },
}

impl Verdict {
    /// The word in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail { .. } => "fail",
            Verdict::Skip { .. } => "skip",
            Verdict::Blocked { .. } => "blocked",
        }
    }

    /// The exit code of a run with this verdict.
    pub fn exit(&self) -> Exit {
        match self {
            Verdict::Pass | Verdict::Skip { .. } => Exit::Done,
            Verdict::Fail { .. } => Exit::Failed,
            Verdict::Blocked { .. } => Exit::Blocked,
        }
    }
}
