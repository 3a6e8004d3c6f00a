//! A build root of the kernel's own Debian suite, in which modules are compiled: the tools of the kernel's build need
//! that suite's C library, and the compiler should be the one that built the kernel.
//!
//! No maintainer script is run: what a build needs of their work is done here. As with a release's SDK, one build at a
//! time works in the root: it holds the lock of the root's stage.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Ended, Job, files};
use model::{Cancel, Events, Exit, Failure, Problem, Result};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::apt::{Deb, Extent, Freshness, Request, fetch};
use super::apt_message::NO_PACKAGE;
use super::kernel::{Kernel, unpack};
use super::symbols::Exports;

/// Version of what [`BuildRoot::prepare`] makes from the same packages.
pub const BUILD_ROOT: u32 = 2;

/// The programs that a build calls besides compiler and headers.
const TOOLS: [&str; 9] = ["binutils", "coreutils", "dash", "diffutils", "findutils", "grep", "make", "mawk", "sed"];

/// Folders that a merged `/usr` replaces by links, and into which packages of older suites put files.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Links that maintainer scripts would make, with their targets.
const LINKS: [(&str, &str); 2] = [("sh", "dash"), ("awk", "mawk")];

/// The folder for builds. Its path ends up in the results, so it is always the same.
const BUILDS: &str = "build";

/// A file that accepts all writes and stays empty: the kernel's build uses it to test the compiler.
const NULL: &str = "dev/null";

/// The `objtool` of newer kernels reads here where its stack ends, to tell an overflow from other faults. Mounting the
/// real /proc takes rights that root in a container does not have.
const MAPS: (&str, &str) = ("proc/self/maps", "7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0 [stack]\n");

/// How long a build may take, and be silent, on a slow machine.
const LIMIT: Duration = Duration::from_secs(3600);
const SILENT: Duration = Duration::from_secs(600);

/// Deadline for the test whether a user may enter a root.
const TRIAL: Duration = Duration::from_secs(20);

/// The command that makes an ordinary user root in a namespace of its own.
const AS_USER: [&str; 3] = ["unshare", "--map-root-user", "--mount"];

/// Enters the root in `$1` after mounting the host's `/dev/null` into it.
const ENTER: &str = r#"
root=$1
shift
mount --bind /dev/null "$root/dev/null" && exec unshare --root="$root" --wd=/ -- "$@"
"#;

/// A build root, unpacked.
#[derive(Debug)]
pub struct BuildRoot {
    root: Utf8PathBuf,
    release: String,
}

impl BuildRoot {
    /// The Debian packages to unpack, as `name` or `name=version`, without their dependencies.
    pub fn packages(kernel: &Kernel) -> Vec<String> {
        let headers = format!("linux-headers-{}={}", kernel.release(), kernel.debian_version());
        TOOLS.iter().map(|&tool| tool.to_owned()).chain([headers]).collect()
    }

