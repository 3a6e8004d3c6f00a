//! The part for opkg: every package is installed.

use camino::Utf8Path;
use client::opkg::{Client, Config, Root};
use formats::Package;
use formats::usign::PublicKey;
use model::{Arch, Exit, Failure, KernelId, Result};

/// Installs every package of the feed into a scratch root that trusts `key` only and runs `kernel`.
///
/// Returns names and versions of what was installed, by name. No maintainer script runs.
pub(super) fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &KernelId,
    key: &PublicKey,
) -> Result<Vec<(String, String)>> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::io("make a scratch root", "/tmp", &error))?;
    let root = Utf8Path::from_path(scratch.path()).ok_or_else(|| {
        Failure::io("use a scratch root", scratch.path().display(), &std::io::ErrorKind::InvalidFilename.into())
    })?;
    let put = |path: &str, text: String| {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(root);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::io("prepare the scratch root", &path, &error))
    };
    put(&format!("etc/opkg/keys/{}", key.fingerprint), key.to_text("trusted"))?;
    put("etc/opkg/customfeeds.conf", format!("src/gz verified file://{feed}\n"))?;
    put("usr/lib/opkg/status", installed_kernel(kernel, architecture))?;

    let refused = |error: client::Error| {
        Failure::new(exit_of(&error), error.id(), error.to_string(), error.why(), error.fix()).at(feed)
    };
    let config = Root::open(root).and_then(|root| Config::load_offline(&root)).map_err(refused)?;
    let client =
        Client::new(Root::open(root).map_err(refused)?, config.with_arch("all", 1).with_arch(&architecture.0, 10));
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
