//! Everything the client refuses or cannot do, each under a stable id.
//!
//! `Display` is *what* happened, worded as the package manager in question words it where scripts look
//! for the text; [`Error::id`], [`Error::why`] and [`Error::fix`] complete it, and [`Error::line`] is all
//! of it in one line for a terminal.
//!
//! Ids say who can meet an error: `INST…` users of both managers, `OPKG…` and `APKC…` those of one.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use camino::Utf8PathBuf;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

model::errors! {
    /// Why nothing, or not everything, was done.
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum Error {
        /// A command line that means nothing.
        Usage {
            /// The program that was called.
            program: &'static str,
            /// What is wrong with it.
            problem: String,
        } => {
            id: "INST001",
            what: "{problem}",
            why: "the command line is not understood",
            fix: "see `{program} --help`",
        }
        /// A line of a configuration file of opkg that means nothing.
        Config {
            /// The file, seen from the root.
            file: Utf8PathBuf,
            /// Its line, counted from 1.
            line: usize,
            /// What is wrong with it.
            problem: String,
        } => {
            id: "OPKG002",
            what: "{file}:{line}: {problem}",
            why: "a line is `src/gz NAME URL`, `src NAME URL`, `dest NAME PATH`, `lists_dir ext PATH`, `option KEY [VALUE]` or `arch NAME PRIORITY`",
            fix: "correct the named line",
        }
        /// The operating system refused a file operation.
        Io {
            /// Completes "Cannot …".
            doing: &'static str,
            /// The path, seen from the root.
            path: Utf8PathBuf,
            /// What the system said.
            source: io::Error,
        } => {
            id: "INST003",
            what: "Cannot {doing} {path}",
            why: "{source}",
            fix: ("{}", after_refusal(source)),
        }
        /// The root does not have room for the payload.
        Space {
            /// Bytes of all files of the transaction.
            needed: u64,
            /// Bytes that the file system of the root has left.
            free: u64,
        } => {
            id: "INST025",
            what: "No space left for the packages: {needed} bytes are needed and {free} are free",
            why: "the space is checked before the first file is written",
            fix: "remove something, or choose fewer packages",
        }
        /// A file of the feed could not be fetched.
        Download {
            /// What was asked for.
            url: String,
            /// What went wrong.
            problem: String,
        } => {
            id: "INST005",
            what: "Failed to download {url}",
            why: "{problem}",
            fix: "check the address of the feed in /etc/opkg or /etc/apk, and that the server can be reached",
        }
        /// The feed has no signature.
        Unsigned {
            /// Name of the source.
            feed: String,
            /// What happened when the signature was asked for.
            problem: String,
        } => {
            id: "OPKG006",
            what: "Signature check failed. The feed {feed} is not signed",
            why: "{problem}",
            fix: "publish Packages.sig beside Packages.gz; the list was not kept",
        }
        /// The feed is signed by a key that the root does not trust.
        UnknownKey {
            /// Name of the source.
            feed: String,
            /// 16 hex digits.
            fingerprint: String,
        } => {
            id: "OPKG007",
            what: "Signature check failed. The feed {feed} is signed by the unknown key {fingerprint}",
            why: "nobody this system trusts vouches for the index",
            fix: "if you trust the feed, put its public key into /etc/opkg/keys/{fingerprint}",
        }
        /// The signature is not one of this index.
        BadSignature {
            /// Name of the source.
            feed: String,
            /// What the check said.
            problem: String,
        } => {
            id: "OPKG008",
            what: "Signature check failed. The signature of the feed {feed} does not belong to its index",
            why: "{problem}",
            fix: "the index was changed after signing or is from another day: run `opkg update` again, then ask the publisher",
        }
        /// The index cannot be read, signed or not.
        Index {
            /// Name of the source.
            feed: String,
            /// What the reader said.
            problem: String,
        } => {
            id: "INST009",
            what: "The index of the feed {feed} cannot be read",
            why: "{problem}",
            fix: "the publisher has to rebuild the feed; the list was not kept",
        }
        /// The index describes a package in a way that its file could not be verified, or not be found safely.
        IndexEntry {
            /// Name of the source.
            feed: String,
            /// Which entry, and what is missing or wrong.
            problem: String,
        } => {
            id: "OPKG010",
            what: "The index of the feed {feed} has an entry that cannot be trusted",
            why: "{problem}",
            fix: "the publisher has to rebuild the index with Filename, Size and SHA256sum for every package",
        }
        /// What was downloaded is not what the signed index describes.
        Mismatch {
            /// Name in the index.
            package: String,
            /// Wanted and found.
            problem: String,
        } => {
            id: "OPKG004",
            what: "Checksum or size mismatch for package {package}",
            why: "{problem}",
            fix: "run `opkg update`; if it stays so, the feed or the way to it was tampered with",
        }
        /// The index entry points at the file of another package, version or architecture.
        Foreign {
            /// Name in the index.
            package: String,
            /// Which field differs, and how.
            problem: String,
        } => {
            id: "INST011",
            what: "The file of package {package} is another package",
            why: "{problem}",
            fix: "the publisher has to rebuild the index from the package files",
        }
        /// A package file that the reader refuses.
        Package {
            /// Name of the file.
            file: String,
            /// The reader's own id and text.
            problem: String,
        } => {
            id: "INST012",
            what: "Malformed package file {file}",
            why: "{problem}",
            fix: "fetch or build the package again; nothing of it was installed",
        }
        /// A file of a package would not land below the root, or not where its path says.
        Escape {
            /// Its name.
            package: String,
            /// The path in the package.
            path: Utf8PathBuf,
            /// How.
            problem: String,
        } => {
            id: "INST013",
            what: "Package {package} would write {path} outside of its place",
            why: "{problem}",
            fix: "do not install this package: nothing of it was written",
        }
        /// A device, pipe or socket in a package.
        Special {
            /// Its name.
            package: String,
            /// The path in the package.
            path: Utf8PathBuf,
        } => {
            id: "INST014",
            what: "Package {package} holds the special file {path}",
            why: "device nodes, pipes and sockets give access that no package of this feed needs",
            fix: "do not install this package: nothing of it was written",
        }
        /// No such package in the lists, or nothing installed of that name.
        Unknown {
            /// What was asked for.
            name: String,
            /// Why it may be unknown.
            problem: String,
        } => {
            id: "OPKG015",
            what: "Unknown package '{name}'",
            why: "{problem}",
            fix: "run `opkg update` and check the spelling with `opkg list`",
        }
        /// A dependency that neither the root nor the lists satisfy.
        Dependency {
            /// What was asked for.
            package: String,
            /// The dependency as the package states it.
            dependency: String,
            /// What there is instead.
            problem: String,
        } => {
            id: "OPKG016",
            what: "cannot find dependency {dependency} for {package}",
            why: "{problem}",
            fix: "use a feed that was built for this system, then run `opkg update`",
        }
        /// Packages that exclude each other.
        Conflict {
            /// The one that states the conflict.
            package: String,
            /// The other one.
            other: String,
        } => {
            id: "OPKG018",
            what: "Package {package} conflicts with {other}",
            why: "they cannot be installed together",
            fix: "remove one of them first",
        }
        /// Built for another architecture.
        Architecture {
            /// Its name.
            package: String,
            /// Its architecture.
            arch: String,
            /// The configured ones.
            known: String,
        } => {
            id: "OPKG017",
            what: "Package {package} is for the architecture {arch}, incompatible with the architectures configured",
            why: "this system accepts {known}",
            fix: "use a feed of this system's architecture",
        }
        /// The package `kernel` describes the running kernel and is never replaced by installing.
        KernelHeld {
            /// The installed version.
            installed: String,
            /// The one that was asked for.
            wanted: String,
        } => {
            id: "OPKG019",
            what: "Package kernel is held at {installed}",
            why: "it names the kernel that runs, which installing {wanted} would not change",
            fix: "upgrade the whole system image instead",
        }
        /// A file that another package, or the root itself, already has.
        Clash {
            /// Its name.
            package: String,
            /// The path.
            path: Utf8PathBuf,
            /// Completes the sentence: who has it.
            holder: String,
        } => {
            id: "INST020",
            what: "Package {package} wants to install file {path}, but {holder}",
            why: "two owners of one file would break each other",
            fix: "remove the other owner first, or report it to the packages' maintainers",
        }
        /// A maintainer script that failed.
        Script {
            /// Its name.
            package: String,
            /// `preinst`, `postinst`, `prerm` or `postrm`.
            script: &'static str,
            /// Exit code, signal or reason.
            problem: String,
        } => {
            id: "INST021",
            what: "The {script} script of package {package} failed",
            why: "{problem}",
            fix: "read what the script printed, correct the cause and run the same command again",
        }
        /// Another run works on the same root.
        Locked {
            /// The lock file, seen from the root.
            path: Utf8PathBuf,
            /// Who holds it, as it says itself.
            holder: String,
            /// How long was waited.
            waited: Duration,
        } => {
            id: "INST022",
            what: "Could not lock {path}",
            why: ("it is held by {holder}, for longer than {} s", waited.as_secs_f32()),
            fix: "wait until that run has ended",
        }
        /// Installed packages need what is to be removed.
        Needed {
            /// What was to be removed.
            package: String,
            /// Who needs it.
            dependents: String,
        } => {
            id: "INST023",
            what: "Package {package} is depended upon by packages: {dependents}",
            why: "they would stop working",
            fix: "remove those first, in the same command if you like",
        }
        /// The package manager's own state of the root cannot be read.
        State {
            /// The file, seen from the root.
            path: Utf8PathBuf,
            /// What the reader said.
            problem: String,
        } => {
            id: "INST024",
            what: "The package state in {path} cannot be read",
            why: "{problem}",
            fix: "restore the file from a backup; it is plain text",
        }
        /// A line of apk's configuration that means nothing.
        Repositories {
            /// The file, seen from the root.
            file: Utf8PathBuf,
            /// Its line, counted from 1.
            line: usize,
            /// What is wrong with it.
            problem: String,
        } => {
            id: "APKC001",
            what: "{file}:{line}: {problem}",
            why: "a repository is the address of an index, `URL/packages.adb`, or `v3 URL [COMPONENT…]`",
            fix: "correct the named line",
        }
        /// An index of apk that nobody trusted has signed.
        UntrustedIndex {
            /// Where it came from.
            url: String,
            /// Its signatures, and the keys they were compared with.
            problem: String,
        } => {
            id: "APKC002",
            what: "opening {url}: UNTRUSTED signature",
            why: "{problem}",
            fix: "if you trust the feed, put its public key into /etc/apk/keys; the index was not kept",
        }
        /// A package file of apk that was given by name and that nobody trusted has signed.
        UntrustedPackage {
            /// Name of the file.
            file: String,
            /// Its signatures, and the keys they were compared with.
            problem: String,
        } => {
            id: "APKC003",
            what: "{file}: UNTRUSTED signature",
            why: "{problem}",
            fix: "install it by name from a signed feed, or sign it with a key that is in /etc/apk/keys",
        }
        /// What was downloaded is not what the signed index of apk describes.
        Integrity {
            /// Name and version in the index.
            package: String,
            /// Wanted and found.
            problem: String,
        } => {
            id: "APKC004",
            what: "{package}: ADB integrity error",
            why: "{problem}",
            fix: "run `apk update`; if it stays so, the feed or the way to it was tampered with",
        }
        /// No set of packages satisfies all wishes.
        Selection {
            /// Who breaks or misses what, laid out as apk does, each line after a line break.
            conflicts: String,
            /// The same in words.
            problem: String,
        } => {
            id: "APKC005",
            what: "unable to select packages:{conflicts}",
            why: "{problem}",
            fix: "choose others, or use a feed that was built for this system and run `apk update`",
        }
        /// A package that is to be installed once more and that no index has.
        NotOffered {
            /// Name and version.
            package: String,
        } => {
            id: "APKC007",
            what: "{package} cannot be installed again: no repository has it",
            why: "its files can only come from where it came from, and in the same version",
            fix: "run `apk update`, or `apk upgrade` to get the version that there is now",
        }
        /// A name that apk's user gave and that stands for nothing installed.
        NoSuchPackage {
            /// It.
            name: String,
        } => {
            id: "APKC006",
            what: "No such package: {name}",
            why: "nothing of that name is installed or wished for",
            fix: "see `apk list -I` for what is installed",
        }
    }
}

impl Error {
    /// Wraps a refusal of the operating system.
    pub(crate) fn io(doing: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { doing, path, source }
    }

    /// Id, what, why and fix in one line, as opkg collects its errors.
    pub fn line(&self) -> String {
        format!("[{}] {self}: {} — {}", self.id(), self.why().unwrap_or_default(), self.fix())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What to do when the operating system refused a file operation.
fn after_refusal(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space and run the same command again: an interrupted package is redone"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "run as a user who may write there, on a writable file system"
        }
        _ => "check the path and the file system below it, then run the same command again",
    }
}
