//! What happens while a command runs.

use std::fmt;

/// Something that happened, or that the user should know. `Display` is a line of the package manager's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<Step> {
    /// Something is done, or about to be.
    Step(Step),
    /// Something worth knowing that is no error.
    Note {
        /// One sentence.
        text: String,
    },
    /// One of several feeds or packages failed while the work went on; the first failure is returned.
    Failed {
        /// The whole message.
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
