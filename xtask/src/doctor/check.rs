//! Checks the host for what is needed.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Job, cmd};
use model::{Exit, Result};
use sdk::RustTarget;
use sdk::program;

use crate::Ctx;

/// Runs pip.
const PYTHON: &str = "python3";

/// Deadline for a program to print its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to check for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A program in PATH.
    Program(&'static str),
    /// A program in PATH that prints with `--version` that it is at least major.minor.
    Version {
        /// Its name.
        program: &'static str,
        /// Major and minor.
        least: (u32, u32),
    },
    /// A key file of apt whose name begins with this.
    Keyring(&'static str),
    /// A C header, such as `ncurses.h`.
    Header(&'static str),
    /// A program in PATH that succeeds with these arguments.
    Runs {
        /// Its name.
        program: &'static str,
        /// Its arguments.
        arguments: &'static [&'static str],
    },
    /// The means to compile for a Rust target: its standard library, or its sources.
    Compiles(RustTarget),
    /// The means to link for a Rust target: the linker that comes with it, or one that pip installs.
    Links(RustTarget),
    /// The same where a release's SDK brings one.
    LinksBySdk(RustTarget),
}

impl Check {
    /// The program that it looks for.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Check::Program(program) | Check::Version { program, .. } | Check::Runs { program, .. } => Some(program),
            Check::Links(_) => Some(PYTHON),
            Check::Keyring(_) | Check::Header(_) | Check::Compiles(_) | Check::LinksBySdk(_) => None,
        }
    }
}

/// Turns a failure to ask (a host without Rust) into a missing need, so that doctor goes on.
fn or_lacking<T>(asked: Result<Result<T, String>>) -> Result<Result<T, String>> {
    match asked {
        Err(failure) if failure.exit() == Exit::Host => Ok(Err(failure.finding().what.clone())),
        asked => asked,
    }
}

/// The folders to look in.
#[derive(Debug, Clone)]
pub struct Host {
    programs: Vec<Utf8PathBuf>,
    keyrings: Vec<Utf8PathBuf>,
    headers: Vec<Utf8PathBuf>,
}

