//! `build`: the packages, checked.

use model::Result;

use super::Outcome;
use crate::cli::BuildArgs;
use crate::doctor::Purpose;
use crate::{Ctx, pipeline, usage};

/// Builds the packages and names their folder.
pub fn run(ctx: &Ctx, args: &BuildArgs) -> Result<Outcome> {
    let BuildArgs { compare, selection } = args;
    let target = usage::target(selection)?;
    pipeline::check_files(ctx, &target, Purpose::Build)?;
    pipeline::require_build(ctx, &target, selection)?;
    let built = pipeline::build(ctx, &target, selection)?;
    if *compare { pipeline::compare(ctx, &target, selection) } else { Ok(built) }
}