    /// Fetches those packages into the empty directory `out`.
    ///
    /// # Errors
    /// As [`fetch`]; `BLD002` when the archive no longer has headers for this kernel.
    pub fn fetch(
        kernel: &Kernel,
        suite: &str,
        mirror: Option<&str>,
        out: &Utf8Path,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<Vec<Deb>> {
        // The headers of newer suites depend on the kernel and its installer, which are not needed.
        let image = (format!("linux-image-{}", kernel.release()), kernel.debian_version().to_owned());
        let but_for = [image, ("linux-base".into(), "9999".into())];
        let packages = BuildRoot::packages(kernel);
        let extent = Extent::WithDependencies { but_for: &but_for };
        let freshness = Freshness::Required;
        let request = Request { suite, architecture: "amd64", packages: &packages, extent, mirror, freshness };
        fetch(&request, out, events, cancel).map_err(|failure| not_fetched(failure, kernel.release()))
    }

    /// Checks that this user may enter a build root, before anything is fetched for it.
    ///
    /// # Errors
    /// `BLD001` when not.
    pub fn may_enter(cancel: &Cancel) -> Result<()> {
        if files::is_root() {
            return Ok(());
        }
        let words = [&AS_USER[..], &["true"]].concat();
        let output = Job::of_words(&words, Utf8Path::new("/"), TRIAL).from_package("util-linux").output(cancel)?;
        if output.success { Ok(()) } else { Err(cannot_enter(&output.last_words())) }
    }

    /// Unpacks the packages into the empty directory `out`.
    ///
    /// # Errors
    /// As [`unpack`]; `BLD002` when they have no headers for this kernel.
    pub fn prepare(debs: &[Utf8PathBuf], kernel: &Kernel, out: &Utf8Path, cancel: &Cancel) -> Result<()> {
        let root = out.join("root");
        unpack(debs, &root, cancel)?;
        // Documentation, an eighth of the size.
        files::remove(&root.join("usr/share"))?;
        for folder in MERGED {
            files::create_folder(&root.join("usr").join(folder))?;
            if !root.join(folder).exists() {
                link(&format!("usr/{folder}"), &root.join(folder))?;
            }
        }
        for (name, target) in LINKS {
            let place = ["usr/bin", "bin"].map(|folder| root.join(folder)).into_iter();
            for folder in place.filter(|folder| folder.join(target).exists() && !folder.join(name).exists()) {
                link(target, &folder.join(name))?;
            }
        }
        for folder in ["dev", "tmp", BUILDS] {
            files::create_folder(&root.join(folder))?;
        }
        let (maps, text) = (root.join(MAPS.0), MAPS.1);
        files::create_folder(maps.parent().unwrap_or(&maps))?;
        files::write(&maps, text)?;
        // Only root may make a device, and not everywhere; otherwise each build gets the host's.
        if mknodat(CWD, root.join(NULL).as_std_path(), FileType::CharacterDevice, Mode::from(0o666), makedev(1, 3))
            .is_err()
        {
            files::write(&root.join(NULL), "")?;
        }
        BuildRoot::open(out, kernel).map(drop)
    }

    /// Opens what [`BuildRoot::prepare`] made.
    ///
    /// # Errors
    /// `BLD002` when it has no headers for this kernel.
    pub fn open(folder: &Utf8Path, kernel: &Kernel) -> Result<Self> {
        let root = BuildRoot { root: folder.join("root"), release: kernel.release().into() };
        let headers = root.root.join(root.headers().trim_start_matches('/'));
        if ["Makefile", ".config", "Module.symvers"].iter().all(|file| headers.join(file).is_file()) {
            return Ok(root);
        }
        Err(no_headers(&root.release, "its package holds no `Makefile`, `.config` or `Module.symvers`").at(headers))
    }

    /// Path of the kernel's headers inside the root.
    pub(super) fn headers(&self) -> String {
        format!("/usr/src/linux-headers-{}", self.release)
    }

    /// The symbols that the kernel and its modules export.
    pub(super) fn exports(&self) -> Result<Exports> {
        let mut exports = Exports::default();
        let file = self.root.join(self.headers().trim_start_matches('/')).join("Module.symvers");
        exports.add(&files::read_text(&file)?);
        Ok(exports)
    }

    /// Makes an empty folder for a build and returns its path on the host and inside the root; folders of earlier
    /// builds are removed.
    pub(super) fn begin(&self, name: &str) -> Result<(Utf8PathBuf, String)> {
        files::remove(&self.root.join(BUILDS))?;
        let folder = self.root.join(BUILDS).join(name);
        files::create_folder(&folder)?;
        Ok((folder, format!("/{BUILDS}/{name}")))
    }

    /// Runs a program inside the root, with only these environment variables.
    ///
    /// # Errors
    /// `BLD001` when this user may not enter it, and those of running a program.
    pub(super) fn run(
        &self,
        variables: &[(&str, &str)],
        words: &[&str],
        cancel: &Cancel,
        mut each: impl FnMut(&str),
    ) -> Result<Ended> {
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let inside = ["/usr/bin/env", "-i"].into_iter().chain(variables.iter().map(String::as_str));
        let enter = self.enter();
        let all: Vec<&str> = enter.iter().map(String::as_str).chain(inside).chain(words.iter().copied()).collect();
        let job = Job::of_words(&all, &self.root, LIMIT)
            .from_package("util-linux")
            .family()
            .standstill(SILENT, vec![self.root.join(BUILDS)]);
        let mut refused = None;
        let ended = job.lines(cancel, |line| {
            if line.starts_with("unshare: ") || line.starts_with("mount: ") {
                refused.get_or_insert_with(|| line.to_owned());
            }
            each(line);
        })?;
        match refused {
            Some(line) if !ended.success() => Err(cannot_enter(&line)),
            _ => Ok(ended),
        }
    }

    /// The command that enters the root: `chroot` for root, otherwise with a user namespace.
    fn enter(&self) -> Vec<String> {
        let root = self.root.as_str();
        let is_device = std::fs::OpenOptions::new().write(true).open(self.root.join(NULL));
        let is_device = is_device.and_then(|file| file.metadata()).is_ok_and(|meta| !meta.is_file());
        let words: &[&str] = match (files::is_root(), is_device) {
            (true, true) => return vec!["unshare".into(), format!("--root={root}"), "--wd=/".into(), "--".into()],
            (true, false) => &["unshare", "--mount"],
            (false, _) => &AS_USER,
        };
        words.iter().copied().chain(["--", "sh", "-c", ENTER, "enter", root]).map(str::to_owned).collect()
    }
}

fn link(target: &str, place: &Utf8Path) -> Result<()> {
    std::os::unix::fs::symlink(target, place).map_err(|error| Failure::io("make the link", place, &error))
}

fn not_fetched(failure: Failure, release: &str) -> Failure {
    match failure.id() {
        NO_PACKAGE => no_headers(release, &failure.finding().why),
        _ => failure,
    }
}

/// The failure when there are no headers for a kernel, because it is older than the archive.
fn no_headers(release: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "BLD002",
        what: format!("there are no headers for kernel {release}, so no module can be compiled for it"),
        why: format!("they must belong to exactly the kernel that boots: {why}"),
        fix: "run `cargo xtask clean debian-kernel` and try again: kernel and headers are then from the same state of \
              the archive",
    })
}

