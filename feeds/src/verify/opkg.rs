//! The part for opkg: every package is installed.

use camino::Utf8Path;
use client::opkg::{Client, Config, Root};
use formats::Package;
use formats::usign::PublicKey;
use model::{Arch, Result};

use super::{LIBC, Scratch, is_of_image, refused};

/// Installs every package of the feed into a scratch root that trusts `key` only and has the package `kernel` in
/// this version.
///
/// Returns names and versions of what was installed, by name. No maintainer script runs.
pub(super) fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &str,
    key: &PublicKey,
) -> Result<Vec<(String, String)>> {
    let scratch = Scratch::new()?;
    scratch.put(&format!("etc/opkg/keys/{}", key.fingerprint), &key.to_text("trusted"))?;
    scratch.put("etc/opkg/customfeeds.conf", &format!("src/gz verified file://{feed}\n"))?;
    let (libc, libc_version) = LIBC;
    let installed = [(Package::KERNEL, kernel), (libc, libc_version)];
    let status: String = installed.map(|(name, version)| part_of_image(name, version, architecture)).concat();
    scratch.put("usr/lib/opkg/status", &status)?;

    let refused = |error| refused(feed, &error);
    let config = Root::open(scratch.path()).and_then(|root| Config::load_offline(&root)).map_err(refused)?;
    let client = Client::new(
        Root::open(scratch.path()).map_err(refused)?,
        config.with_arch("all", 1).with_arch(&architecture.0, 10),
    );
    let mut ignore = |_progress| {};
    client.update(&mut ignore).map_err(refused)?;
    let names: Vec<String> = client.available().map_err(refused)?.into_iter().map(|control| control.package).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    client.install(&names, &mut ignore).map_err(refused)?;
    let installed = client.installed().map_err(refused)?;
    let mut verified: Vec<(String, String)> = installed
        .into_iter()
        .map(|package| (package.control.package, package.control.version))
        .filter(|(name, _)| !is_of_image(name))
        .collect();
    verified.sort();
    Ok(verified)
}

/// What an image says of what it has from the beginning: a package that is installed, here without files.
fn part_of_image(name: &str, version: &str, architecture: &Arch) -> String {
    format!("Package: {name}\nVersion: {version}\nStatus: install user installed\nArchitecture: {architecture}\n\n")
}
