//! Fetches what a host may lack to build programs for another architecture: the sources of Rust's standard library from
//! Debian, and zig, which has a linker and the C library of every target, from PyPI.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Job, cmd, files};
use model::{Cancel, Events, Exit, Failure, Problem, Result};

use super::compiler::are_sources;
use crate::local;

/// The stage's name in events.
const STAGE: &str = "zig";

/// The suite with the sources of a current compiler; those in older suites are too old.
const SUITE: &str = "sid";

/// The package with the sources.
const PACKAGE: &str = "rust-src";

/// Version of what [`fetch_sources`] leaves in its folder: the content of Debian's package.
pub const SOURCES_FETCHED: u32 = 1;

/// Version of what [`fetch_zig`] leaves in its folder: what pip unpacks from the same files.
pub const ZIG_FETCHED: u32 = 1;

/// pip's requirement for zig: one of these files and no other is fetched; the second is for aarch64 hosts.
pub const ZIG: &str = "ziglang==0.17.1 \
    --hash=sha256:ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54 \
    --hash=sha256:b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e";

/// Deadline for 100 MB over a slow connection.
const DOWNLOAD: Duration = Duration::from_secs(3600);

/// The sources of the standard library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The folder `library` of Rust's sources.
    pub library: Utf8PathBuf,
    /// The second number of the version of the matching compiler.
    pub minor: u32,
}

impl Sources {
    /// Opens what [`fetch_sources`] left in a folder.
    ///
    /// # Errors
    /// `IO…` when it is not there.
    pub fn open(folder: &Utf8Path) -> Result<Self> {
        let version = files::read_text(&folder.join("version"))?;
        let minor = minor(&version).ok_or_else(|| unknown_sources(&version))?;
        Ok(Sources { library: folder.join("library"), minor })
    }
}

/// Fetches Debian's sources of the standard library into the empty folder `out`, if they match a compiler whose version
/// has one of these second numbers.
///
/// # Errors
/// `RST003` when they match another compiler; `APT…` and `KRN006` as for any package of Debian.
pub fn fetch_sources(
    minors: &[u32],
    mirror: Option<&str>,
    out: &Utf8Path,
    events: &Events,
    cancel: &Cancel,
) -> Result<Sources> {
    let packages = [PACKAGE.to_owned()];
    let request = local::Request {
        suite: SUITE,
        architecture: "amd64",
        packages: &packages,
        extent: local::Extent::Exactly,
        mirror,
        // The compiler's version decides which sources are right.
        freshness: local::Freshness::AnyDate,
    };
    let debs = local::fetch(&request, out, events, cancel)?;
    let version = debs.first().map(|deb| deb.version.clone()).unwrap_or_default();
    let found = minor(&version).filter(|minor| minors.contains(minor));
    found.ok_or_else(|| other_sources(&version, minors))?;
    let (packed, whole) = (debs.into_iter().map(|deb| deb.file).collect::<Vec<_>>(), out.join("whole"));
    local::unpack(&packed, &whole, cancel)?;
    let folders = files::entries(&whole.join("usr/src"))?;
    let library = folders.into_iter().map(|folder| folder.join("library")).find(|folder| are_sources(folder));
    let library = library.ok_or_else(|| unknown_sources(&version))?;
    let kept = out.join("library");
    std::fs::rename(&library, &kept).map_err(|error| Failure::io("keep the sources", &library, &error))?;
    files::write(&out.join("version"), version.as_bytes())?;
    packed.iter().chain([&whole]).try_for_each(|path| files::remove(path))?;
    Sources::open(out)
}

/// The second number of a version such as `1.97.1+dfsg1-1`.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

fn other_sources(version: &str, minors: &[u32]) -> Failure {
    let wanted: Vec<String> = minors.iter().map(|minor| format!("1.{minor}")).collect();
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST003",
        what: format!("the sources of Rust {} are not available", wanted.join(" or ")),
        why: format!("rustup has not installed them, and Debian's newest are those of {version}"),
        fix: "rustup component add rust-src",
    })
}

fn unknown_sources(version: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST005",
        what: format!("Debian's {PACKAGE} {version} does not contain the sources of the standard library"),
        why: "it has no `usr/src/rustc-…/library`, or its version is not one of Rust's",
        fix: "rustup component add rust-src",
    })
}

/// Fetches zig into the empty folder `out` with pip, which verifies its digest; returns the program.
///
/// # Errors
/// `RST006` when it cannot be fetched, `RST007` when the file differs from the pinned one, `CMD…` without python3.
pub fn fetch_zig(out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Utf8PathBuf> {
    let wanted = out.join("wanted.txt");
    files::write(&wanted, ZIG.as_bytes())?;
    let shell = host::shell()?;
    let quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--no-compile", "--no-deps"];
    let checked = ["--only-binary=:all:", "--require-hashes", "--requirement", wanted.as_str()];
    let command = cmd!(shell, "python3 -m pip install {quiet...} --target {out} {checked...}");
    events.line(STAGE, ZIG.split(' ').next().unwrap_or_default());
    let output = Job::new(command, DOWNLOAD).from_package("python3").over_network().family().output(cancel)?;
    if !output.success {
        return Err(no_zig(&output.stderr, &output.last_words()));
    }
    Ok(zig_in(out))
}

/// Path of the program in what pip unpacked.
pub(super) fn zig_in(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("ziglang/zig")
}

fn no_zig(stderr: &str, last_words: &str) -> Failure {
    if stderr.contains("DO NOT MATCH THE HASHES") {
        return Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "RST007",
            what: "the downloaded zig differs from the pinned file",
            why: last_words,
            fix: "check which index pip is configured with; if it is PyPI itself, report this",
        });
    }
    let lacks_pip = stderr.contains("No module named pip");
    Failure::of(Problem {
        exit: if lacks_pip { Exit::Host } else { Exit::Upstream },
        id: "RST006",
        what: "cannot fetch zig, which links programs for other architectures",
        why: last_words,
        fix: if lacks_pip { "apt-get install python3-pip" } else { "check the network, and the index that pip uses" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_fit_by_the_second_number_of_their_version() {
        assert_eq!(minor("1.97.1+dfsg1-1"), Some(97));
        assert_eq!([minor(""), minor("1"), minor("1.x.2")], [None; 3]);
        let failure = other_sources("1.97.1+dfsg1-1", &[95, 98]);
        assert_eq!((failure.id(), failure.exit()), ("RST003", Exit::Host));
        assert!(failure.finding().what.contains("1.95 or 1.98"), "{failure}");
        assert_eq!(failure.finding().fix, "rustup component add rust-src");
        assert_eq!(unknown_sources("2").id(), "RST005");
    }

    #[test]
    fn what_was_fetched_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        assert!(Sources::open(root).is_err());
        files::write(&root.join("version"), b"1.97.1+dfsg1-1").unwrap();
        assert_eq!(Sources::open(root).unwrap(), Sources { library: root.join("library"), minor: 97 });
        files::write(&root.join("version"), b"sid").unwrap();
        assert_eq!(Sources::open(root).unwrap_err().id(), "RST005");
    }

    #[test]
    fn a_missing_pip_a_missing_network_and_a_wrong_file_are_told_apart() {
        for (stderr, id, exit) in [
            ("/usr/bin/python3: No module named pip", "RST006", Exit::Host),
            ("ERROR: Could not find a version that satisfies", "RST006", Exit::Upstream),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "RST007", Exit::Mismatch),
        ] {
            let failure = no_zig(stderr, stderr);
            assert_eq!((failure.id(), failure.exit()), (id, exit), "{stderr}");
        }
    }
}
