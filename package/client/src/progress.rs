//! What a command reports while it runs.

use std::fmt;

/// Something that happened, or that the user should know. Displays as a line of the package manager's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<Step> {
    /// Something that is done, or about to be.
    Step(Step),
    /// Something worth knowing that is not an error.
    Note {
        /// One sentence.
        text: String,
    },
    /// A feed or package failed while the work went on; the command returns the first failure.
    Failed {
        /// The whole message, in one line.
        line: String,
    },
}

impl<Step> From<Step> for Progress<Step> {
    fn from(step: Step) -> Progress<Step> {
        Progress::Step(step)
    }
}

impl<Step: fmt::Display> fmt::Display for Progress<Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Step(step) => step.fmt(f),
            Progress::Note { text } => f.write_str(text),
            Progress::Failed { line } => f.write_str(line),
        }
    }
}
