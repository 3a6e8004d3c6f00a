//! `build`: the packages, checked.

use model::Result;

use crate::cli::BuildArgs;
use crate::doctor::Purpose;
use crate::pipeline::{self, Job};
use crate::{Ctx, Outcome};

/// Builds the packages and prints their folder.
pub fn run(ctx: &Ctx, args: &BuildArgs) -> Result<Outcome> {
    let BuildArgs { compare, selection } = args;
    let job = Job::new(ctx, selection, Purpose::Build)?;
    job.require(ctx, Purpose::Build)?;
    let built = pipeline::build(ctx, &job)?;
    if *compare { pipeline::compare(ctx, &job) } else { Ok(built) }
}
