//! Collects the failures of several attempts.

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Keeps the first failure; the others are reported as they come.
#[derive(Default)]
pub(crate) struct Failures(Option<Error>);

impl Failures {
    /// Keeps a failure if it is the first one, otherwise reports it.
    pub(crate) fn add<Step>(&mut self, result: Result<()>, on: &mut dyn FnMut(Progress<Step>)) {
        match result {
            Ok(()) => {}
            Err(error) if self.0.is_none() => self.0 = Some(error),
            Err(error) => on(Progress::Failed { line: error.line() }),
        }
    }

    /// Whether nothing has failed so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the first failure, if any.
    pub(crate) fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
