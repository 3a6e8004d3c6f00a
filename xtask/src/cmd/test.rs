//! `test`: runs the whole pipeline, up to the proof of offload.

use model::Result;

use crate::cli::TestArgs;
use crate::doctor::Purpose;
use crate::pipeline::{self, Job};
use crate::scratch::Scratch;
use crate::{Ctx, Outcome};

/// Runs the requested scenarios.
pub fn run(ctx: &Ctx, args: &TestArgs) -> Result<Outcome> {
    if args.list {
        pipeline::target(&args.selection)?;
        return pipeline::list(ctx, args);
    }
    let jobs = Job::proofs(ctx, &args.selection)?;
    pipeline::check_scenarios(ctx, args)?;
    jobs.iter().try_for_each(|job| job.require(ctx, Purpose::Test))?;
    let _scratch = Scratch::take()?;
    pipeline::test(ctx, &jobs, args)
}
