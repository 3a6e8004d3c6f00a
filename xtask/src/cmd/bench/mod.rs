//! `bench`: measures speed; each benchmark is in the file of its name.

mod formats;
mod offload;

use model::Result;

use crate::cli::{BenchAction, BenchArgs};
use crate::{Ctx, Outcome};

/// Runs the requested benchmark.
pub fn run(ctx: &Ctx, args: &BenchArgs) -> Result<Outcome> {
    match &args.action {
        BenchAction::Formats(args) => formats::run(ctx, args),
        BenchAction::Offload(args) => offload::run(ctx, args),
    }
}
