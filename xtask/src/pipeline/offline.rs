//! The failure for what --offline forbids.

use model::{Exit, Failure, Problem};

/// The failure for something that the cache does not have.
pub(super) fn offline(what: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "NET001",
        what: format!("{what} must be fetched, and --offline forbids it"),
        why: "the cache has no earlier download of it",
        fix: "run once without --offline",
    })
}
