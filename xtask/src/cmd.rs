//! The verbs: each in the file of its name, each `run(&Ctx, &Args) -> Result<Outcome>`.

pub mod bench;
pub mod boot;
pub mod build;
pub mod ci;
pub mod clean;
pub mod dist;
pub mod doctor;
pub mod feed;
pub mod keys;
pub mod lint;
pub mod lock;
pub mod new;
pub mod plan;
pub mod report;
pub mod test;

use model::Result;

use crate::cli::Verb;
use crate::{Ctx, Outcome};

/// Runs a verb.
pub fn run(ctx: &Ctx, verb: &Verb) -> Result<Outcome> {
    match verb {
        Verb::Build(args) => build::run(ctx, args),
        Verb::Test(args) => test::run(ctx, args),
        Verb::Lint(args) => lint::run(ctx, args),
        Verb::Feed(args) => feed::run(ctx, args),
        Verb::Dist(args) => dist::run(ctx, args),
        Verb::Keys(args) => keys::run(ctx, args),
        Verb::Boot(args) => boot::run(ctx, args),
        Verb::New(args) => new::run(ctx, args),
        Verb::Bench(args) => bench::run(ctx, args),
        Verb::Plan(args) => plan::run(ctx, args),
        Verb::Lock(args) => lock::run(ctx, args),
        Verb::Report(args) => report::run(ctx, args),
        Verb::Doctor(args) => doctor::run(ctx, args),
        Verb::Ci(args) => ci::run(ctx, args),
        Verb::Clean(args) => clean::run(ctx, args),
    }
}
