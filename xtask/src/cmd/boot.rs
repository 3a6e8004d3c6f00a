//! `boot`: runs the router for manual use.

use model::Result;

use crate::cli::BootArgs;
use crate::doctor::Purpose;
use crate::pipeline::{self, Job};
use crate::scratch::Scratch;
use crate::{Ctx, Outcome};

/// Boots the router and runs one command, or opens a console.
pub fn run(ctx: &Ctx, args: &BootArgs) -> Result<Outcome> {
    let job = Job::new(ctx, &args.selection, Purpose::Test)?;
    job.require(ctx, Purpose::Test)?;
    let _scratch = Scratch::take()?;
    pipeline::boot(ctx, &job, args)
}
