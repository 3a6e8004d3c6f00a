//! Finds the Rust compilers of this host, and whether each has the sources of its standard library.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Job, cmd};
use model::{Cancel, Exit, Failure, Problem, Result};

/// Deadline for questions that a compiler answers at once.
const QUESTION: Duration = Duration::from_secs(60);

/// Folder of the library's sources below a compiler's sysroot, and a file to recognise them by.
const SOURCES: &str = "lib/rustlib/src/rust/library";

/// A rustc with its cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiler {
    pub(super) rustc: String,
    pub(super) cargo: String,
    /// Its whole version text.
    pub(super) says: String,
    /// Its sysroot.
    pub(super) sysroot: Utf8PathBuf,
    /// Whether it allows unstable features.
    pub(super) is_nightly: bool,
    /// The second number of its version.
    pub(super) minor: u32,
}

impl Compiler {
    /// The compiler that started us, or the one in PATH.
    ///
    /// # Errors
    /// `CMD…` when there is none, `RST004` when its version cannot be parsed.
    pub(super) fn of_host(cancel: &Cancel) -> Result<Self> {
        let variable = |name: &str, program: &str| std::env::var(name).unwrap_or_else(|_| program.into());
        Compiler::ask(variable("RUSTC", "rustc"), variable("CARGO", "cargo"), cancel)
    }

    /// rustup's nightly, if it is installed.
    ///
    /// # Errors
    /// `RUN001` when the user interrupts.
    pub(super) fn nightly(cancel: &Cancel) -> Result<Option<Self>> {
        let shell = host::shell()?;
        // Asking must not install anything.
        shell.set_var("RUSTUP_AUTO_INSTALL", "0");
        let asked = Job::new(cmd!(shell, "rustup which --toolchain nightly rustc"), QUESTION).output(cancel);
        cancel.check()?;
        let Some(output) = asked.ok().filter(|output| output.success) else { return Ok(None) };
        let rustc = Utf8PathBuf::from(output.stdout.trim());
        let cargo = rustc.with_file_name("cargo");
        let found = if cargo.is_file() { Compiler::ask(rustc.into(), cargo.into(), cancel).ok() } else { None };
        cancel.check()?;
        Ok(found)
    }

    fn ask(rustc: String, cargo: String, cancel: &Cancel) -> Result<Self> {
        let shell = host::shell()?;
        let answer = |words: &[&str]| {
            let output = Job::new(cmd!(shell, "{rustc} {words...}"), QUESTION).from_package("rustup").output(cancel)?;
            Ok(if output.success { output.stdout } else { output.stderr })
        };
        let (version, sysroot) = (answer(&["--version", "--verbose"])?, answer(&["--print", "sysroot"])?);
        Compiler::read(&version, sysroot.trim(), &rustc, &cargo).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Host,
                id: "RST004",
                what: format!("`{rustc}` does not print a version that is understood"),
                why: format!("{version}{sysroot}").trim().to_owned(),
                fix: "check what `rustc --version --verbose` prints, and reinstall the toolchain",
            })
        })
    }

    /// Parses its output: the version in several lines, and the sysroot.
    fn read(says: &str, sysroot: &str, rustc: &str, cargo: &str) -> Option<Self> {
        let release = says.lines().find_map(|line| line.strip_prefix("release: "))?;
        let (_major, rest) = release.split_once('.')?;
        let (minor, _patch) = rest.split_once('.')?;
        Some(Compiler {
            rustc: rustc.to_owned(),
            cargo: cargo.to_owned(),
            says: says.to_owned(),
            sysroot: Some(sysroot).filter(|path| path.starts_with('/'))?.into(),
            is_nightly: release.contains("nightly"),
            minor: minor.parse().ok()?,
        })
    }

    /// Its version for messages, such as `1.97.0-nightly`.
    pub(super) fn version(&self) -> &str {
        let field = self.says.lines().find_map(|line| line.strip_prefix("release: "));
        field.unwrap_or("unknown")
    }

    /// The sources of its own library, if installed.
    pub(super) fn sources(&self) -> Option<Utf8PathBuf> {
        Some(self.sysroot.join(SOURCES)).filter(|folder| are_sources(folder))
    }
}

/// Whether a folder has the library's sources.
pub(super) fn are_sources(folder: &Utf8Path) -> bool {
    folder.join("std/Cargo.toml").is_file()
}

/// Whether the compiler in PATH has the standard library of a target installed.
///
/// # Errors
/// `CMD…` for a host without `rustc`, `RUN001` when the user interrupted.
pub fn is_installed(target: &str, cancel: &Cancel) -> Result<bool> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let shell = host::shell()?;
    let command = cmd!(shell, "{rustc} --print target-libdir --target {target}");
    let output = Job::new(command, QUESTION).from_package("rustup").output(cancel)?;
    Ok(output.success && Utf8Path::new(output.stdout.trim()).is_dir())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::program) fn compiler(release: &str, sysroot: &Utf8Path) -> Compiler {
        let says = format!("rustc {release} (e50aa6fba 2026-05-19)\nbinary: rustc\nrelease: {release}\n");
        Compiler::read(&says, sysroot.as_str(), "rustc", "cargo").unwrap()
    }

    #[test]
    fn a_compiler_is_known_by_what_it_says() {
        let nightly = compiler("1.97.0-nightly", "/r/nightly".into());
        assert_eq!((nightly.minor, nightly.is_nightly, nightly.version()), (97, true, "1.97.0-nightly"));
        assert_eq!(nightly.sysroot, "/r/nightly");
        assert!(!compiler("1.95.0", "/r".into()).is_nightly);
        for (says, sysroot) in [
            ("", "/r"),
            ("rustc 1.95.0", "/r"),
            ("release: 1.95.0", ""),
            ("release: one.two.three", "/r"),
            ("release: 1.95", "/r"),
        ] {
            assert_eq!(Compiler::read(says, sysroot, "rustc", "cargo"), None, "{says}");
        }
    }

    #[test]
    fn the_compiler_that_compiled_this_is_found_and_has_its_own_target() {
        let cancel = Cancel::default();
        let compiler = Compiler::of_host(&cancel).unwrap();
        assert!(compiler.minor >= 91 && compiler.sysroot.is_dir());
        assert!(is_installed("x86_64-unknown-linux-gnu", &cancel).unwrap());
        assert!(!is_installed("mips-unknown-linux-musl", &cancel).unwrap());
        let failure = Compiler::ask("true".into(), "cargo".into(), &cancel).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("RST004", Exit::Host));
        cancel.cancel();
        assert_eq!(Compiler::nightly(&cancel).unwrap_err().id(), "RUN001");
    }

    #[test]
    fn sources_are_those_of_its_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let compiler = compiler("1.95.0", root);
        assert_eq!(compiler.sources(), None);
        std::fs::create_dir_all(root.join(SOURCES).join("std")).unwrap();
        assert_eq!(compiler.sources(), None, "an empty folder has none");
        std::fs::write(root.join(SOURCES).join("std/Cargo.toml"), "").unwrap();
        assert_eq!(compiler.sources(), Some(root.join(SOURCES)));
    }
}
