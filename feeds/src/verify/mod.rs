//! Verifies a feed the way a router would: by installing every package of it, through its signatures.

mod apk;
mod opkg;
mod scratch;

use camino::Utf8Path;
use formats::Format;
use model::{Arch, Exit, Failure, KernelId, Result};

use crate::folders;
use crate::keys::Keys;

/// A package that could be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// In which of the two formats.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Installs every package of the feed, by either manager into a scratch root of its own that trusts the public
/// halves of `keys` only and runs `kernel`. Returns what was installed, by format and name. No maintainer
/// script runs.
///
/// # Errors
/// `FEED005` for a feed that lists nothing, and whatever a package manager would refuse it for.
pub fn verify(feed: &Utf8Path, architecture: &Arch, kernel: &KernelId, keys: &Keys) -> Result<Vec<Verified>> {
    let mut all = Vec::new();
    for (format, folder) in folders(feed) {
        let verified = match format {
            Format::Ipk => opkg::verify(&folder, architecture, kernel, &keys.opkg.current.public())?,
            Format::Apk => apk::verify(&folder, architecture, kernel, &keys.apk.current.public())?,
        };
        if verified.is_empty() {
            return Err(nothing_listed(&folder));
        }
        all.extend(verified.into_iter().map(|(name, version)| Verified { format, name, version }));
    }
    if all.is_empty() { Err(nothing_listed(feed)) } else { Ok(all) }
}

fn nothing_listed(folder: &Utf8Path) -> Failure {
    Failure::new(
        Exit::Failed,
        "FEED005",
        "the feed lists no package",
        "a feed without packages can't be verified by installing them",
        "build packages first: cargo xtask feed",
    )
    .at(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, keys};
    use crate::{Spoil, spoil};

    fn kernel(hash: &str) -> KernelId {
        KernelId { version: "6.12.1".into(), config_hash: hash.into(), release: 1 }
    }

    fn arch() -> Arch {
        Arch("x86_64".into())
    }

    #[test]
    fn every_package_of_a_good_feed_is_verified() {
        let keys = keys(7);
        let (_guard, feed) = feed(&keys);
        let verified = verify(&feed, &arch(), &kernel("aa"), &keys).unwrap();
        let names: Vec<_> = verified.iter().map(|package| (package.format, package.name.as_str())).collect();
        let [ipk, apk] = Format::ALL;
        assert_eq!(names, [(ipk, "kmod-nft-offload"), (ipk, "notes"), (apk, "kmod-nft-offload"), (apk, "notes")]);
    }

    #[test]
    fn feeds_that_a_router_would_refuse_do_not_verify() {
        let keys = keys(7);
        let (_guard, good) = feed(&keys);
        let refused = |feed: &Utf8Path, hash: &str, trusted: &Keys| {
            // Each manager's part alone, so that neither refusal stands for the other.
            Format::ALL.map(|format| {
                let alone = feed.with_file_name(format!("alone-{format}"));
                std::fs::create_dir(&alone).unwrap();
                std::fs::rename(crate::folder(feed, format), crate::folder(&alone, format)).unwrap();
                let failure = verify(&alone, &arch(), &kernel(hash), trusted).unwrap_err();
                std::fs::rename(crate::folder(&alone, format), crate::folder(feed, format)).unwrap();
                std::fs::remove_dir(&alone).unwrap();
                failure.exit()
            })
        };
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
            spoil(&good, kind, &arch(), &keys, &bad).unwrap();
            assert_eq!(refused(&bad, "aa", &keys), [exit; 2], "{kind:?}");
        }
        let cut = good.with_file_name("cut");
        std::fs::create_dir(&cut).unwrap();
        spoil(&good, Spoil::WrongKey, &arch(), &keys, &cut).unwrap();
        for index in [
            crate::folder(&cut, Format::Ipk).join("Packages.gz"),
            crate::folder(&cut, Format::Apk).join("packages.adb"),
        ] {
            let half = std::fs::read(&index).unwrap();
            std::fs::remove_file(&index).unwrap();
            std::fs::write(&index, &half[..half.len() / 2]).unwrap();
        }
        assert_eq!(refused(&cut, "aa", &keys), [Exit::Mismatch; 2], "a damaged index");
        assert_eq!(refused(&good, "bb", &keys), [Exit::Failed; 2]);
        assert_eq!(refused(&good, "aa", &crate::assemble::tests::keys(8)), [Exit::Mismatch; 2]);
    }

    #[test]
    fn an_empty_feed_verifies_nothing() {
        let keys = keys(7);
        let guard = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(guard.path()).unwrap();
        crate::assemble(&[], &arch(), &keys, out).unwrap();
        assert_eq!(verify(out, &arch(), &kernel("aa"), &keys).unwrap_err().id(), "FEED005");
        // A kernel alone is a package, but none that a feed lists.
        let packages = crate::assemble::tests::packages(out);
        crate::assemble(&packages[..1], &arch(), &keys, out).unwrap();
        assert_eq!(verify(out, &arch(), &kernel("aa"), &keys).unwrap_err().id(), "FEED005");
    }
}
