//! How the engines are put together: Debian packages → kernel → packages → feed → image → router → report.
//!
//! Each step is a [`crate::stage`]: a directory of the cache under a hash of what went into it.
//!
//! ```text
//! debian-kernel ─> kernel ─┬─> packages ─> lint ─> feed ─┬─> spoiled feeds ─┐
//!                          │                             └──────────────────┼─> scenarios ─> report
//! debian-image ────────────┴─> image ─> state ──────────────────────────────┘
//! ```

mod console;
mod linted;
mod provider;
mod publish;
mod reproduce;
mod router;

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use formats::usign::SecretKey;
use model::{Result, Target};
use serde::Deserialize;

use crate::Ctx;
use crate::cli::Selection;
use crate::cmd::Outcome;
use crate::doctor::Purpose;
use crate::stage::{Inputs, stage};

use linted::linted;

pub use reproduce::reproduce;
pub use router::{boot, list, test};

/// Environment variable that names another file for the secret key.
const KEY_VARIABLE: &str = "OPENWRT_OFFLOAD_USIGN_KEY";

/// `feeds/feed.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedConfig {
    #[serde(rename = "version")]
    _version: u32,
    name: String,
    key: String,
}

/// A signed feed and what a router needs to trust it.
struct Feed {
    /// The stage's directory.
    folder: Utf8PathBuf,
    /// Name in the package manager's configuration.
    name: String,
    /// The key that signed it.
    key: SecretKey,
    /// What is in it.
    packages: provider::Packages,
}

/// Reads every file that `purpose` is going to need: a slip in one is told at once, not after minutes of
/// fetching and building, and before anything is made in the cache.
pub fn check_files(ctx: &Ctx, target: &Target, purpose: Purpose) -> Result<()> {
    sdk::Recipes::load(&ctx.root.join("package/recipes"))?;
    feed_config(ctx)?;
    if purpose >= Purpose::Test {
        vm::machine::Machine::load(&router::machine_file(ctx, target))?;
        scenarios::scenario::load_all(&router::scenario_folder(ctx))?;
    }
    Ok(())
}

fn feed_config(ctx: &Ctx) -> Result<FeedConfig> {
    model::yaml::load(&ctx.root.join("feeds/feed.yaml"))
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
    publish::write_key(ctx, target, &feed.key)?;
    let Some(address) = serve else { return Ok(Outcome::done(shown)) };
    let server = feeds::serve::Server::bind(&feed.folder, address)?;
    for line in publish::router_configuration(&feed.name, &feed.key, server.address()) {
        ctx.events.notice("serve", line);
    }
    server.run(&ctx.cancel, |line| ctx.events.line("serve", line))?;
    ctx.cancel.check()?;
    Ok(Outcome::done(shown))
}

/// Installs every package of the feed into a scratch root, through its signatures.
pub fn verify_feed(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Outcome> {
    let feed = signed(ctx, target, selection)?;
    let kernel = sdk::local::Kernel::open(&feed.packages.kernel)?;
    let verified = feeds::verify(&feed.folder, &feed.packages.arch, kernel.id(), &feed.key.public())?;
    let lines: Vec<String> = verified.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    Ok(Outcome::done(lines.join("\n")))
}

/// The files of the packages, whatever the lint says about them.
pub fn package_files(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Vec<Utf8PathBuf>> {
    provider::packages(ctx, target, selection)?.files()
}

/// The signed feed of the packages.
fn signed(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Feed> {
    let packages = linted(ctx, target, selection)?;
    let config = feed_config(ctx)?;
    let key_file = match std::env::var(KEY_VARIABLE) {
        Ok(path) if !path.is_empty() => Utf8PathBuf::from(path),
        _ => ctx.keys.join(&config.key),
    };
    let key = feeds::keys::load_or_create(&key_file)?;
    let inputs = Inputs::new(format!("{} packages, signed by {}", packages.arch, key.fingerprint()))
        .stage("packages", &packages.folder)
        .text("key", key.public().to_text(""))
        .path("code", ctx.root.join("feeds/src"));
    let folder = stage(ctx, "feed", &inputs, |out| {
        let listed = feeds::assemble(&packages.files()?, &packages.arch, &key, out)?;
        Ok(format!("{} packages, signed by {}", listed.len(), key.fingerprint()))
    })?;
    Ok(Feed { folder, name: config.name, key, packages })
}
