//! The QEMU process: found, checked, tied to us, and never left behind.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Child, Job, Output, cmd};
use model::{Cancel, Deadline, Exit, Failure, Problem, Result};

use crate::machine::Emulator;

/// Printing a version takes milliseconds; a program that needs longer is not QEMU.
const VERSION_WAIT: Duration = Duration::from_secs(10);

/// Bytes of QEMU's own messages that a failure shows.
const LAST_WORDS: usize = 2000;

/// A QEMU that is installed and new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// Program name or path.
    pub binary: String,
    /// Such as `7.2.22`.
    pub version: String,
}

impl Qemu {
    /// Asks the emulator for its version and compares it with the minimum.
    pub fn find(emulator: &Emulator) -> Result<Qemu> {
        let binary = &emulator.binary;
        if host::find_program(binary).is_none() {
            return Err(Failure::of(Problem {
                exit: Exit::Host,
                id: "VM002",
                what: format!("{binary} is not installed"),
                why: "the router runs in QEMU, and no program of that name is in PATH",
                fix: install_line(emulator),
            }));
        }
        let shell = host::shell()?;
        let output = Job::new(cmd!(shell, "{binary} --version"), VERSION_WAIT).output(&Cancel::default());
        let output = output.map_err(|failure| unreadable(emulator, &failure.finding().why))?;
        Qemu::judge(emulator, &output)
    }

    /// Reads what `--version` printed.
    fn judge(emulator: &Emulator, output: &Output) -> Result<Qemu> {
        let Some(version) = version_in(&output.stdout).filter(|_| output.success) else {
            let said = [output.stdout.trim(), output.stderr.trim()].join(" ");
            return Err(unreadable(emulator, &said));
        };
        if numbers(&version) < numbers(&emulator.minimum) {
            return Err(Failure::of(Problem {
                exit: Exit::Host,
                id: "VM003",
                what: format!("QEMU {version} is too old"),
                why: format!("network frames over a unix socket need QEMU {} or newer", emulator.minimum),
                fix: format!("install a newer one (Debian 12 and later have it): {}", install_line(emulator)),
            }));
        }
        Ok(Qemu { binary: emulator.binary.clone(), version })
    }
}

fn install_line(emulator: &Emulator) -> String {
    format!("sudo apt-get install -y --no-install-recommends {}", emulator.package)
}

fn unreadable(emulator: &Emulator, said: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "VM004",
        what: format!("`{} --version` does not name a version", emulator.binary),
        why: format!("it said: {}", said.trim()),
        fix: format!("check that it is QEMU and starts at all, or install it again: {}", install_line(emulator)),
    })
}

fn cannot_start(program: &str, error: &std::io::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "VM005",
        what: "QEMU cannot be started",
        why: format!("{program}: {error}"),
        fix: "QEMU is started through setpriv, which ends it together with us: sudo apt-get install -y util-linux",
    })
}

/// The version in `QEMU emulator version 7.2.22 (Debian …)`.
fn version_in(text: &str) -> Option<String> {
    let after = text.split("QEMU emulator version ").nth(1)?;
    let version: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!numbers(&version).is_empty()).then_some(version)
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// A running QEMU. Dropping it kills it; so does our own death, by `kill -9` too.
///
/// The kernel ends the child together with the *thread* that started it: start it from a thread
/// that lives as long as the guest.
#[derive(Debug)]
pub struct Process {
    child: Child,
    messages: Utf8PathBuf,
}

impl Process {
    /// Starts `binary` with `arguments`; it reads `input`, and what it prints goes to the file `messages`.
    pub fn start(binary: &str, arguments: &[String], input: Option<File>, messages: &Utf8Path) -> Result<Process> {
        let file =
            File::create(messages).map_err(|error| Failure::io("write QEMU's messages to a file", messages, &error))?;
        let child = Child::start(Command::new(binary).args(arguments), input.map(File::into), file.into())
            .map_err(|error| cannot_start(binary, &error))?;
        Ok(Process { child, messages: messages.to_owned() })
    }

