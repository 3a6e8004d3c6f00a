//! Debian packages, fetched by apt itself in a directory of its own.
//!
//! apt verifies the archive's signature and every file's digest; nothing here repeats or weakens it.
//! State, cache, sources and pins are ours, the host's are neither read nor written; its proxy, its
//! certificates and its access data for private mirrors stay in force, because `apt.conf.d` and
//! `auth.conf.d` are read as always. Works as root and as an ordinary user.

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

/// Debian's own keys, from the package `debian-archive-keyring`. Not the whole of the host's trusted
/// keys: those of other repositories must not vouch for Debian's packages.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Index of one suite: some 10 MB.
const UPDATE_LIMIT: Duration = Duration::from_secs(300);

/// A kernel package has more than 100 MB; slow lines exist.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(3600);

/// Questions that are answered from the downloaded index.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Code name of a Debian suite: `trixie`, `bookworm`, `sid`.
    pub suite: &'a str,
    /// Debian's name of an architecture: `amd64`, `arm64`.
    pub architecture: &'a str,
    /// Exactly these packages, as `name` or `name=version`. A `linux-image-…` stands for the kernel
    /// packages that it depends on.
    pub packages: &'a [String],
    /// What else comes with them.
    pub extent: Extent<'a>,
    /// A URL or directory in place of the host's own mirror.
    pub mirror: Option<&'a str>,
}

/// What is fetched besides the packages that are named.
#[derive(Debug, Clone, Copy)]
pub enum Extent<'a> {
    /// Nothing.
    Exactly,
    /// All that they depend on, but for these packages, each a name and a version, and what only they need.
    WithDependencies {
        /// Taken for installed.
        but_for: &'a [(String, String)],
    },
}

/// A Debian package in the output directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Such as `linux-image-6.12.107+deb13-amd64`.
    pub name: String,
    /// Debian version, such as `6.12.107-1`.
    pub version: String,
    /// Where it lies.
    pub file: Utf8PathBuf,
    /// Digest, as the signed index gives it.
    pub sha256: Digest,
}

/// Version of what [`fetch`] leaves in its folder for the same request. The packages are Debian's, as apt verified them:
/// fetching them again after each change of this code would cost minutes and traffic, and change nothing.
pub const FETCHED: u32 = 1;

/// Fetches Debian packages into the empty directory `out`.
///
/// # Errors
/// `APT001`…`APT013` and `CMD001`…`CMD003`: exit 5 for anything about signatures and digests, 4 for
/// mirror and network, 3 for what the host lacks, 2 for a mirror that is neither an address nor a directory.
pub fn fetch(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<Deb>> {
    require_keys(Utf8Path::new(KEYRING))?;
    let mirror = match request.mirror {
        Some(named) => Mirror::named(named)?,
        None => Mirror::of_host(cancel)?,
    };
    let apt = Apt::new(&mirror, request.suite, request.architecture, KEYRING, out)?;
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

/// Without Debian's keys nothing can be verified, and apt's own words for it are misleading.
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

/// One isolated apt; its directory goes away with it.
#[derive(Debug)]
struct Apt {
    mirror: String,
    suite: String,
    directory: tempfile::TempDir,
}

impl Apt {
    /// Lays out the directory below `parent`.
    fn new(mirror: &Mirror, suite: &str, architecture: &str, keyring: &str, parent: &Utf8Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(".apt-")
            .tempdir_in(parent)
            .map_err(|error| Failure::io("create a directory for apt", parent, &error))?;
        let apt = Apt { mirror: mirror.to_string(), suite: suite.into(), directory };
        let root = apt.root()?;
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            files::create_folder(&root.join(folder))?;
        }
        files::write(&root.join("status"), b"")?;
        let sources = format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {keyring}\n");
        files::write(&root.join("mirror.sources"), sources.as_bytes())?;
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

    /// What the names stand for: versions, file names and digests, in the order of the names.
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

    /// The packages that hold a kernel. Debian's `linux-image-amd64` depends on the real one by exact
    /// version; from 7.x on that one in turn names `linux-binary-…`, `linux-modules-…`, `linux-base-…`.
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
        // The one that was asked for is empty when it only points at others.
        Ok(if found.len() > 1 { found.split_off(1) } else { found })
    }

    /// The packages that apt would install for these, as `name=version`, by its own choice among alternatives.
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
        // One call for all: each reads the whole index.
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
                    what: format!("{} is not the file that the signed index names", package.file_name),
                    why: format!("its sha256 is {sha256}, the index says {}", package.sha256),
                    fix: "run the same command again on a healthy disk; if it happens twice, use another mirror",
                })
                .at(file));
            }
            debs.push(Deb { name: package.name.clone(), version: package.version.clone(), file, sha256 });
            events.progress(STAGE, index, u64::try_from(wanted.len()).ok());
        }
        Ok(debs)
    }

    /// Runs one of apt's programs and turns what it says into a failure.
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

    /// Whether files come from a folder: what is short there was not cut off on the way.
    fn copies(&self) -> bool {
        self.mirror.starts_with("copy:")
    }

    fn failure(&self, output: &Output, wrong: Option<&str>) -> Failure {
        let all = format!("{}\n{}", output.stdout, output.stderr);
        explain(&all, &output.last_words(), wrong, &self.mirror, &self.suite)
    }
}

