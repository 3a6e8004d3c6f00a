//! How the engines are put together: Sdk → packages → feed → image → session → report.

use std::net::SocketAddr;

use model::{Exit, Failure, Result, Target};

use crate::Ctx;
use crate::cli::{BootArgs, Selection, TestArgs};
use crate::cmd::Outcome;

/// Packages for `target`.
pub fn build(_ctx: &Ctx, _target: &Target, _selection: &Selection) -> Result<Outcome> {
    Err(not_connected("build"))
}

/// Scenarios on a router.
pub fn test(_ctx: &Ctx, _target: &Target, _args: &TestArgs) -> Result<Outcome> {
    Err(not_connected("test"))
}

/// The signed feed, served at `serve` if that is given.
pub fn feed(_ctx: &Ctx, _target: &Target, _selection: &Selection, _serve: Option<SocketAddr>) -> Result<Outcome> {
    Err(not_connected("feed"))
}

/// Every package of the feed, installed into a scratch root.
pub fn verify_feed(_ctx: &Ctx, _target: &Target, _selection: &Selection) -> Result<Outcome> {
    Err(not_connected("feed verify"))
}

/// A router to look around in.
pub fn boot(_ctx: &Ctx, _target: &Target, _args: &BootArgs) -> Result<Outcome> {
    Err(not_connected("boot"))
}

fn not_connected(verb: &str) -> Failure {
    Failure::new(
        Exit::Bug,
        "PIPE001",
        format!("`{verb}` is not connected to its engines in this version"),
        "the command line was built before the engines",
        "use a version in which `cargo xtask ci` covers this verb",
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_verb_without_engines_fails() {
        assert_eq!(super::not_connected("build").id(), "PIPE001");
    }
}
