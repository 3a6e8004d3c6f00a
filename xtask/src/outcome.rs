//! How a verb ended.

use model::Exit;

/// How a verb ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the process ends with.
    pub exit: Exit,
    /// What the user asked for, printed to stdout after everything else; events replace it under
    /// `--message-format json`.
    pub data: String,
}

impl Outcome {
    /// Done, with `data` for stdout.
    pub fn done(data: impl Into<String>) -> Self {
        Outcome { exit: Exit::Done, data: data.into() }
    }
}
