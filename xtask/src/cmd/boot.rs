//! `boot`: the router, for a look around.

use model::Result;

use super::Outcome;
use crate::cli::BootArgs;
use crate::doctor::Purpose;
use crate::scratch::Scratch;
use crate::{Ctx, pipeline, usage};

/// Boots the router and runs one command, or gives a console.
pub fn run(ctx: &Ctx, args: &BootArgs) -> Result<Outcome> {
    let target = usage::target(&args.selection)?;
    pipeline::check_files(ctx, &target, Purpose::Test)?;
    pipeline::require_test(ctx, &target, &args.selection)?;
    let _scratch = Scratch::take()?;
    pipeline::boot(ctx, &target, args)
}
