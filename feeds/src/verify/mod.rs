//! Verifies every package of a feed through its signatures, as a router would.

mod router;

use camino::Utf8Path;
use formats::Format;
use model::{Arch, Exit, Failure, Problem, Result};

use crate::keys::Keys;
use crate::layout::{Kernel, folder};
use crate::trust::Trust;

pub(crate) use router::Router;

/// A package that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its format, and so its manager.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Verifies every package of the feed as a router does that trusts only the public halves of `keys`, has the package
/// `kernel` in this version, and those of `image`: names and versions. Returns the packages, by format and name.
///
/// # Errors
/// `FEED005` for a feed that lists nothing for this kernel, and whatever a package manager would refuse.
pub fn verify(
    feed: &Utf8Path,
    architecture: &Arch,
    kernel: &str,
    image: &[(String, String)],
    keys: &Keys,
) -> Result<Vec<Verified>> {
    let current = Trust { usign: vec![keys.opkg.current.public()], ec: vec![keys.apk.current.public()] };
    let mut all = Vec::new();
    for format in Format::ALL {
        let folder = folder(feed, format, &Kernel::of_package(kernel));
        if folder.is_dir() {
            let verified = verify_folder(&folder, format, architecture, kernel, image, &current)?;
            all.extend(verified.into_iter().map(|(name, version)| Verified { format, name, version }));
        }
    }
    if all.is_empty() { Err(nothing_listed(feed)) } else { Ok(all) }
}

/// Verifies one folder by installing every package of its index into a scratch root. Returns names and versions, sorted
/// by name.
pub(crate) fn verify_folder(
    folder: &Utf8Path,
    format: Format,
    architecture: &Arch,
    kernel: &str,
    image: &[(String, String)],
    trust: &Trust,
) -> Result<Vec<(String, String)>> {
    let router = Router::new(format, architecture, kernel, image, trust)?;
    router.reads(&format!("file://{folder}"))?;
    let names = router.update().and_then(|()| router.available()).map_err(|error| refused(folder, &error))?;
    if names.is_empty() {
        return Err(nothing_listed(folder));
    }
    router.install(&names).and_then(|()| router.installed()).map_err(|error| refused(folder, &error))
}

/// Turns a package manager's refusal into a failure for the user.
fn refused(feed: &Utf8Path, error: &client::Error) -> Failure {
    let (what, why, fix) = (error.what(), error.why().unwrap_or_default(), error.fix());
    Failure::of(Problem { exit: exit_of(error), id: error.id(), what, why, fix }).at(feed)
}

/// A digest or signature that does not match must never be retried; anything else is a failed check.
fn exit_of(error: &client::Error) -> Exit {
    use client::Error;
    match error {
        // An index that cannot be read was damaged or changed in transit, like one with a bad signature.
        Error::Unsigned { .. }
        | Error::UnknownKey { .. }
        | Error::BadSignature { .. }
        | Error::Index { .. }
        | Error::Mismatch { .. }
        | Error::UntrustedIndex { .. }
        | Error::UntrustedPackage { .. }
        | Error::Integrity { .. } => Exit::Mismatch,
        _ => Exit::Failed,
    }
}

fn nothing_listed(folder: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "FEED005",
        what: "the feed lists no package",
        why: "a feed without packages has nothing to verify",
        fix: "build packages first: cargo xtask feed",
    })
    .at(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, kernel as of_feed, keys};
    use crate::{Spoil, spoil};

    fn kernel(hash: &str) -> String {
        format!("6.12.1~{hash}-r1")
    }

    fn arch() -> Arch {
        Arch("x86_64".into())
    }

    #[test]
    fn every_package_of_a_good_feed_is_verified() {
        let keys = keys(7);
        let (_guard, feed) = feed(&keys);
        let verified = verify(&feed, &arch(), &kernel("aa"), &[], &keys).unwrap();
        let names: Vec<_> = verified.iter().map(|package| (package.format, package.name.as_str())).collect();
        let [ipk, apk] = Format::ALL;
        assert_eq!(names, [(ipk, "kmod-nft-offload"), (ipk, "notes"), (apk, "kmod-nft-offload"), (apk, "notes")]);
    }

    #[test]
    fn feeds_that_a_router_would_refuse_do_not_verify() {
        let keys = keys(7);
        let (_guard, good) = feed(&keys);
        let refused = |feed: &Utf8Path, hash: &str, trusted: &Keys| {
            // One manager's folder at a time, so that each refusal is seen.
            Format::ALL.map(|format| {
                let alone = feed.with_file_name(format!("alone-{format}"));
                std::fs::create_dir(&alone).unwrap();
                let manager = format.manager();
                std::fs::rename(feed.join(manager), alone.join(manager)).unwrap();
                // A router with another kernel that reads this kernel's address.
                let wanted = folder(&alone, format, &Kernel::of_package(&kernel(hash)));
                if hash != "aa" {
                    std::fs::rename(folder(&alone, format, &of_feed()), &wanted).unwrap();
                }
                let failure = verify(&alone, &arch(), &kernel(hash), &[], trusted).unwrap_err();
                if hash != "aa" {
                    std::fs::rename(&wanted, folder(&alone, format, &of_feed())).unwrap();
                }
                std::fs::rename(alone.join(manager), feed.join(manager)).unwrap();
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
            folder(&cut, Format::Ipk, &of_feed()).join("Packages.gz"),
            folder(&cut, Format::Apk, &of_feed()).join("packages.adb"),
        ] {
            let half = std::fs::read(&index).unwrap();
            std::fs::remove_file(&index).unwrap();
            std::fs::write(&index, &half[..half.len() / 2]).unwrap();
        }
        assert_eq!(refused(&cut, "aa", &keys), [Exit::Mismatch; 2], "a damaged index");
        assert_eq!(verify(&good, &arch(), &kernel("bb"), &[], &keys).unwrap_err().id(), "FEED005", "no such address");
        assert_eq!(refused(&good, "bb", &keys), [Exit::Failed; 2]);
        assert_eq!(refused(&good, "aa", &crate::assemble::tests::keys(8)), [Exit::Mismatch; 2]);
    }

    #[test]
    fn an_empty_feed_verifies_nothing() {
        let keys = keys(7);
        let guard = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(guard.path()).unwrap();
        crate::assemble(&[], &arch(), &of_feed(), &keys, out).unwrap();
        assert_eq!(verify(out, &arch(), &kernel("aa"), &[], &keys).unwrap_err().id(), "FEED005");
        // `kernel` is a package, but feeds do not list it.
        let packages = crate::assemble::tests::packages(out);
        crate::assemble(&packages[..1], &arch(), &of_feed(), &keys, out).unwrap();
        assert_eq!(verify(out, &arch(), &kernel("aa"), &[], &keys).unwrap_err().id(), "FEED005");
    }
}
