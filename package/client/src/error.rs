//! Everything that the client refuses or fails at, each under a stable id.
//!
//! `Display` is *what* happened, in the words of the package manager where scripts look for them; [`Error::id`],
//! [`Error::why`] and [`Error::fix`] complete it, and [`Error::line`] is all of it in one line for a terminal.
//!
//! Ids tell who can see an error: `INST…` users of both managers, `OPKG…` and `APKC…` those of one.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use camino::Utf8PathBuf;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

model::errors! {
    /// Why a command did nothing, or not everything.
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum Error {
        /// An invalid command line.
        Usage {
            /// Name of the program.
            program: &'static str,
            /// What is wrong with it.
            problem: String,
        } => {
            id: "INST001",
            what: "{problem}",
            why: "the command line is not understood",
            fix: "see `{program} --help`",
        }
        /// An invalid line of a configuration file of opkg.
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
        /// The root lacks space for the files.
        Space {
            /// Bytes of all files in the transaction.
            needed: u64,
            /// Bytes that are free on the root's file system.
            free: u64,
        } => {
            id: "INST025",
            what: "No space left for the packages: {needed} bytes are needed and {free} are free",
            why: "the space is checked before any file is written",
            fix: "remove packages, or install fewer",
        }
        /// A file of the feed could not be fetched.
        Download {
            /// The address that was requested.
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
            /// Name of the feed.
            feed: String,
            /// What the request for the signature gave.
            problem: String,
        } => {
            id: "OPKG006",
            what: "Signature check failed. The feed {feed} is not signed",
            why: "{problem}",
            fix: "publish Packages.sig beside Packages.gz; the list was not kept",
        }
        /// The feed is signed by a key that the root does not trust.
        UnknownKey {
            /// Name of the feed.
            feed: String,
            /// The key's fingerprint: 16 hex digits.
            fingerprint: String,
        } => {
            id: "OPKG007",
            what: "Signature check failed. The feed {feed} is signed by the unknown key {fingerprint}",
            why: "no key that this system trusts signed the index",
            fix: "if you trust the feed, put its public key into /etc/opkg/keys/{fingerprint}",
        }
        /// The signature does not belong to this index.
        BadSignature {
            /// Name of the feed.
            feed: String,
            /// The problem that the check found.
            problem: String,
        } => {
            id: "OPKG008",
            what: "Signature check failed. The signature of the feed {feed} does not belong to its index",
            why: "{problem}",
            fix: "the index was changed after signing, or signature and index were fetched from different updates: \
                  run `opkg update` again, then ask the publisher",
        }
        /// The index, signed or not, is malformed.
        Index {
            /// Name of the feed.
            feed: String,
            /// The reader's error.
            problem: String,
        } => {
            id: "INST009",
            what: "The index of the feed {feed} cannot be read",
            why: "{problem}",
            fix: "the publisher has to rebuild the feed; the list was not kept",
        }
        /// An index entry from which the package file cannot be located or verified safely.
        IndexEntry {
            /// Name of the feed.
            feed: String,
            /// The entry, and what is missing or wrong.
            problem: String,
        } => {
            id: "OPKG010",
            what: "The index of the feed {feed} has an entry that cannot be trusted",
            why: "{problem}",
            fix: "the publisher has to rebuild the index with Filename, Size and SHA256sum for every package",
        }
        /// A downloaded file differs from the signed index.
        Mismatch {
            /// Name in the index.
            package: String,
            /// The wanted and the found value.
            problem: String,
        } => {
            id: "OPKG004",
            what: "Checksum or size mismatch for package {package}",
            why: "{problem}",
            fix: "run `opkg update`; if that does not help, somebody changed the feed, or the data on its way",
        }
        /// The index entry points to the file of another package, version or architecture.
        Foreign {
            /// Name in the index.
            package: String,
            /// The field that differs, and how.
            problem: String,
        } => {
            id: "INST011",
            what: "The file listed for package {package} holds another package",
            why: "{problem}",
            fix: "the publisher has to rebuild the index from the package files",
        }
        /// A malformed package file.
        Package {
            /// Name of the file.
            file: String,
            /// The reader's id and error.
            problem: String,
        } => {
            id: "INST012",
            what: "Malformed package file {file}",
            why: "{problem}",
            fix: "fetch or build the package again; nothing of it was installed",
        }
        /// A file of a package would be written outside the root, or elsewhere than its path says.
        Escape {
            /// Name of the package.
            package: String,
            /// Its path in the package.
            path: Utf8PathBuf,
            /// How it would escape.
            problem: String,
        } => {
            id: "INST013",
            what: "Package {package} would write {path} outside of its place",
            why: "{problem}",
            fix: "do not install this package: nothing of it was written",
        }
        /// A device, pipe or socket in a package.
        Special {
            /// Name of the package.
            package: String,
            /// Its path in the package.
            path: Utf8PathBuf,
        } => {
            id: "INST014",
            what: "Package {package} holds the special file {path}",
            why: "device nodes, pipes and sockets give access that no package of this feed needs",
            fix: "do not install this package: nothing of it was written",
        }
        /// The lists have no such package, or no such package is installed.
        Unknown {
            /// The name that was given.
            name: String,
            /// Why the name may be unknown.
            problem: String,
        } => {
            id: "OPKG015",
            what: "Unknown package '{name}'",
            why: "{problem}",
            fix: "run `opkg update` and check the spelling with `opkg list`",
        }
        /// A name that stands for a package which the same command has installed under another name.
        GivenTwice {
            /// The name that was given.
            name: String,
            /// The package that provides it.
            package: String,
        } => {
            id: "OPKG020",
            what: "{package} is already installed by the same command",
            why: "{name} stands for {package}, and opkg fails where it finds a package unpacked that it is to install",
            fix: "leave {name} out",
        }
        /// A dependency that neither the root nor the lists satisfy.
        Dependency {
            /// The package that was asked for.
            package: String,
            /// The dependency as the package writes it.
            dependency: String,
            /// What is available instead.
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
            /// Name of the package.
            package: String,
            /// Its architecture.
            arch: String,
            /// The architectures of this system.
            known: String,
        } => {
            id: "OPKG017",
            what: "Package {package} is for the architecture {arch}, incompatible with the architectures configured",
            why: "this system accepts {known}",
            fix: "use a feed of this system's architecture",
        }
        /// The package `kernel` describes the running kernel; installing never replaces it.
        KernelHeld {
            /// The installed version.
            installed: String,
            /// The version that was asked for.
            wanted: String,
        } => {
            id: "OPKG019",
            what: "Package kernel is held at {installed}",
            why: "it stands for the running kernel, which installing {wanted} would not change",
            fix: "upgrade the whole system image instead",
        }
        /// Another package, or the root itself, already has a file at this path.
        Clash {
            /// Name of the package.
            package: String,
            /// The path.
            path: Utf8PathBuf,
            /// Completes the sentence: what is there.
            holder: String,
        } => {
            id: "INST020",
            what: "Package {package} wants to install file {path}, but {holder}",
            why: "two packages with the same file would break each other",
            fix: "remove the other package or file first, or report it to the packages' maintainers",
        }
        /// A maintainer script that failed.
        Script {
            /// Name of the package.
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
            /// The holder, as the lock file describes it.
            holder: String,
            /// How long this run waited.
            waited: Duration,
        } => {
            id: "INST022",
            what: "Could not lock {path}",
            why: ("it is held by {holder}, for longer than {} s", waited.as_secs_f32()),
            fix: "wait until that run has ended",
        }
        /// Installed packages need a package that is to be removed.
        Needed {
            /// The package to remove.
            package: String,
            /// The packages that need it.
            dependents: String,
        } => {
            id: "INST023",
            what: "Package {package} is depended upon by packages: {dependents}",
            why: "they would stop working",
            fix: "remove those first, in the same command if you like",
        }
        /// The package manager's own files in the root are malformed.
        State {
            /// The file, seen from the root.
            path: Utf8PathBuf,
            /// The reader's error.
            problem: String,
        } => {
            id: "INST024",
            what: "The package state in {path} cannot be read",
            why: "{problem}",
            fix: "restore the file from a backup; it is plain text",
        }
        /// An invalid line of apk's configuration.
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
        /// No trusted key signed an index of apk.
        UntrustedIndex {
            /// Its address.
            url: String,
            /// Its signatures, and the keys that they were compared with.
            problem: String,
        } => {
            id: "APKC002",
            what: "opening {url}: UNTRUSTED signature",
            why: "{problem}",
            fix: "if you trust the feed, put its public key into /etc/apk/keys; the index was not kept",
        }
        /// No trusted key signed a package file of apk that was given by name.
        UntrustedPackage {
            /// Name of the file.
            file: String,
            /// Its signatures, and the keys that they were compared with.
            problem: String,
        } => {
            id: "APKC003",
            what: "{file}: UNTRUSTED signature",
            why: "{problem}",
            fix: "install it by name from a signed feed, or sign it with a key that is in /etc/apk/keys",
        }
        /// A downloaded file differs from apk's signed index.
        Integrity {
            /// Name and version in the index.
            package: String,
            /// The wanted and the found value.
            problem: String,
        } => {
            id: "APKC004",
            what: "{package}: ADB integrity error",
            why: "{problem}",
            fix: "run `apk update`; if that does not help, somebody changed the feed, or the data on its way",
        }
        /// No set of packages satisfies world.
        Selection {
            /// What breaks or is missing, in apk's layout; each line begins with a line break.
            conflicts: String,
            /// The same in a sentence.
            problem: String,
        } => {
            id: "APKC005",
            what: "unable to select packages:{conflicts}",
            why: "{problem}",
            fix: "choose other packages, or use a feed that was built for this system and run `apk update`",
        }
        /// No index has a package that is to be installed again.
        NotOffered {
            /// Name and version.
            package: String,
        } => {
            id: "APKC007",
            what: "{package} cannot be installed again: no repository has it",
            why: "its files must come from a repository that has this same version",
            fix: "run `apk update`, or `apk upgrade` to get the available version",
        }
        /// A name that the user gave and that nothing refers to.
        NoSuchPackage {
            /// The name.
            name: String,
        } => {
            id: "APKC006",
            what: "No such package: {name}",
            why: "no package of that name is installed, offered or wanted, and none refers to it",
            fix: "run `apk list` to see what is available, `apk list -I` to see what is installed",
        }
    }
}

impl Error {
    /// Wraps a refusal of the operating system.
    pub(crate) fn io(doing: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { doing, path, source }
    }

    /// Id, what, why and fix in one line, as in opkg's list of errors.
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

/// The fix for a file operation that the operating system refused.
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
