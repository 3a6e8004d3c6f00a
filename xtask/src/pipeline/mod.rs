//! How the engines are put together: Debian packages → kernel → packages → feed → image → router → report.
//!
//! Each step is a [`crate::stage`]: a directory of the cache under a hash of what went into it.
//!
//! ```text
//! debian-kernel ─> kernel ─┬─> packages ─> lint ─> feed ─┬─> spoiled feeds ─┐
//!                          │                             └──────────────────┼─> scenarios ─> report
//! debian-image ────────────┴─> image ─> state ──────────────────────────────┘
//! ```

mod bench;
mod console;
mod feed;
mod installed;
mod linted;
mod official;
mod openwrt;
mod payload;
mod provider;
mod publish;
mod reproduce;
mod router;
pub mod stages;
mod stand_in;
mod suite;

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use model::{Result, Target};

use crate::cli::Selection;
use crate::doctor::{self, Purpose};
use crate::feed_config::FeedConfig;
use crate::{Ctx, Outcome, upstream};

use feed::signed;
use linted::linted;

pub use bench::bench;
pub use openwrt::compare;
pub use reproduce::reproduce;
pub use router::boot;
pub use suite::{check as check_scenarios, list, test};

/// Reads every file that `purpose` is going to need: a slip in one is told at once, not after minutes of
/// fetching and building, and before anything is made in the cache.
pub fn check_files(ctx: &Ctx, target: &Target, purpose: Purpose) -> Result<()> {
    sdk::Recipes::load(&ctx.recipes)?;
    FeedConfig::load(ctx)?;
    if purpose >= Purpose::Test {
        vm::machine::Machine::load(&router::machine_file(ctx, target))?;
    }
    if purpose == Purpose::Ci {
        let files = scenarios::scenario::load_all(&ctx.scenarios)?;
        files.into_iter().try_for_each(|file| file.scenario.map(drop))?;
    }
    Ok(())
}

/// Makes sure that this host can build what is selected.
pub fn require_build(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<()> {
    match &selection.openwrt.release {
        None => doctor::require(ctx, Purpose::Build),
        Some(release) => doctor::require_all(ctx, &release_needs(ctx, target, release)?),
    }
}

/// What building for a target of a release needs.
fn release_needs(ctx: &Ctx, target: &Target, release: &str) -> Result<Vec<doctor::Need>> {
    let row = upstream::matrix(ctx)?.row(release, &target.to_string())?;
    Ok(doctor::sdk_needs(row.host).into_iter().chain(doctor::router_programs(&row.arch)).collect())
}

/// Makes sure that this host can build what is selected, and run a router with it.
pub fn require_test(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<()> {
    match &selection.openwrt.release {
        None => doctor::require(ctx, Purpose::Test),
        Some(release) => {
            let mut needs = release_needs(ctx, target, release)?;
            needs.extend(emulator(ctx, target)?);
            doctor::require_all(ctx, &needs)
        }
    }
}

/// The emulator of the target's machine, if `doctor` knows it; whoever starts an unknown one asks for it by name.
pub fn emulator(ctx: &Ctx, target: &Target) -> Result<Option<doctor::Need>> {
    let machine = vm::machine::Machine::load(&router::machine_file(ctx, target))?;
    Ok(doctor::emulator(&machine.qemu.binary))
}

/// Builds and checks the packages.
pub fn build(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Outcome> {
    let built = linted(ctx, target, selection)?;
    let shown = publish::copy(ctx, target, "packages", &built.folder)?;
    Ok(Outcome::done(shown))
}

/// Assembles and signs the feed; serves it at `serve` until interrupted, if that is given.
pub fn feed(ctx: &Ctx, target: &Target, selection: &Selection, serve: Option<SocketAddr>) -> Result<Outcome> {
    let feed = signed(ctx, target, selection)?;
    let shown = publish::copy(ctx, target, "feed", &feed.folder)?;
    publish::write_keys(ctx, target, &feed.keys)?;
    let Some(address) = serve else { return Ok(Outcome::done(shown)) };
    let server = feeds::serve::Server::bind(&feed.folder, address)?;
    for line in publish::router_configuration(&feed.name, &feed.keys, server.address())? {
        ctx.events.notice("serve", line);
    }
    server.run(&ctx.cancel, |line| ctx.events.line("serve", line))?;
    ctx.cancel.check()?;
    Ok(Outcome::done(shown))
}

/// Installs every package of the feed into a scratch root, through its signatures: one a line, with its version
/// and format.
pub fn verify_feed(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Outcome> {
    let feed = signed(ctx, target, selection)?;
    let verified = feeds::verify(&feed.folder, &feed.packages.arch, &feed.packages.kernel_version, &feed.keys)?;
    let line = |package: &feeds::Verified| format!("{} {} {}", package.name, package.version, package.format);
    let lines: Vec<String> = verified.iter().map(line).collect();
    Ok(Outcome::done(lines.join("\n")))
}

/// The files of the packages, whatever the lint says about them.
pub fn package_files(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Vec<Utf8PathBuf>> {
    packages(ctx, target, selection)?.files()
}

/// The packages of the provider that is selected.
fn packages(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<provider::Packages> {
    match &selection.openwrt.release {
        None => provider::packages(ctx, target, selection),
        Some(release) => openwrt::packages(ctx, release, target, &selection.openwrt),
    }
}

#[cfg(test)]
mod tests;
