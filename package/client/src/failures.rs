//! Several things are tried, and some may fail.

use crate::error::{Error, Result};

/// The first failure of several; the others are told on the way.
#[derive(Default)]
pub(crate) struct Failures(Option<Error>);

impl Failures {
    /// Keeps a failure if it is the first one; otherwise `tell` gets its whole message.
    pub(crate) fn add(&mut self, result: Result<()>, tell: impl FnOnce(String)) {
        match result {
            Ok(()) => {}
            Err(error) if self.0.is_none() => self.0 = Some(error),
            Err(error) => tell(error.line()),
        }
    }

    /// The first one.
    pub(crate) fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
