//! Fetches Debian packages with apt itself, in a directory of its own.
//!
//! apt verifies the archive's signature and every file's digest; nothing here repeats or weakens that. State, cache,
//! sources and pins are ours; the host's are neither read nor written. The host's proxy, certificates and credentials
//! for private mirrors apply, because `apt.conf.d` and `auth.conf.d` are read as always. Works as root and as an
//! ordinary user.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Job, Output, cmd, files};
use model::{Cancel, Digest, Events, Exit, Failure, Problem, Result};

use super::apt_bytes::{wrong_index, wrong_package};
use super::apt_index::{Wanted, exact_kernel_dependencies, to_install};
use super::apt_message::explain;
use super::mirror::Mirror;

/// The stage's name in events.
const STAGE: &str = "debian";

/// Debian's own keys, from the package `debian-archive-keyring`. Not all keys that the host trusts, because keys of
/// other repositories must not vouch for Debian's packages.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Deadline for the index of a suite, which has about 10 MB.
const UPDATE_LIMIT: Duration = Duration::from_secs(300);

/// Deadline for a download: a kernel package has more than 100 MB, and some connections are slow.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(3600);

/// Deadline for questions that the downloaded index answers.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// What to fetch, and from where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Code name of a Debian suite: `trixie`, `bookworm`, `sid`.
    pub suite: &'a str,
    /// Debian's name of an architecture: `amd64`, `arm64`.
    pub architecture: &'a str,
    /// Exactly these packages, as `name` or `name=version`. A `linux-image-…` means the kernel packages that it depends
    /// on.
    pub packages: &'a [String],
    /// Which other packages to fetch with them.
    pub extent: Extent<'a>,
    /// A URL or directory in place of the host's own mirror.
    pub mirror: Option<&'a str>,
    /// Whether the index must be up to date.
    pub freshness: Freshness,
}

/// What to do with an index whose `Valid-Until` has passed, as on a mirror that is no longer updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Refuse it: it may lack security fixes.
    Required,
    /// Use it: the caller checks the version, and a newer one is not needed.
    AnyDate,
}

/// Which packages are fetched besides the named ones.
#[derive(Debug, Clone, Copy)]
pub enum Extent<'a> {
    /// None.
    Exactly,
    /// All dependencies, except these packages and what only they need.
    WithDependencies {
        /// Names and versions that count as installed.
        but_for: &'a [(String, String)],
    },
}

/// A fetched Debian package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Such as `linux-image-6.12.107+deb13-amd64`.
    pub name: String,
    /// Debian version, such as `6.12.107-1`.
    pub version: String,
    /// Path of the file.
    pub file: Utf8PathBuf,
    /// SHA-256 from the signed index.
    pub sha256: Digest,
}

/// Version of what [`fetch`] leaves in its folder for a request. The packages are Debian's, as verified by apt:
/// fetching them again after each change of this code would cost minutes and traffic, and change nothing.
pub const FETCHED: u32 = 1;

/// Fetches Debian packages into the empty directory `out`.
///
/// # Errors
/// `APT001`…`APT013` and `CMD001`…`CMD003`: exit code 5 for signatures and digests, 4 for mirror and network, 3 for
/// what the host lacks, 2 for a mirror that is neither an address nor a directory.
pub fn fetch(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<Deb>> {
    require_keys(Utf8Path::new(KEYRING))?;
    let mirror = match request.mirror {
        Some(named) => Mirror::named(named)?,
        None => Mirror::of_host(cancel)?,
    };
    let source = Source { mirror: &mirror, suite: request.suite, keyring: KEYRING, freshness: request.freshness };
    let apt = Apt::new(&source, request.architecture, out)?;
    events.line(STAGE, format!("reading the index of {} from {mirror}", request.suite));
    apt.update(cancel)?;
    let wanted = match request.extent {
        Extent::Exactly => apt.resolve(request.packages, cancel)?,
        Extent::WithDependencies { but_for } => {
            apt.resolve(&apt.closure(request.packages, but_for, cancel)?, cancel)?
        }
    };
    apt.download(&wanted, out, events, cancel)
}

/// Without Debian's keys nothing can be verified, and apt's own message is misleading.
fn require_keys(keyring: &Utf8Path) -> Result<()> {
    if keyring.is_file() {
        return Ok(());
    }
    Err(Failure::of(Problem {
        exit: Exit::Host,
        id: "APT012",
        what: "Debian's archive keys are not installed",
        why: "without them no package of Debian can be verified",
        fix: "apt-get install debian-archive-keyring",
    })
    .at(keyring))
}

/// The source of packages, and the keys that it is verified with.
struct Source<'a> {
    mirror: &'a Mirror,
    suite: &'a str,
    keyring: &'a str,
    freshness: Freshness,
}