/// Ours on top of the host's configuration: `-c FILE` is read last.
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
        // apt would change to the user `_apt`, who cannot reach into a home directory of mode 0700.
        text.push_str("APT::Sandbox::User \"root\";\n");
    }
    Ok(text)
}

fn bad_path(path: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "APT014",
        what: "apt cannot work in this directory",
        why: "its path holds a quote, a backslash or bytes that are no UTF-8",
        fix: "point XDG_CACHE_HOME at a directory with a plain name",
    })
    .at(path)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The package files behind the committed index, see `tests/mirror/README.md`.
    const POOL: &[(&str, &str)] = &[
        ("linux-image-6.12.1+deb13-amd64_6.12.1-1_amd64.deb", "stands for a kernel image\n"),
        ("linux-modules-6.12.1+deb13-amd64_6.12.1-1_amd64.deb", "stands for modules\n"),
        ("linux-image-amd64_6.12.1-1_amd64.deb", "only points at others\n"),
        ("busybox-static_1.37.0-6_amd64.deb", "has an epoch\n"),
    ];

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mirror");

    /// A mirror directory and an empty output directory.
    struct Place {
        directory: tempfile::TempDir,
        keyring: String,
    }

    impl Place {
        /// `None`, with a printed reason, where there is no apt.
        fn new() -> Option<Self> {
            if !Utf8Path::new("/usr/bin/apt-get").is_file() {
                println!("skipped: this host has no apt");
                return None;
            }
            let place = Place { directory: tempfile::tempdir().unwrap(), keyring: format!("{FIXTURE}/keyring.gpg") };
            for file in ["dists/trixie/InRelease", "dists/trixie/main/binary-amd64/Packages"] {
                let bytes = std::fs::read(format!("{FIXTURE}/{file}")).unwrap();
                place.put(file, &bytes);
            }
            for (name, text) in POOL {
                place.put(&format!("pool/{name}"), text.as_bytes());
            }
            files::create_folder(&place.out()).unwrap();
            Some(place)
        }

        fn mirror(&self) -> Utf8PathBuf {
            Utf8Path::from_path(self.directory.path()).unwrap().join("mirror")
        }

        fn out(&self) -> Utf8PathBuf {
            Utf8Path::from_path(self.directory.path()).unwrap().join("out")
        }

        fn put(&self, file: &str, bytes: &[u8]) {
            let path = self.mirror().join(file);
            files::create_folder(path.parent().unwrap()).unwrap();
            files::write(&path, bytes).unwrap();
        }

        fn fetch_from(&self, mirror: &str, suite: &str, packages: &[&str]) -> Result<Vec<Deb>> {
            let cancel = Cancel::default();
            let apt = Apt::new(&Mirror::named(mirror)?, suite, "amd64", &self.keyring, &self.out())?;
            apt.update(&cancel)?;
            let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
            let wanted = apt.resolve(&packages, &cancel)?;
            apt.download(&wanted, &self.out(), &Events::discard(), &cancel)
        }

        fn fetch(&self, packages: &[&str]) -> Result<Vec<Deb>> {
            self.fetch_from(self.mirror().as_str(), "trixie", packages)
        }

        fn refused(&self, packages: &[&str]) -> (&'static str, Exit) {
            let failure = self.fetch(packages).unwrap_err();
            assert_eq!(self.out_names(), Vec::<String>::new(), "{failure}");
            (failure.id(), failure.exit())
        }

        fn out_names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.out()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_kernel_stands_for_its_packages_and_nothing_else_is_left_behind() {
        let Some(place) = Place::new() else { return };
        let debs = place.fetch(&["linux-image-amd64", "busybox-static=1:1.37.0-6"]).unwrap();
        let shown: Vec<_> = debs.iter().map(|deb| (deb.name.as_str(), deb.version.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("linux-image-6.12.1+deb13-amd64", "6.12.1-1"),
                ("linux-modules-6.12.1+deb13-amd64", "6.12.1-1"),
                ("busybox-static", "1:1.37.0-6"),
            ]
        );
        assert_eq!(
            place.out_names(),
            [
                "busybox-static_1%3a1.37.0-6_amd64.deb",
                "linux-image-6.12.1+deb13-amd64_6.12.1-1_amd64.deb",
                "linux-modules-6.12.1+deb13-amd64_6.12.1-1_amd64.deb",
            ]
        );
        assert_eq!(files::read_text(&debs[0].file).unwrap(), POOL[0].1);
    }

    #[test]
    fn what_packages_depend_on_comes_with_them_but_for_what_is_taken_for_installed() {
        let Some(place) = Place::new() else { return };
        let apt =
            Apt::new(&Mirror::named(place.mirror().as_str()).unwrap(), "trixie", "amd64", &place.keyring, &place.out());
        let (apt, cancel) = (apt.unwrap(), Cancel::default());
        apt.update(&cancel).unwrap();
        let wanted = ["linux-image-6.12.1+deb13-amd64=6.12.1-1".to_owned()];
        let installed = |names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| ((*name).into(), "99".into())).collect()
        };
        let closure = apt.closure(&wanted, &installed(&["kmod", "initramfs-tools"]), &cancel).unwrap();
        assert_eq!(closure, ["linux-modules-6.12.1+deb13-amd64=6.12.1-1", "linux-image-6.12.1+deb13-amd64=6.12.1-1"]);
        let failure = apt.closure(&wanted, &installed(&["kmod"]), &cancel).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT009", Exit::Upstream), "initramfs-tools is not on the mirror");
        let failure = apt.closure(&["linux-headers-1=1".into()], &[], &cancel).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT009", Exit::Upstream));
    }

    #[test]
    fn an_unsigned_mirror_is_refused() {
        let Some(place) = Place::new() else { return };
        let signed = std::fs::read_to_string(place.mirror().join("dists/trixie/InRelease")).unwrap();
        let release = signed.split_once("\n\n").unwrap().1.split_once("-----BEGIN").unwrap().0;
        std::fs::remove_file(place.mirror().join("dists/trixie/InRelease")).unwrap();
        place.put("dists/trixie/Release", release.as_bytes());
        assert_eq!(place.refused(&["busybox-static"]), ("APT005", Exit::Mismatch));
    }

    #[test]
    fn a_mirror_signed_by_a_stranger_is_refused() {
        let Some(mut place) = Place::new() else { return };
        place.keyring = format!("{FIXTURE}/stranger.gpg");
        assert_eq!(place.refused(&["busybox-static"]), ("APT003", Exit::Mismatch));
    }

    #[test]
    fn a_changed_index_is_refused() {
        let Some(place) = Place::new() else { return };
        let signed = std::fs::read_to_string(place.mirror().join("dists/trixie/InRelease")).unwrap();
        place.put("dists/trixie/InRelease", signed.replace("Label: Debian", "Label: debian").as_bytes());
        assert_eq!(place.refused(&["busybox-static"]), ("APT004", Exit::Mismatch));
    }

    #[test]
    fn a_changed_package_is_refused() {
        let Some(place) = Place::new() else { return };
        for bytes in ["has an EPOCH\n", "has an epoch and more\n", "has"] {
            place.put("pool/busybox-static_1.37.0-6_amd64.deb", bytes.as_bytes());
            assert_eq!(place.refused(&["busybox-static"]), ("APT006", Exit::Mismatch), "{bytes}");
        }
    }

    #[test]
    fn an_index_with_other_bytes_than_signed_is_refused() {
        let Some(place) = Place::new() else { return };
        let index = "dists/trixie/main/binary-amd64/Packages";
        let text = std::fs::read_to_string(place.mirror().join(index)).unwrap();
        place.put(index, text.replace("busybox", "BUSYBOX").as_bytes());
        let failure = place.fetch(&["busybox-static"]).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT006", Exit::Mismatch));
        assert!(failure.finding().why.contains("the index says"), "{failure}");
    }

    #[test]
    fn a_file_that_changed_after_apt_is_refused() {
        let Some(place) = Place::new() else { return };
        let apt =
            Apt::new(&Mirror::named(place.mirror().as_str()).unwrap(), "trixie", "amd64", &place.keyring, &place.out());
        let (apt, cancel) = (apt.unwrap(), Cancel::default());
        apt.update(&cancel).unwrap();
        let mut wanted = apt.resolve(&["busybox-static".into()], &cancel).unwrap();
        wanted[0].sha256 = Digest([0; 32]);
        let failure = apt.download(&wanted, &place.out(), &Events::discard(), &cancel).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT013", Exit::Mismatch));
    }

    #[test]
    fn what_the_mirror_lacks_is_named() {
        let Some(place) = Place::new() else { return };
        for missing in ["no-such-package", "linux-image-potato", "busybox-static=1:9"] {
            assert_eq!(place.refused(&[missing]), ("APT009", Exit::Upstream), "{missing}");
        }
        let failure = place.fetch_from(place.mirror().as_str(), "potato", &["busybox-static"]).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT008", Exit::Upstream));
    }

    #[test]
    fn a_mirror_that_nobody_serves_is_unreachable() {
        let Some(place) = Place::new() else { return };
        // A port that was free a moment ago and that nobody listens on.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = place.fetch_from(&format!("http://127.0.0.1:{port}/"), "trixie", &["busybox-static"]);
        let failure = failure.unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT010", Exit::Upstream));
        assert!(failure.to_string().contains("--debian-mirror"), "{failure}");
    }

    #[test]
    fn an_interrupt_ends_a_fetch() {
        let Some(place) = Place::new() else { return };
        let cancel = Cancel::default();
        cancel.cancel();
        let apt =
            Apt::new(&Mirror::named(place.mirror().as_str()).unwrap(), "trixie", "amd64", &place.keyring, &place.out());
        assert_eq!(apt.unwrap().update(&cancel).unwrap_err().id(), "RUN001");
    }

    #[test]
    fn a_directory_that_apt_cannot_spell_is_refused() {
        for path in ["/tmp/a\"b", "/tmp/a\nb", "/tmp/a\\b"] {
            let failure = configuration(Utf8Path::new(path), "amd64").unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("APT014", Exit::Usage));
        }
    }

    #[test]
    fn a_host_without_debians_keys_is_told_so() {
        let failure = require_keys(Utf8Path::new("/no/such/keyring.gpg")).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT012", Exit::Host));
    }
}
