//! How the engines are put together: Debian packages → kernel → packages → feed → image → router → report.
//!
//! Each step is a [`crate::stage`]: a directory of the cache under a hash of what went into it. Steps that do not need
//! each other run at once.
//!
//! ```text
//! debian-kernel ─> kernel ─┬─> packages ─> lint ─> feed ─┬─> spoiled feeds ─┐
//! modules from source ─────┤                             │                  │
//! programs of ours ────────┤                             └─> installed ─────┼─> scenarios ─> report
//! debian-image ────────────┴─> image ─> state ───────────────┘              │
//!                                           └───────────────────────────────┘
//! ```

mod at_once;
mod bench;
mod console;
mod feed;
mod installed;
mod job;
mod linted;
mod modules;
mod official;
mod openwrt;
mod payload;
mod ports;
mod programs;
mod proved;
mod provider;
mod publish;
mod release;
mod reproduce;
mod router;
mod row;
pub mod stages;
mod stand_in;
mod suite;
mod trees;

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use model::Result;

use crate::lint::Allowed;
use crate::{Ctx, Outcome};

use feed::signed;
use linted::linted;

pub use bench::bench;
pub use job::{Job, emulator, target};
pub use programs::toolchains;
pub use reproduce::reproduce;
pub use router::boot;
pub use row::{RowPackages, row_inputs, row_packages};
pub use stand_in::{STAND_IN, StandIn};
pub use suite::{check as check_scenarios, list, test};

/// Builds and checks the packages.
pub fn build(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    let built = linted(ctx, job)?;
    let shown = publish::copy(ctx, job.target(), "packages", &built.folder)?;
    Ok(Outcome::done(shown))
}

/// Compares the kmods with those that are published; differences are listed by file.
pub fn compare(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    job.provider.compare(ctx, &job.provider.packages(ctx, job)?)
}

/// Assembles and signs the feed; serves it at `serve` until interrupted, if that is given.
pub fn feed(ctx: &Ctx, job: &Job, serve: Option<SocketAddr>) -> Result<Outcome> {
    let feed = signed(ctx, job)?;
    let shown = publish::copy(ctx, job.target(), "feed", &feed.folder)?;
    publish::write_keys(ctx, job.target(), &feed.keys)?;
    let Some(address) = serve else { return Ok(Outcome::done(shown)) };
    let server = feeds::serve::Server::bind(&feed.folder, address)?;
    for line in publish::router_configuration(&feed.name, &feed.keys, server.address(), &feed.kernel())? {
        ctx.events.notice("serve", line);
    }
    server.run(&ctx.cancel, |line| ctx.events.line("serve", line))?;
    ctx.cancel.check()?;
    Ok(Outcome::done(shown))
}

/// Installs every package of the feed into a scratch root, through its signatures: one a line, with its version
/// and format.
pub fn verify_feed(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    let feed = signed(ctx, job)?;
    let verified = feeds::verify(&feed.folder, &feed.packages.arch, &feed.packages.kernel_version, &feed.keys)?;
    let line = |package: &feeds::Verified| format!("{} {} {}", package.name, package.version, package.format);
    let lines: Vec<String> = verified.iter().map(line).collect();
    Ok(Outcome::done(lines.join("\n")))
}

/// The files of the packages, whatever the lint says about them, and what it may say.
pub fn packages_to_lint(ctx: &Ctx, job: &Job) -> Result<(Vec<Utf8PathBuf>, Vec<Allowed>)> {
    let packages = job.provider.packages(ctx, job)?;
    Ok((packages.files()?, packages.allowed))
}

#[cfg(test)]
mod tests;
