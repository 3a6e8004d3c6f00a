//! The part for apk: every package is installed.

use camino::Utf8Path;
use client::apk::{Client, Config, Root, image_state_with};
use formats::ec;
use model::{Arch, Exit, Result};

use super::{LIBC, Scratch, is_of_image, refused};
use crate::apk::INDEX;
use crate::explain;

/// Installs every package of the feed into a scratch root that trusts `key` only and has the package `kernel` in
/// this version.
///
/// Returns names and versions of what was installed, by name. No maintainer script runs.
pub(super) fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &str,
    key: &ec::PublicKey,
) -> Result<Vec<(String, String)>> {
    let scratch = Scratch::new()?;
    let pem = key.to_pem().map_err(|error| explain(Exit::Bug, feed, &error))?;
    scratch.put("etc/apk/keys/trusted.pem", &pem)?;
    scratch.put("etc/apk/repositories.d/verified.list", &format!("file://{feed}/{INDEX}\n"))?;
    for (path, text) in image_state_with(kernel, &[LIBC], &architecture.0) {
        scratch.put(path.trim_start_matches('/'), &text)?;
    }

    let refused = |error| refused(feed, &error);
    let config = Root::open(scratch.path()).and_then(|root| Config::load(&root)).map_err(refused)?;
    let client = Client::new(Root::open(scratch.path()).map_err(refused)?, config);
    let mut ignore = |_progress| {};
    client.update(&mut ignore).map_err(refused)?;
    let names: Vec<String> = client.available().map_err(refused)?.into_iter().map(|info| info.name).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    client.add(&names, &mut ignore).map_err(refused)?;
    let installed = client.installed().map_err(refused)?;
    let mut verified: Vec<(String, String)> = installed
        .into_iter()
        .map(|package| (package.info.name, package.info.version))
        .filter(|(name, _)| !is_of_image(name))
        .collect();
    verified.sort();
    Ok(verified)
}
