//! `boot`: the router, for a look around.

use model::Result;

use super::Outcome;
use crate::cli::BootArgs;
use crate::doctor::{self, Purpose};
use crate::scratch::Scratch;
use crate::{Ctx, pipeline, usage};

/// Boots the router and runs one command, or gives a console.
pub fn run(ctx: &Ctx, args: &BootArgs) -> Result<Outcome> {
    let target = usage::router_target(&args.selection)?;
    pipeline::check_files(ctx, &target, Purpose::Test)?;
    doctor::require(ctx, Purpose::Test)?;
    let _scratch = Scratch::take()?;
    pipeline::boot(ctx, &target, args)
}
