//! `feed`: packages as a signed feed; served on loopback, or verified by installing from it.

use model::Result;

use super::Outcome;
use crate::cli::{FeedAction, FeedArgs};
use crate::doctor::Purpose;
use crate::{Ctx, pipeline, usage};

/// Assembles the feed and does with it what was asked for.
pub fn run(ctx: &Ctx, args: &FeedArgs) -> Result<Outcome> {
    let FeedArgs { action, serve, selection } = args;
    let selection = match action {
        Some(FeedAction::Verify { selection }) => selection,
        None => selection,
    };
    let target = usage::target(selection)?;
    pipeline::check_files(ctx, &target, Purpose::Build)?;
    pipeline::require_build(ctx, selection)?;
    match action {
        Some(FeedAction::Verify { .. }) => pipeline::verify_feed(ctx, &target, selection),
        None => pipeline::feed(ctx, &target, selection, *serve),
    }
}
