//! The part for apk.

use camino::Utf8Path;
use client::apk::{Client, Config, Root, image_state};
use formats::Package;
use formats::ec::PublicKey;
use model::{Arch, Exit, Failure, KernelId, Result};

use super::scratch::Scratch;
use crate::apk::INDEX;
use crate::explain;

/// Names and versions of what was installed, by name.
pub(super) fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &KernelId,
    key: &PublicKey,
) -> Result<Vec<(String, String)>> {
    let scratch = Scratch::new()?;
    let pem = key.to_pem().map_err(|error| explain(Exit::Bug, "the public key", &error))?;
    scratch.put(&format!("etc/apk/keys/{}.pem", key.id()), &pem)?;
    scratch.put("etc/apk/repositories.d/customfeeds.list", &format!("{}\n", feed.join(INDEX)))?;
    for (path, text) in image_state(&kernel.package_version(), &architecture.0) {
        scratch.put(path, &text)?;
    }

    let refused = |error: client::Error| {
        Failure::new(exit_of(&error), error.id(), error.to_string(), error.why(), error.fix()).at(feed)
    };
    let root = || Root::open(scratch.path()).map_err(refused);
    let client = Client::new(root()?, Config::load(&root()?).map_err(refused)?);
    let mut ignore = |_progress| {};
    client.update(&mut ignore).map_err(refused)?;
    let names: Vec<String> = client.available().map_err(refused)?.into_iter().map(|info| info.name).collect();
    client.add(&names, &mut ignore).map_err(refused)?;
    let installed = client.installed().map_err(refused)?;
    let named = installed.into_iter().map(|package| (package.info.name, package.info.version));
    Ok(named.filter(|(name, _)| name != Package::KERNEL).collect())
}

/// A digest or signature that does not match must never be retried; anything else is a failed check.
fn exit_of(error: &client::Error) -> Exit {
    use client::Error;
    match error {
        // The index has no digest of a package's file, but of what is in it: a byte that was changed in between
        // shows as one that cannot be unpacked.
        Error::UntrustedIndex { .. }
        | Error::UntrustedPackage { .. }
        | Error::Index { .. }
        | Error::Integrity { .. }
        | Error::Foreign { .. }
        | Error::Package { .. } => Exit::Mismatch,
        _ => Exit::Failed,
    }
}