impl Source<'_> {
    /// The source in the format of sources.list(5).
    fn text(&self) -> String {
        let Source { mirror, suite, keyring, freshness } = self;
        let dates = match freshness {
            Freshness::Required => "",
            Freshness::AnyDate => "Check-Valid-Until: no\n",
        };
        format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {keyring}\n{dates}")
    }
}

/// An isolated apt; its directory is removed with it.
#[derive(Debug)]
struct Apt {
    mirror: String,
    suite: String,
    directory: tempfile::TempDir,
}

impl Apt {
    /// Creates the directory below `parent`.
    fn new(source: &Source<'_>, architecture: &str, parent: &Utf8Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(".apt-")
            .tempdir_in(parent)
            .map_err(|error| Failure::io("create a directory for apt", parent, &error))?;
        let apt = Apt { mirror: source.mirror.to_string(), suite: source.suite.into(), directory };
        let root = apt.root()?;
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            files::create_folder(&root.join(folder))?;
        }
        files::write(&root.join("status"), b"")?;
        files::write(&root.join("mirror.sources"), source.text().as_bytes())?;
        files::write(&root.join("apt.conf"), configuration(root, architecture)?.as_bytes())?;
        Ok(apt)
    }

    fn root(&self) -> Result<&Utf8Path> {
        let path = self.directory.path();
        Utf8Path::from_path(path).ok_or_else(|| bad_path(&path.to_string_lossy()))
    }

    /// Fetches and verifies the suite's index.
    fn update(&self, cancel: &Cancel) -> Result<()> {
        let output = self.run("apt-get", &["update"], None, UPDATE_LIMIT, cancel)?;
        if output.success {
            return Ok(());
        }
        let wrong = wrong_index(&self.root()?.join("state/lists"), &self.suite, self.copies());
        Err(self.failure(&output, wrong.as_deref()))
    }

    /// The versions, file names and digests of the named packages, in the order of the names.
    fn resolve(&self, packages: &[String], cancel: &Cancel) -> Result<Vec<Wanted>> {
        let mut names: Vec<String> = Vec::new();
        for package in packages {
            let found = if package.starts_with("linux-image-") {
                self.kernel_packages(package, cancel)?
            } else {
                vec![package.clone()]
            };
            names.extend(found.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
        let mut words = vec!["--print-uris", "download", "--"];
        words.extend(names.iter().map(String::as_str));
        let root = self.root()?;
        let output = self.checked("apt-get", &words, Some(root), QUERY_LIMIT, cancel)?;
        let wanted: Vec<Wanted> = output.stdout.lines().filter_map(Wanted::from_line).collect();
        if wanted.len() == names.len() { Ok(wanted) } else { Err(self.failure(&output, None)) }
    }

    /// The packages that contain a kernel. Debian's `linux-image-amd64` depends on the real one in an exact version;
    /// from 7.x on, that one depends on `linux-binary-…`, `linux-modules-…`, `linux-base-…`.
    fn kernel_packages(&self, package: &str, cancel: &Cancel) -> Result<Vec<String>> {
        let mut found = vec![package.to_owned()];
        let mut next = 0;
        while let Some(name) = found.get(next).cloned() {
            next += 1;
            let output =
                self.checked("apt-cache", &["show", "--no-all-versions", "--", &name], None, QUERY_LIMIT, cancel)?;
            for dependency in exact_kernel_dependencies(&output.stdout) {
                if !found.contains(&dependency) {
                    found.push(dependency);
                }
            }
        }
        // The requested package is empty if it only depends on others.
        Ok(if found.len() > 1 { found.split_off(1) } else { found })
    }

    /// The packages that apt would install for these, as `name=version`; among alternatives apt chooses.
    fn closure(&self, packages: &[String], but_for: &[(String, String)], cancel: &Cancel) -> Result<Vec<String>> {
        let installed = but_for.iter().map(|(name, version)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\
                 Maintainer: nobody\nDescription: taken for installed\n\n"
            )
        });
        files::write(&self.root()?.join("status"), installed.collect::<String>())?;
        let mut words = vec!["--simulate", "--no-install-recommends", "install", "--"];
        words.extend(packages.iter().map(String::as_str));
        let output = self.checked("apt-get", &words, None, QUERY_LIMIT, cancel)?;
        Ok(output.stdout.lines().filter_map(to_install).collect())
    }

    /// Fetches the files into `out`.
    fn download(&self, wanted: &[Wanted], out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<Deb>> {
        for package in wanted {
            events.line(STAGE, format!("{} {} ({} kB)", package.name, package.version, package.size / 1000));
        }
        // A single call for all, because each call reads the whole index.
        let names: Vec<String> = wanted.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
        let mut words = vec!["download", "--"];
        words.extend(names.iter().map(String::as_str));
        let output = self.run("apt-get", &words, Some(out), DOWNLOAD_LIMIT, cancel)?;
        if !output.success {
            let wrong: Vec<String> =
                wanted.iter().filter_map(|package| wrong_package(out, package, self.copies())).collect();
            return Err(self.failure(&output, wrong.first().map(String::as_str)));
        }
        let mut debs = Vec::new();
        for (index, package) in (1_u64..).zip(wanted) {
            let file = out.join(&package.file_name);
            let failed = |error| Failure::io("read the package", &file, &error);
            let mut reader = std::fs::File::open(&file).map_err(failed)?;
            let sha256 = Digest::of_reader(&mut reader).map_err(failed)?.0;
            if sha256 != package.sha256 {
                return Err(Failure::of(Problem {
                    exit: Exit::Mismatch,
                    id: "APT013",
                    what: format!("{} differs from the file in the signed index", package.file_name),
                    why: format!("its sha256 is {sha256}, the index says {}", package.sha256),
                    fix: "run the same command again on a healthy disk; if it happens again, use another mirror",
                })
                .at(file));
            }
            debs.push(Deb { name: package.name.clone(), version: package.version.clone(), file, sha256 });
            events.progress(STAGE, index, u64::try_from(wanted.len()).ok());
        }
        Ok(debs)
    }

    /// Runs one of apt's programs and turns its message into a failure.
    fn checked(
        &self,
        program: &str,
        words: &[&str],
        directory: Option<&Utf8Path>,
        limit: Duration,
        cancel: &Cancel,
    ) -> Result<Output> {
        let output = self.run(program, words, directory, limit, cancel)?;
        if output.success { Ok(output) } else { Err(self.failure(&output, None)) }
    }

    /// Runs one of apt's programs.
    fn run(
        &self,
        program: &str,
        words: &[&str],
        directory: Option<&Utf8Path>,
        limit: Duration,
        cancel: &Cancel,
    ) -> Result<Output> {
        let config = self.root()?.join("apt.conf");
        let shell = host::shell()?;
        if let Some(directory) = directory {
            shell.change_dir(directory);
        }
        let command = cmd!(shell, "{program} -c {config} -q {words...}");
        Job::new(command, limit).from_package("apt").over_network().output(cancel)
    }

    /// Whether files are copied from a folder: then a file that is too short was not cut off in transit.
    fn copies(&self) -> bool {
        self.mirror.starts_with("copy:")
    }

    fn failure(&self, output: &Output, wrong: Option<&str>) -> Failure {
        let all = format!("{}\n{}", output.stdout, output.stderr);
        explain(&all, &output.last_words(), wrong, &self.mirror, &self.suite)
    }
}

/// Our configuration on top of the host's: `-c FILE` is read last.
fn configuration(root: &Utf8Path, architecture: &str) -> Result<String> {
    // apt.conf(5) has no escape for these.
    if root.as_str().contains(['"', '\n', '\\']) {
        return Err(bad_path(root.as_str()));
    }
    let mut text = format!(
        r##"// The host's hooks are for the host's own packages.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::CNF;
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "{root}/mirror.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Default-Release "";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
"##
    );
    if files::is_root() {
        // apt would switch to the user `_apt`, who cannot enter a home directory of mode 0700.
        text.push_str("APT::Sandbox::User \"root\";\n");
    }
    Ok(text)
}

fn bad_path(path: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "APT014",
        what: "apt cannot work in this directory",
        why: "its path contains a quote, a backslash or bytes that are not UTF-8",
        fix: "point XDG_CACHE_HOME at a directory with a plain name",
    })
    .at(path)
}

#[cfg(test)]
mod tests;
