//! How a verb ended.

use model::Exit;

/// The result of a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code of the process.
    pub exit: Exit,
    /// What the user asked for, printed to stdout at the end; with `--message-format json` events replace it.
    pub data: String,
}

impl Outcome {
    /// Success, with `data` for stdout.
    pub fn done(data: impl Into<String>) -> Self {
        Outcome { exit: Exit::Done, data: data.into() }
    }
}
