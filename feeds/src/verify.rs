//! Verifies a feed the way a router would: by installing every package of it through its signatures.

use camino::Utf8Path;
use client::opkg::{Client, Config, Root};
use formats::usign::PublicKey;
use model::{Arch, Exit, Failure, KernelId, Result};

/// A package that could be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Installs every package of the feed into a scratch root that trusts `key` only and runs `kernel`.
///
/// Returns what was installed, by name. No maintainer script runs.
pub fn verify(feed: &Utf8Path, architecture: &Arch, kernel: &KernelId, key: &PublicKey) -> Result<Vec<Verified>> {
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
        return Err(Failure::new(
            Exit::Failed,
            "FEED005",
            "the feed lists no package",
            "a feed without packages can't be verified by installing them",
            "build packages first: cargo xtask feed",
        )
        .at(feed));
    }
    client.install(&names, &mut ignore).map_err(refused)?;
    let installed = client.installed().map_err(refused)?;
    let mut verified: Vec<Verified> = installed
        .into_iter()
        .map(|package| Verified { name: package.control.package, version: package.control.version })
        .filter(|package| package.name != "kernel")
        .collect();
    verified.sort_by(|a, b| a.name.cmp(&b.name));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::feed;
    use crate::{Spoil, spoil};
    use formats::usign::SecretKey;

    fn kernel(hash: &str) -> KernelId {
        KernelId { version: "6.12.1".into(), config_hash: hash.into(), release: 1 }
    }

    fn arch() -> Arch {
        Arch("x86_64".into())
    }

    #[test]
    fn every_package_of_a_good_feed_installs() {
        let key = SecretKey::from_random([7; 40]);
        let (_guard, feed) = feed(&key);
        let verified = verify(&feed, &arch(), &kernel("aa"), &key.public()).unwrap();
        let names: Vec<_> = verified.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["kmod-nft-offload", "notes"]);
    }

    #[test]
    fn feeds_that_a_router_would_refuse_do_not_verify() {
        let key = SecretKey::from_random([7; 40]);
        let (_guard, good) = feed(&key);
        for (number, (kind, exit)) in [
            (Spoil::WrongKey, Exit::Mismatch),
            (Spoil::FlippedIndex, Exit::Mismatch),
            (Spoil::FlippedPackage("kmod-nft-offload"), Exit::Mismatch),
            (Spoil::OtherKernel, Exit::Failed),
        ]
        .into_iter()
        .enumerate()
        {
            let bad = good.with_file_name(format!("bad{number}"));
            std::fs::create_dir(&bad).unwrap();
            spoil(&good, kind, &arch(), &key, &bad).unwrap();
            let failure = verify(&bad, &arch(), &kernel("aa"), &key.public()).unwrap_err();
            assert_eq!(failure.exit(), exit, "{kind:?}: {failure}");
        }
        let cut = good.with_file_name("cut");
        std::fs::create_dir(&cut).unwrap();
        spoil(&good, Spoil::WrongKey, &arch(), &key, &cut).unwrap();
        let half = std::fs::read(good.join("Packages.gz")).unwrap();
        std::fs::remove_file(cut.join("Packages.gz")).unwrap();
        std::fs::write(cut.join("Packages.gz"), &half[..half.len() / 2]).unwrap();
        assert_eq!(verify(&cut, &arch(), &kernel("aa"), &key.public()).unwrap_err().exit(), Exit::Mismatch);
        assert_eq!(verify(&good, &arch(), &kernel("bb"), &key.public()).unwrap_err().exit(), Exit::Failed);
        let other = SecretKey::from_random([8; 40]);
        assert_eq!(verify(&good, &arch(), &kernel("aa"), &other.public()).unwrap_err().exit(), Exit::Mismatch);
    }

    #[test]
    fn an_empty_feed_verifies_nothing() {
        let key = SecretKey::from_random([7; 40]);
        let guard = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(guard.path()).unwrap();
        crate::assemble(&[], &arch(), &key, out).unwrap();
        assert_eq!(verify(out, &arch(), &kernel("aa"), &key.public()).unwrap_err().id(), "FEED005");
    }
}
