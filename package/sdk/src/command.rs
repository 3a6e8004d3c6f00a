//! Short host commands: captured output, a deadline, and an end together with us.
//!
//! Words go to the process, never a shell string. The locale is fixed, because messages are read.

use std::time::Duration;

use camino::Utf8Path;
use model::{Cancel, Deadline, Exit, Failure, Result, tied_to_parent};

/// How often a wait looks at the user's interrupt.
const LOOK: Duration = Duration::from_millis(50);

/// How long a killed child may take to be gone.
const GRACE: Duration = Duration::from_secs(2);

/// One call of a host program.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// The Debian package that brings the program.
    pub(crate) package: &'a str,
    /// Where it runs; `None`: where we run.
    pub(crate) directory: Option<&'a Utf8Path>,
    /// Variables set on top of ours.
    pub(crate) variables: Vec<(&'a str, String)>,
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// What a program left behind; whether it succeeded is the caller's to judge.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether it ended with exit code 0.
    pub(crate) success: bool,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Output {
    /// The last lines that say something, for a message.
    pub(crate) fn last_words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// Kills a child that nobody waits for any more.
struct KilledOnDrop(duct::Handle);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _already_gone = self.0.kill();
            let _reaped = self.0.wait_timeout(GRACE);
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// `CMD001` the program is not installed, `CMD002` it did not end in time, `CMD003` it could not be
/// started, `RUN001` the user interrupted.
pub(crate) fn run(command: &Command<'_>, cancel: &Cancel) -> Result<Output> {
    cancel.check()?;
    let program = command.words.first().map(String::as_str).unwrap_or_default();
    if !is_installed(program) {
        return Err(missing(program, command.package));
    }
    let [wrapper, rest @ ..] = tied_to_parent();
    let arguments = rest.iter().map(|word| (*word).to_owned()).chain(command.words.iter().cloned());
    let mut expression = duct::cmd(wrapper, arguments).env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
    for (name, value) in &command.variables {
        expression = expression.env(name, value);
    }
    if let Some(directory) = command.directory {
        expression = expression.dir(directory);
    }
    let started = expression.stdin_null().stdout_capture().stderr_capture().unchecked().start();
    let child = KilledOnDrop(started.map_err(|error| not_started(program, &error))?);
    let deadline = Deadline::after(command.limit);
    loop {
        if let Some(output) = child.0.wait_timeout(LOOK).map_err(|error| not_started(program, &error))? {
            return Ok(Output {
                success: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        cancel.check()?;
        if deadline.passed() {
            return Err(Failure::new(
                Exit::Upstream,
                "CMD002",
                format!("`{program}` did not end within {} s", deadline.after.as_secs()),
                "it waits for something that does not come, or this machine is very busy",
                "run the same command again; if it happens twice, run the program by hand to see where it stands",
            )
            .at(command.words.join(" ")));
        }
    }
}

/// Whether a program is in PATH, or is a path of its own.
fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Utf8Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn missing(program: &str, package: &str) -> Failure {
    Failure::new(
        Exit::Host,
        "CMD001",
        format!("`{program}` is not installed"),
        "it is not in any directory of PATH",
        format!("apt-get install {package}"),
    )
}

fn not_started(program: &str, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Host,
        "CMD003",
        format!("`{program}` could not be run"),
        format!("{error}; children are started through `setpriv`, so that they end with us"),
        "apt-get install util-linux, and check that this user may start processes",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn command(words: &[&str], limit: Duration) -> Command<'static> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Command { words, package: "some-package", directory: None, variables: vec![("COLOUR", "red".into())], limit }
    }

    #[test]
    fn output_and_exit_code_come_back() {
        let script = "echo $COLOUR; echo oops >&2; exit 3";
        let output = run(&command(&["sh", "-c", script], Duration::from_secs(10)), &Cancel::default()).unwrap();
        assert!(!output.success);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("red\n", "oops\n"));
        assert_eq!(output.last_words(), "oops");
    }

    #[test]
    fn a_program_that_is_missing_names_its_package() {
        for program in ["no-such-program", "/no/such/program"] {
            let failure = run(&command(&[program], Duration::from_secs(10)), &Cancel::default()).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("CMD001", Exit::Host));
            assert!(failure.to_string().contains("apt-get install some-package"));
        }
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_its_deadline() {
        let start = Instant::now();
        let failure = run(&command(&["sleep", "60"], Duration::from_millis(200)), &Cancel::default()).unwrap_err();
        assert_eq!(failure.id(), "CMD002");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_place_that_is_gone_is_no_bare_error() {
        let mut gone = command(&["true"], Duration::from_secs(10));
        gone.directory = Some(Utf8Path::new("/no/such/directory"));
        assert_eq!(run(&gone, &Cancel::default()).unwrap_err().id(), "CMD003");
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| run(&command(&["sleep", "60"], Duration::from_secs(60)), &cancel));
            cancel.cancel();
            assert_eq!(waiting.join().unwrap().unwrap_err().id(), "RUN001");
        });
    }
}