    /// How it ended, when it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.ended()
    }

    /// Waits for its end; `None` when it still runs at the deadline.
    pub fn wait(&self, deadline: Deadline) -> Option<ExitStatus> {
        self.child.wait(deadline)
    }

    /// What it printed last, and how it ended, for messages.
    pub fn last_words(&self) -> String {
        let printed = std::fs::read(&self.messages).unwrap_or_default();
        let tail = String::from_utf8_lossy(&printed[printed.len().saturating_sub(LAST_WORDS)..]).trim().to_owned();
        let end = match self.ended() {
            None => "QEMU still runs".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("QEMU ended with exit code {code}"),
                (None, Some(signal)) => format!("QEMU was ended by signal {signal}"),
                (None, None) => "QEMU ended".to_owned(),
            },
        };
        if tail.is_empty() { format!("{end} and printed nothing") } else { format!("{end} and printed:\n{tail}") }
    }

    /// The process id, for tests and messages.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(binary: &str) -> Emulator {
        Emulator { binary: binary.into(), package: "qemu-system-x86".into(), minimum: "7.2".into() }
    }

    /// Judges a program that printed this and ended with this code.
    fn judge(printed: &str, code: i32) -> Result<Qemu> {
        Qemu::judge(&emulator("qemu"), &Output { success: code == 0, stdout: printed.into(), stderr: String::new() })
    }

    #[test]
    fn the_version_is_read_and_compared_by_number() {
        for version in ["7.2.22", "7.2", "10.0.2"] {
            let qemu = judge(&format!("QEMU emulator version {version} (Debian 1:{version})\n"), 0).unwrap();
            assert_eq!(qemu.version, version);
        }
        for version in ["7.1.9", "6.12", "2.11.1"] {
            let failure = judge(&format!("QEMU emulator version {version}\n"), 0).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("VM003", Exit::Host));
            assert!(failure.finding().what.contains(version) && failure.finding().why.contains("7.2"));
        }
    }

    #[test]
    fn a_missing_qemu_comes_with_the_line_that_installs_it() {
        let failure = Qemu::find(&emulator("/no/qemu")).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM002", Exit::Host));
        assert!(failure.finding().fix.contains("apt-get install") && failure.finding().fix.contains("qemu-system-x86"));
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused() {
        for (printed, code) in [("hello", 0), ("", 3), ("version x", 0), ("QEMU emulator version 9.0", 1)] {
            assert_eq!(judge(printed, code).unwrap_err().id(), "VM004", "{printed}");
        }
        assert_eq!(Qemu::find(&emulator("true")).unwrap_err().id(), "VM004");
    }

    /// A process that runs these shell lines in place of QEMU.
    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let dir = tempfile::tempdir().unwrap();
        let messages = Utf8PathBuf::from_path_buf(dir.path().join("messages")).unwrap();
        let process = Process::start("sh", &["-c".into(), script.into()], None, &messages).unwrap();
        (dir, process)
    }

    #[test]
    fn the_last_words_are_kept_and_an_early_end_is_seen() {
        let (_dir, process) = shell("echo 'could not open the kernel' >&2; exit 1");
        assert_eq!(process.wait(Deadline::after(VERSION_WAIT)).unwrap().code(), Some(1));
        let words = process.last_words();
        assert!(words.contains("exit code 1") && words.contains("could not open the kernel"), "{words}");
    }

    #[test]
    fn dropping_kills() {
        let (_dir, process) = shell("exec sleep 600");
        let entry = format!("/proc/{}", process.id().unwrap());
        assert!(std::fs::exists(&entry).unwrap() && process.ended().is_none());
        drop(process);
        assert!(!std::fs::exists(&entry).unwrap());
    }

    #[test]
    fn what_keeps_qemu_from_starting_is_named() {
        let failure = Process::start("true", &[], None, "/no/such/dir/messages".into()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("IO004", Exit::Host));
        let failure = cannot_start("setpriv", &std::io::ErrorKind::NotFound.into());
        assert_eq!((failure.id(), failure.exit()), ("VM005", Exit::Host));
        assert!(failure.finding().fix.contains("util-linux"));
    }
}
