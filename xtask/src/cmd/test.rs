//! `test`: the whole pipeline, up to the proof of offload.

use model::Result;

use super::Outcome;
use crate::cli::TestArgs;
use crate::doctor::Purpose;
use crate::scratch::Scratch;
use crate::{Ctx, pipeline, usage};

/// Runs the scenarios that were asked for.
pub fn run(ctx: &Ctx, args: &TestArgs) -> Result<Outcome> {
    let target = usage::target(&args.selection)?;
    if args.list {
        return pipeline::list(ctx, args);
    }
    pipeline::check_files(ctx, &target, Purpose::Test)?;
    pipeline::check_scenarios(ctx, args)?;
    pipeline::require_test(ctx, &target, &args.selection)?;
    let _scratch = Scratch::take()?;
    pipeline::test(ctx, &target, args)
}
