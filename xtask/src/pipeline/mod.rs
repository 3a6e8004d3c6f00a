//! Combines the engines: Debian packages → kernel → packages → feed → image → router → report.
//!
//! Each step is a [`crate::stage`]: a directory of the cache under a hash of its inputs. Independent steps run in
//! parallel.
//!
//! ```text
//! debian-kernel ─> kernel ─┬─> packages ─> lint ─> feed ─┬─> spoiled feeds ─┐
//! modules from source ─────┤                             │                  │
//! programs of ours ────────┤                             └─> installed ─────┼─> scenarios ─> report
//! debian-image ────────────┴─> image ─> state ───────────────┘              │
//!                                           └───────────────────────────────┘
//! ```

mod asked;
mod at_once;
mod bench;
mod bootable;
mod borrowed;
mod brought;
mod brought_scenarios;
mod console;
mod feed;
mod image_says;
mod installed;
mod job;
mod kmods;
mod linted;
mod modules;
mod of_image;
mod official;
mod offline;
mod openwrt;
mod packages;
mod payload;
mod ports;
mod programs;
mod proved;
mod publish;
mod release;
mod reproduce;
mod router;
mod row;
pub mod stages;
mod stand_in;
mod successor;
mod suite;
mod trees;

use std::net::SocketAddr;
use std::time::Instant;

use camino::Utf8PathBuf;
use model::{Event, Result, Status};

use crate::lint::Allowed;
use crate::stage::millis;
use crate::{Ctx, Outcome};

use feed::signed;
use linted::{gathered, linted};

pub use asked::target;
pub use bench::bench;
pub use job::{Job, emulator};
pub use programs::toolchains;
pub use reproduce::reproduce;
pub use router::boot;
pub use row::{RowPackages, row_inputs, row_packages};
pub use stand_in::{STAND_IN, StandIn, has_kernel, stand_ins};
pub use suite::{check as check_scenarios, list, test, test_beside};

/// Builds and checks the packages.
pub fn build(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    let built = linted(ctx, job)?;
    let shown = publish::copy(ctx, job.target(), "packages", &built.folder)?;
    Ok(Outcome::done(shown))
}

/// Compares the kmods with the published ones, file by file.
pub fn compare(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    job.provider.compare(ctx, &job.provider.packages(ctx, job)?)
}

/// Assembles and signs the feed; serves it at `serve`, if given, until interrupted.
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

/// Installs every package of the feed into a scratch root, through its signatures; lists them with version and format.
pub fn verify_feed(ctx: &Ctx, job: &Job) -> Result<Outcome> {
    let feed = signed(ctx, job)?;
    let image = of_image::needed(&feed.packages, job.provider.image_packages()?.as_ref())?;
    let kernel = &feed.packages.kernel_version;
    let verified = feeds::verify(&feed.folder, &feed.packages.arch, kernel, &image, &feed.keys)?;
    let line = |package: &feeds::Verified| format!("{} {} {}", package.name, package.version, package.format);
    let lines: Vec<String> = verified.iter().map(line).collect();
    Ok(Outcome::done(lines.join("\n")))
}

/// The same as a stage of its own in what is told.
pub fn verified(ctx: &Ctx, job: &Job) -> Result<()> {
    let started = Instant::now();
    let verified = verify_feed(ctx, job)?.data.lines().count();
    ctx.events.emit(Event::StageEnd {
        stage: "feed-verify".into(),
        status: Status::Done,
        millis: millis(started.elapsed()),
        summary: format!("{verified} packages installed through the feed's signatures"),
    });
    Ok(())
}

/// The package files, without the lint stage, and the breaches that are accepted in them.
pub fn packages_to_lint(ctx: &Ctx, job: &Job) -> Result<(Vec<Utf8PathBuf>, Vec<Allowed>)> {
    let packages = gathered(ctx, job)?;
    Ok((packages.files()?, packages.allowed))
}

#[cfg(test)]
mod tests;