impl Host {
    /// The machine we run on.
    pub fn this() -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let cpath = std::env::var("CPATH").unwrap_or_default();
        Host {
            // Debian leaves /sbin and /usr/sbin out of a user's PATH.
            programs: path.split(':').chain(["/usr/sbin", "/sbin"]).map(Utf8PathBuf::from).collect(),
            keyrings: vec!["/usr/share/keyrings".into(), "/etc/apt/trusted.gpg.d".into()],
            // Compilers look at CPATH first.
            headers: cpath
                .split(':')
                .filter(|folder| !folder.is_empty())
                .chain(["/usr/include", "/usr/local/include"])
                .map(Utf8PathBuf::from)
                .collect(),
        }
    }

    /// A host with everything in one folder, for tests.
    pub fn at(folder: Utf8PathBuf) -> Self {
        Host { programs: vec![folder.clone()], keyrings: vec![folder.clone()], headers: vec![folder] }
    }

    /// Whether a program is there.
    pub fn has(&self, program: &str) -> bool {
        self.find(program).is_some()
    }

    /// What is there, or what is wrong with it. Fails only when interrupted.
    pub fn check(&self, ctx: &Ctx, check: Check) -> Result<Result<String, String>> {
        Ok(match check {
            Check::Program(program) => {
                self.find(program).map(Utf8PathBuf::into_string).ok_or_else(|| format!("no `{program}` in PATH"))
            }
            Check::Version { program, least } => match self.find(program) {
                Some(path) => self.version(ctx, &path, least)?,
                None => Err(format!("no `{program}` in PATH")),
            },
            Check::Keyring(prefix) => self
                .key(prefix)
                .map(Utf8PathBuf::into_string)
                .ok_or_else(|| format!("no key `{prefix}*` in /usr/share/keyrings")),
            Check::Header(name) => self
                .headers
                .iter()
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
                .map(Utf8PathBuf::into_string)
                .ok_or_else(|| format!("no `{name}` in /usr/include")),
            Check::Runs { program, arguments } => match self.find(program) {
                Some(path) => self.runs(ctx, &path, arguments)?,
                None => Err(format!("no `{program}` in PATH")),
            },
            Check::Compiles(target) => or_lacking(program::how_compiled(&target, &ctx.cancel))?,
            Check::Links(RustTarget { triple, .. }) | Check::LinksBySdk(RustTarget { triple, .. })
                if or_lacking(program::has_rust_target(triple, &ctx.cancel).map(Ok))? == Ok(true) =>
            {
                Ok(format!("comes with {triple}"))
            }
            Check::LinksBySdk(_) => Ok("the C compiler of the release's SDK".into()),
            Check::Links(_) => match self.find(PYTHON) {
                Some(path) => self.output(ctx, &path, &["-m", "pip", "--version"])?.map(|_| "zig, by pip".to_owned()),
                None => Err(format!("no `{PYTHON}` in PATH")),
            },
        })
    }

    fn version(&self, ctx: &Ctx, path: &Utf8Path, least: (u32, u32)) -> Result<Result<String, String>> {
        Ok(self.output(ctx, path, &["--version"])?.and_then(|output| {
            let version = judge(&output, least)?;
            Ok(format!("{version} at {path}"))
        }))
    }

    fn runs(&self, ctx: &Ctx, path: &Utf8Path, arguments: &[&str]) -> Result<Result<String, String>> {
        Ok(self.output(ctx, path, arguments)?.map(|_| path.to_string()))
    }

    /// The output of a program, if it succeeds.
    pub(super) fn output(&self, ctx: &Ctx, path: &Utf8Path, arguments: &[&str]) -> Result<Result<String, String>> {
        let shell = host::shell()?;
        shell.change_dir("/");
        let command = cmd!(shell, "{path} {arguments...}");
        let shown = command.to_string();
        let ended = Job::new(command, PATIENCE).output(&ctx.cancel);
        ctx.cancel.check()?;
        Ok(match ended {
            Ok(output) if output.success => Ok(output.stdout + &output.stderr),
            Ok(output) => Err(format!("`{shown}` failed: {}", output.last_words())),
            Err(failure) => Err(failure.finding().why.clone()),
        })
    }

    pub(super) fn find(&self, program: &str) -> Option<Utf8PathBuf> {
        self.programs.iter().map(|folder| folder.join(program)).find(|path| {
            std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    }

    fn key(&self, prefix: &str) -> Option<Utf8PathBuf> {
        let entries = self.keyrings.iter().filter_map(|folder| folder.read_dir_utf8().ok());
        entries.flatten().flatten().find(|entry| entry.file_name().starts_with(prefix)).map(|entry| entry.into_path())
    }
}

/// Checks the first word of the output that looks like a version against `least`.
fn judge(output: &str, least: (u32, u32)) -> Result<String, String> {
    let version = output.split_whitespace().find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    match version {
        Some(found) if found >= least => Ok(format!("{}.{}", found.0, found.1)),
        Some(found) => Err(format!("version {}.{} is older than {}.{}", found.0, found.1, least.0, least.1)),
        None => Err(format!("its version was not understood: {}", output.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::{Events, Exit};

    #[test]
    fn versions_are_read_from_what_programs_print() {
        for (output, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003", Ok("7.2")),
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", Ok("10.0")),
            ("QEMU emulator version 5.2.0", Err("version 5.2 is older than 7.2")),
            ("QEMU emulator version 7.1.0", Err("version 7.1 is older than 7.2")),
            ("segmentation fault", Err("its version was not understood: segmentation fault")),
            ("", Err("its version was not understood: ")),
        ] {
            assert_eq!(judge(output, (7, 2)), expected.map(Into::into).map_err(Into::into));
        }
    }

    #[test]
    fn programs_versions_and_keys_are_looked_for_where_the_host_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let host = Host::at(root.to_owned());
        let check = |check| host.check(&ctx, check).unwrap();
        // GNU echo prints its own version, which has been 8 or later for many years.
        let echo = |least| Check::Version { program: "echo", least };
        assert!(check(echo((8, 0))).is_err());
        std::os::unix::fs::symlink("/bin/env", root.join("echo")).unwrap();
        assert!(check(echo((8, 0))).unwrap().ends_with("/echo"));
        assert!(check(echo((9999, 0))).unwrap_err().contains("older than 9999.0"));
        std::os::unix::fs::symlink("/bin/false", root.join("broken")).unwrap();
        assert!(check(Check::Version { program: "broken", least: (1, 0) }).unwrap_err().contains("failed"));

        std::fs::write(root.join("not-executable"), "").unwrap();
        assert!(check(Check::Program("not-executable")).is_err() && check(Check::Program("echo")).is_ok());
        assert!(check(Check::Keyring("debian-archive-trixie")).is_err());
        std::fs::write(root.join("debian-archive-trixie-stable.gpg"), "").unwrap();
        assert!(check(Check::Keyring("debian-archive-trixie")).is_ok());
        assert!(check(Check::Header("ncurses.h")).unwrap_err().contains("ncurses.h"));
        std::fs::write(root.join("ncurses.h"), "").unwrap();
        assert!(check(Check::Header("ncurses.h")).is_ok());
        let runs = |program| Check::Runs { program, arguments: &["true"] };
        assert!(check(runs("echo")).is_ok(), "the link leads to env, which runs `true`");
        assert!(check(runs("broken")).unwrap_err().contains("`") && check(runs("absent")).is_err());
        ctx.cancel.cancel();
        assert_eq!(host.check(&ctx, echo((8, 0))).unwrap_err().exit(), Exit::Interrupted);
    }
}
