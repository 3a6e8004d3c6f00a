//! The part for opkg.

use camino::Utf8Path;
use client::opkg::{Client, Config, Root};
use formats::Package;
use formats::usign::PublicKey;
use model::{Arch, Exit, Failure, KernelId, Result};

use super::scratch::Scratch;

/// Names and versions of what was installed, by name.
pub(super) fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &KernelId,
    key: &PublicKey,
) -> Result<Vec<(String, String)>> {
    let scratch = Scratch::new()?;
    scratch.put(&format!("etc/opkg/keys/{}", key.fingerprint), &key.to_text("trusted"))?;
    scratch.put("etc/opkg/customfeeds.conf", &format!("src/gz verified file://{feed}\n"))?;
    scratch.put("usr/lib/opkg/status", &installed_kernel(kernel, architecture))?;

    let refused = |error: client::Error| {
        Failure::new(exit_of(&error), error.id(), error.to_string(), error.why(), error.fix()).at(feed)
    };
    let root = || Root::open(scratch.path()).map_err(refused);
    let config = Config::load_offline(&root()?).map_err(refused)?;
    let client = Client::new(root()?, config.with_arch("all", 1).with_arch(&architecture.0, 10));
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
        .filter(|(name, _)| name != Package::KERNEL)
        .collect();
    verified.sort();
    Ok(verified)
}

/// A digest or signature that does not match must never be retried; anything else is a failed check.
fn exit_of(error: &client::Error) -> Exit {
    use client::Error;
    match error {
        // An index that can't be read was damaged or changed on its way, like one with a bad signature.
        Error::Unsigned { .. }
        | Error::UnknownKey { .. }
        | Error::BadSignature { .. }
        | Error::Index { .. }
        | Error::Mismatch { .. } => Exit::Mismatch,
        _ => Exit::Failed,
    }
}

/// What an image says of its kernel: a package that is installed and has no files.
fn installed_kernel(kernel: &KernelId, architecture: &Arch) -> String {
    format!(
        "Package: kernel\nVersion: {}\nStatus: install user installed\nArchitecture: {architecture}\n\n",
        kernel.package_version()
    )
}
