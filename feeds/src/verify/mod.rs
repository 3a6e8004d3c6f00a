//! Verifies a feed the way a router would: through its signatures, every package of it.

mod apk;
mod opkg;

use camino::Utf8Path;
use formats::{Format, Package};
use model::{Arch, Exit, Failure, Problem, Result};

use crate::folders;
use crate::keys::Keys;

/// A package that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// In which of the two formats.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Verifies every package of the feed for a router that trusts the public halves of `keys` only and has the
/// package `kernel` in this version. Returns them by format and name.
///
/// # Errors
/// `FEED005` for a feed that lists nothing, and whatever a package manager would refuse it for.
pub fn verify(feed: &Utf8Path, architecture: &Arch, kernel: &str, keys: &Keys) -> Result<Vec<Verified>> {
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

/// The C library of the image: everything that OpenWrt builds depends on it, in no certain version.
const LIBC: (&str, &str) = ("libc", "1");

/// Whether a package was there before anything was installed.
fn is_of_image(name: &str) -> bool {
    name == Package::KERNEL || name == LIBC.0
}

/// A root that is gone when this is dropped.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Result<Scratch> {
        let folder = tempfile::tempdir().map_err(|error| Failure::io("make a scratch root", "/tmp", &error))?;
        if Utf8Path::from_path(folder.path()).is_none() {
            let error = std::io::ErrorKind::InvalidFilename.into();
            return Err(Failure::io("use a scratch root", folder.path().display(), &error));
        }
        Ok(Scratch(folder))
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap_or(Utf8Path::new("/nonexistent"))
    }

    fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path().join(path);
        let folder = path.parent().unwrap_or(self.path());
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::io("prepare the scratch root", &path, &error))
    }
}

/// What a package manager refused, for the user's eyes.
fn refused(feed: &Utf8Path, error: &client::Error) -> Failure {
    let (what, why, fix) = (error.what(), error.why().unwrap_or_default(), error.fix());
    Failure::of(Problem { exit: exit_of(error), id: error.id(), what, why, fix }).at(feed)
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
        why: "a feed without packages can't be verified by what is in it",
        fix: "build packages first: cargo xtask feed",
    })
    .at(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, keys};
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
