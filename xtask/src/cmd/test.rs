//! `test`: the whole pipeline, up to the proof of offload.

use model::Result;

use crate::cli::TestArgs;
use crate::doctor::Purpose;
use crate::pipeline::{self, Job};
use crate::scratch::Scratch;
use crate::{Ctx, Outcome};

/// Runs the scenarios that were asked for.
pub fn run(ctx: &Ctx, args: &TestArgs) -> Result<Outcome> {
    if args.list {
        pipeline::target(&args.selection)?;
        return pipeline::list(ctx, args);
    }
    let jobs = Job::each(ctx, &args.selection, Purpose::Test)?;
    pipeline::check_scenarios(ctx, args)?;
    jobs.iter().try_for_each(|job| job.require(ctx, Purpose::Test))?;
    let _scratch = Scratch::take()?;
    pipeline::test(ctx, &jobs, args)
}
