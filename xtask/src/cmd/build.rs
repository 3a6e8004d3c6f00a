//! `build`: the packages, checked.

use model::Result;

use super::Outcome;
use crate::cli::BuildArgs;
use crate::doctor::{self, Purpose};
use crate::{Ctx, pipeline, usage};

/// Builds the packages and names their folder.
pub fn run(ctx: &Ctx, args: &BuildArgs) -> Result<Outcome> {
    let BuildArgs { selection } = args;
    let target = usage::target(selection)?;
    pipeline::check_files(ctx, &target, Purpose::Build)?;
    doctor::require(ctx, Purpose::Build)?;
    pipeline::build(ctx, &target, selection)
}
