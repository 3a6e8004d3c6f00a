//! What --offline forbids.

use model::{Exit, Failure, Problem};

/// Something that the cache does not hold.
pub(super) fn offline(what: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "NET001",
        what: format!("{what} must be fetched, and --offline forbids it"),
        why: "the cache holds no earlier download of them",
        fix: "run once without --offline",
    })
}
