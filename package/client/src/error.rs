//! Everything the client refuses or cannot do, each under a stable id.
//!
//! `Display` is *what* happened, worded as the package manager in question words it where scripts look
//! for the text; [`Error::id`], [`Error::why`] and [`Error::fix`] complete it, and [`Error::line`] is all
//! of it in one line for a terminal.
//!
//! Ids say who can meet an error: `INST…` users of both managers, `OPKG…` and `APKC…` those of one.

use std::time::Duration;

use camino::Utf8PathBuf;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A command line that means nothing.
    #[error("{problem}")]
    Usage {
        /// The program that was called.
        program: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of a configuration file of opkg that means nothing.
    #[error("{file}:{line}: {problem}")]
    Config {
        /// The file, seen from the root.
        file: Utf8PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system refused a file operation.
    #[error("Cannot {doing} {path}")]
    Io {
        /// Completes "Cannot …".
        doing: &'static str,
        /// The path, seen from the root.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The root does not have room for the payload.
    #[error("No space left for the packages: {needed} bytes are needed and {free} are free")]
    Space {
        /// Bytes of all files of the transaction.
        needed: u64,
        /// Bytes that the file system of the root has left.
        free: u64,
    },
    /// A file of the feed could not be fetched.
    #[error("Failed to download {url}")]
    Download {
        /// What was asked for.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The feed has no signature.
    #[error("Signature check failed. The feed {feed} is not signed")]
    Unsigned {
        /// Name of the source.
        feed: String,
        /// What happened when the signature was asked for.
        problem: String,
    },
    /// The feed is signed by a key that the root does not trust.
    #[error("Signature check failed. The feed {feed} is signed by the unknown key {fingerprint}")]
    UnknownKey {
        /// Name of the source.
        feed: String,
        /// 16 hex digits.
        fingerprint: String,
    },
    /// The signature is not one of this index.
    #[error("Signature check failed. The signature of the feed {feed} does not belong to its index")]
    BadSignature {
        /// Name of the source.
        feed: String,
        /// What the check said.
        problem: String,
    },
    /// The index cannot be read, signed or not.
    #[error("The index of the feed {feed} cannot be read")]
    Index {
        /// Name of the source.
        feed: String,
        /// What the reader said.
        problem: String,
    },
    /// The index describes a package in a way that its file could not be verified, or not be found safely.
    #[error("The index of the feed {feed} has an entry that cannot be trusted")]
    IndexEntry {
        /// Name of the source.
        feed: String,
        /// Which entry, and what is missing or wrong.
        problem: String,
    },
    /// What was downloaded is not what the signed index describes.
    #[error("Checksum or size mismatch for package {package}")]
    Mismatch {
        /// Name in the index.
        package: String,
        /// Wanted and found.
        problem: String,
    },
    /// The index entry points at the file of another package, version or architecture.
    #[error("The file of package {package} is another package")]
    Foreign {
        /// Name in the index.
        package: String,
        /// Which field differs, and how.
        problem: String,
    },
    /// A package file that the reader refuses.
    #[error("Malformed package file {file}")]
    Package {
        /// Name of the file.
        file: String,
        /// The reader's own id and text.
        problem: String,
    },
    /// A file of a package would not land below the root, or not where its path says.
    #[error("Package {package} would write {path} outside of its place")]
    Escape {
        /// Its name.
        package: String,
        /// The path in the package.
        path: Utf8PathBuf,
        /// How.
        problem: String,
    },
    /// A device, pipe or socket in a package.
    #[error("Package {package} holds the special file {path}")]
    Special {
        /// Its name.
        package: String,
        /// The path in the package.
        path: Utf8PathBuf,
    },
    /// No such package in the lists, or nothing installed of that name.
    #[error("Unknown package '{name}'")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Why it may be unknown.
        problem: String,
    },
    /// A dependency that neither the root nor the lists satisfy.
    #[error("cannot find dependency {dependency} for {package}")]
    Dependency {
        /// What was asked for.
        package: String,
        /// The dependency as the package states it.
        dependency: String,
        /// What there is instead.
        problem: String,
    },
    /// Packages that exclude each other.
    #[error("Package {package} conflicts with {other}")]
    Conflict {
        /// The one that states the conflict.
        package: String,
        /// The other one.
        other: String,
    },
    /// Built for another architecture.
    #[error("Package {package} is for the architecture {arch}, incompatible with the architectures configured")]
    Architecture {
        /// Its name.
        package: String,
        /// Its architecture.
        arch: String,
        /// The configured ones.
        known: String,
    },
    /// The package `kernel` describes the running kernel and is never replaced by installing.
    #[error("Package kernel is held at {installed}")]
    KernelHeld {
        /// The installed version.
        installed: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// A file that another package, or the root itself, already has.
    #[error("Package {package} wants to install file {path}, but {holder}")]
    Clash {
        /// Its name.
        package: String,
        /// The path.
        path: Utf8PathBuf,
        /// Completes the sentence: who has it.
        holder: String,
    },
    /// A maintainer script that failed.
    #[error("The {script} script of package {package} failed")]
    Script {
        /// Its name.
        package: String,
        /// `preinst`, `postinst`, `prerm` or `postrm`.
        script: &'static str,
        /// Exit code, signal or reason.
        problem: String,
    },
    /// Another run works on the same root.
    #[error("Could not lock {path}")]
    Locked {
        /// The lock file, seen from the root.
        path: Utf8PathBuf,
        /// Who holds it, as it says itself.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Installed packages need what is to be removed.
    #[error("Package {package} is depended upon by packages: {dependents}")]
    Needed {
        /// What was to be removed.
        package: String,
        /// Who needs it.
        dependents: String,
    },
    /// The package manager's own state of the root cannot be read.
    #[error("The package state in {path} cannot be read")]
    State {
        /// The file, seen from the root.
        path: Utf8PathBuf,
        /// What the reader said.
        problem: String,
    },
    /// A line of apk's configuration that means nothing.
    #[error("{file}:{line}: {problem}")]
    Repositories {
        /// The file, seen from the root.
        file: Utf8PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An index of apk that nobody trusted has signed.
    #[error("opening {url}: UNTRUSTED signature")]
    UntrustedIndex {
        /// Where it came from.
        url: String,
        /// Its signatures, and the keys they were compared with.
        problem: String,
    },
    /// A package file of apk that was given by name and that nobody trusted has signed.
    #[error("{file}: UNTRUSTED signature")]
    UntrustedPackage {
        /// Name of the file.
        file: String,
        /// Its signatures, and the keys they were compared with.
        problem: String,
    },
    /// What was downloaded is not what the signed index of apk describes.
    #[error("{package}: ADB integrity error")]
    Integrity {
        /// Name and version in the index.
        package: String,
        /// Wanted and found.
        problem: String,
    },
    /// No set of packages satisfies all wishes.
    #[error("unable to select packages:{conflicts}")]
    Selection {
        /// Who breaks or misses what, laid out as apk does, each line after a line break.
        conflicts: String,
        /// The same in words.
        problem: String,
    },
    /// A package that is to be installed once more and that no index has.
    #[error("{package} cannot be installed again: no repository has it")]
    NotOffered {
        /// Name and version.
        package: String,
    },
    /// A name that apk's user gave and that stands for nothing installed.
    #[error("No such package: {name}")]
    NoSuchPackage {
        /// It.
        name: String,
    },
}

impl Error {
    /// Wraps a refusal of the operating system.
    pub(crate) fn io(doing: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { doing, path, source }
    }

    /// The stable id.
    pub fn id(&self) -> &'static str {
        self.explain().0
    }

    /// Why it happened or why it matters.
    pub fn why(&self) -> String {
        self.explain().1
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        self.explain().2
    }

    /// Id, what, why and fix in one line, as opkg collects its errors.
    pub fn line(&self) -> String {
        let (id, why, fix) = self.explain();
        format!("[{id}] {self}: {why} — {fix}")
    }

    /// The one table of ids, reasons and advice.
    fn explain(&self) -> (&'static str, String, String) {
        let (id, why, fix): (_, &str, &str) = match self {
            Error::Usage { program, .. } => {
                return ("INST001", "the command line is not understood".into(), format!("see `{program} --help`"));
            }
            Error::Config { .. } => (
                "OPKG002",
                "a line is `src/gz NAME URL`, `src NAME URL`, `dest NAME PATH`, `lists_dir ext PATH`, `option KEY [VALUE]` or `arch NAME PRIORITY`",
                "correct the named line",
            ),
            Error::Io { source, .. } => {
                let fix = match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        "free some space and run the same command again: an interrupted package is redone"
                    }
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                        "run as a user who may write there, on a writable file system"
                    }
                    _ => "check the path and the file system below it, then run the same command again",
                };
                return ("INST003", source.to_string(), fix.into());
            }
            Error::Mismatch { problem, .. } => {
                ("OPKG004", problem, "run `opkg update`; if it stays so, the feed or the way to it was tampered with")
            }
            Error::Download { problem, .. } => (
                "INST005",
                problem,
                "check the address of the feed in /etc/opkg or /etc/apk, and that the server can be reached",
            ),
            Error::Unsigned { problem, .. } => {
                ("OPKG006", problem, "publish Packages.sig beside Packages.gz; the list was not kept")
            }
            Error::UnknownKey { fingerprint, .. } => {
                return (
                    "OPKG007",
                    "nobody this system trusts vouches for the index".into(),
                    format!("if you trust the feed, put its public key into /etc/opkg/keys/{fingerprint}"),
                );
            }
            Error::BadSignature { problem, .. } => (
                "OPKG008",
                problem,
                "the index was changed after signing or is from another day: run `opkg update` again, then ask the publisher",
            ),
            Error::Index { problem, .. } => {
                ("INST009", problem, "the publisher has to rebuild the feed; the list was not kept")
            }
            Error::IndexEntry { problem, .. } => (
                "OPKG010",
                problem,
                "the publisher has to rebuild the index with Filename, Size and SHA256sum for every package",
            ),
            Error::Foreign { problem, .. } => {
                ("INST011", problem, "the publisher has to rebuild the index from the package files")
            }
            Error::Package { problem, .. } => {
                ("INST012", problem, "fetch or build the package again; nothing of it was installed")
            }
            Error::Escape { problem, .. } => {
                ("INST013", problem, "do not install this package: nothing of it was written")
            }
            Error::Special { .. } => (
                "INST014",
                "device nodes, pipes and sockets give access that no package of this feed needs",
                "do not install this package: nothing of it was written",
            ),
            Error::Unknown { problem, .. } => {
                ("OPKG015", problem, "run `opkg update` and check the spelling with `opkg list`")
            }
            Error::Dependency { problem, .. } => {
                ("OPKG016", problem, "use a feed that was built for this system, then run `opkg update`")
            }
            Error::Architecture { known, .. } => {
                return (
                    "OPKG017",
                    format!("this system accepts {known}"),
                    "use a feed of this system's architecture".into(),
                );
            }
            Error::Conflict { .. } => ("OPKG018", "they cannot be installed together", "remove one of them first"),
            Error::KernelHeld { wanted, .. } => {
                return (
                    "OPKG019",
                    format!("it names the kernel that runs, which installing {wanted} would not change"),
                    "upgrade the whole system image instead".into(),
                );
            }
            Error::Clash { .. } => (
                "INST020",
                "two owners of one file would break each other",
                "remove the other owner first, or report it to the packages' maintainers",
            ),
            Error::Script { problem, .. } => {
                ("INST021", problem, "read what the script printed, correct the cause and run the same command again")
            }
            Error::Locked { holder, waited, .. } => {
                return (
                    "INST022",
                    format!("it is held by {holder}, for longer than {} s", waited.as_secs_f32()),
                    "wait until that run has ended".into(),
                );
            }
            Error::Needed { .. } => {
                ("INST023", "they would stop working", "remove those first, in the same command if you like")
            }
            Error::State { problem, .. } => ("INST024", problem, "restore the file from a backup; it is plain text"),
            Error::Space { .. } => (
                "INST025",
                "the space is checked before the first file is written",
                "remove something, or choose fewer packages",
            ),
            Error::Repositories { .. } => (
                "APKC001",
                "a repository is the address of an index, `URL/packages.adb`, or `v3 URL [COMPONENT…]`",
                "correct the named line",
            ),
            Error::UntrustedIndex { problem, .. } => (
                "APKC002",
                problem,
                "if you trust the feed, put its public key into /etc/apk/keys; the index was not kept",
            ),
            Error::UntrustedPackage { problem, .. } => (
                "APKC003",
                problem,
                "install it by name from a signed feed, or sign it with a key that is in /etc/apk/keys",
            ),
            Error::Integrity { problem, .. } => {
                ("APKC004", problem, "run `apk update`; if it stays so, the feed or the way to it was tampered with")
            }
            Error::Selection { problem, .. } => {
                ("APKC005", problem, "choose others, or use a feed that was built for this system and run `apk update`")
            }
            Error::NotOffered { .. } => (
                "APKC007",
                "its files can only come from where it came from, and in the same version",
                "run `apk update`, or `apk upgrade` to get the version that there is now",
            ),
            Error::NoSuchPackage { .. } => (
                "APKC006",
                "nothing of that name is installed or wished for",
                "see `apk list -I` for what is installed",
            ),
        };
        (id, why.into(), fix.into())
    }
}