fn cannot_enter(said: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "BLD001",
        what: "this user may not enter a build root",
        why: format!("modules are compiled with the programs of the kernel's Debian suite: {said}"),
        fix: "run the same command as root, or allow user namespaces to users: `sysctl -w kernel.unprivileged_userns_clone=1` \
              on Debian, `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu",
    })
}

#[cfg(test)]
mod tests {
    use super::super::apt_message::explain;
    use super::super::fixture::{Fixture, RELEASE};
    use super::*;

    #[test]
    fn a_root_is_made_of_the_headers_of_the_very_kernel() {
        let fixture = Fixture::new(&[("a", "depends=")]);
        let kernel = fixture.open();
        let headers = format!("linux-headers-{RELEASE}=6.12.1-2");
        assert!(BuildRoot::packages(&kernel).contains(&headers));
        let other = format!("built/root/usr/src/linux-headers-{RELEASE}");
        let folder = fixture.directory().join("built");
        for file in ["Makefile", ".config"] {
            fixture.put(&format!("{other}/{file}"), b"");
            let failure = BuildRoot::open(&folder, &kernel).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("BLD002", Exit::Upstream));
            assert!(failure.to_string().contains("clean debian-kernel"), "{failure}");
        }
        fixture.put(&format!("{other}/Module.symvers"), b"0x0\ta\tvmlinux\tEXPORT_SYMBOL\t\n");
        let root = BuildRoot::open(&folder, &kernel).unwrap();
        assert_eq!(root.exports().unwrap().of("a"), Some("vmlinux"));
        fixture.put("built/root/build/old/x.ko", b"of a run that was killed");
        let (there, inside) = root.begin("kmod-x").unwrap();
        assert_eq!((there.as_path(), inside.as_str()), (&*folder.join("root/build/kmod-x"), "/build/kmod-x"));
        assert!(!folder.join("root/build/old").exists() && there.read_dir_utf8().unwrap().next().is_none());
    }

    /// If `/dev/null` is not a device in the root, the host's is mounted, which takes a mount namespace.
    #[test]
    fn who_may_not_enter_is_told_what_would_help() {
        let root = BuildRoot { root: "/nowhere".into(), release: RELEASE.into() };
        let words = root.enter();
        assert!(words.contains(&"--mount".to_owned()), "{words:?}");
        assert_eq!(words.contains(&"--map-root-user".to_owned()), !files::is_root());
        let failure = cannot_enter("unshare: unshare failed: Operation not permitted");
        assert_eq!((failure.id(), failure.exit()), ("BLD001", Exit::Host));
        assert!(failure.to_string().contains("unprivileged_userns_clone"), "{failure}");
    }

    #[test]
    fn headers_that_the_archive_no_longer_has_are_told_as_such() {
        let told = |said: &str| not_fetched(explain(said, said, None, "copy:/m", "trixie"), RELEASE);
        let failure = told("E: Unable to locate package linux-headers-6.12.1+deb13-amd64");
        assert_eq!((failure.id(), failure.exit()), ("BLD002", Exit::Upstream));
        assert!(failure.to_string().contains(RELEASE), "{failure}");
        assert_eq!(told("Connection refused").exit(), Exit::Upstream);
        assert_ne!(told("Connection refused").id(), "BLD002");
    }
}
