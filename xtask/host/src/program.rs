//! Runs the host's programs: words in, output out, a deadline, and no child that outlives us.
//!
//! `xshell` only writes the words of short commands ([`cmd!`](crate::cmd)). It has neither deadlines nor interrupts, so
//! `duct` runs all commands, in the one way that is here.
//!
//! The kernel ends a child when the thread that started it ends, also on `kill -9` of this process; but not the child's
//! own children. So a job with descendants, such as `make`, runs as a family: a process group of its own that is ended
//! in every case: when its first process ends, on an interrupt, at a deadline, and, when we are killed, by a guard that
//! reads from a pipe which only we hold open. SIGTERM to the first `make` alone leaves orphans that go on writing; two
//! of them in one tree were seen to spin for ten minutes.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Exit, Failure, Problem, Result, tied_to_parent};
use rustix::process::{Pid, Signal, kill_process_group};
use xshell::Shell;

use crate::standstill::Standstill;

/// How often a wait looks at its deadline and at an interrupt.
const LOOK: Duration = Duration::from_millis(50);

/// How long the output of an ended program may take to arrive, and a killed program to be gone.
const GRACE: Duration = Duration::from_secs(5);

/// Lines of output kept for messages.
const TAIL: usize = 40;

/// How many of them explain why a short command failed.
const LAST_WORDS: usize = 12;

/// Starts a family's first process, and a guard beside it. The guard's `cat` ends when our end of the pipe is closed,
/// whatever happened to us; then it kills the whole group, itself included.
const GUARD: &str = r#"
[ -z "$1" ] || umask "$1"
shift
exec 3<&0 </dev/null
{ cat <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
"$@"
"#;

/// The shell for which [`cmd!`](crate::cmd) writes commands. They run in our current folder; `change_dir` and `set_var`
/// affect the commands of this shell alone.
///
/// # Errors
/// `IO001` when the current folder is gone.
pub fn shell() -> Result<Shell> {
    Shell::new().map_err(|error| Failure::io("find the current folder", ".", &io::Error::other(error)))
}

/// A program to be run to its end.
#[derive(Debug)]
pub struct Job<'a> {
    command: Command,
    limit: Duration,
    late: Exit,
    package: Option<&'a str>,
    environment: Option<Vec<(String, String)>>,
    is_family: bool,
    umask: &'a str,
    standstill: Option<(Duration, Vec<Utf8PathBuf>)>,
}

/// How a program ended, and its last lines of output.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The last lines of its output: stdout and stderr in the order in which they came.
    pub tail: VecDeque<String>,
}

impl Ended {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// The kept output as one text.
    pub fn output(&self) -> String {
        Vec::from(self.tail.clone()).join("\n")
    }
}

/// The output of a finished program; whether it succeeded is for the caller to judge.
#[derive(Debug, Default)]
pub struct Output {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// The last lines that are not empty, for a message.
    pub fn last_words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

impl<'a> Job<'a> {
    /// A command of a [`shell()`], or a [`Command`], that may run for `limit`.
    pub fn new(command: impl Into<Command>, limit: Duration) -> Self {
        Job {
            command: command.into(),
            limit,
            late: Exit::Blocked,
            package: None,
            environment: None,
            is_family: false,
            umask: "",
            standstill: None,
        }
    }

    /// A program and its arguments, run in `folder`.
    pub fn of_words<W: AsRef<OsStr>>(words: &[W], folder: &Utf8Path, limit: Duration) -> Self {
        let mut command = Command::new(words.first().map(AsRef::as_ref).unwrap_or_default());
        command.args(words.iter().skip(1)).current_dir(folder);
        Job::new(command, limit)
    }

    /// Names the Debian package that brings the program, for the message that it is missing.
    #[must_use]
    pub fn from_package(mut self, package: &'a str) -> Self {
        self.package = Some(package);
        self
    }

    /// A missed deadline is blamed on the network: it ends with exit code 4 (upstream).
    #[must_use]
    pub fn over_network(mut self) -> Self {
        self.late = Exit::Upstream;
        self
    }

    /// Sets all of its environment: it sees nothing of the user's.
    #[must_use]
    pub fn only_with(mut self, variables: Vec<(String, String)>) -> Self {
        self.environment = Some(variables);
        self
    }

    /// It starts other programs, which are ended with it.
    #[must_use]
    pub fn family(mut self) -> Self {
        self.is_family = true;
        self
    }

    /// A family that runs with this umask in place of the user's, such as `022`.
    #[must_use]
    pub fn family_with_umask(mut self, umask: &'a str) -> Self {
        self.umask = umask;
        self.family()
    }

    /// Ends it when it prints nothing and changes nothing in `folders` for this long.
    #[must_use]
    pub fn standstill(mut self, limit: Duration, writes_to: Vec<Utf8PathBuf>) -> Self {
        self.standstill = Some((limit, writes_to));
        self
    }

    /// Runs it and returns what it printed. The locale is fixed, because programs parse the output.
    ///
    /// # Errors
    /// As [`Job::lines`].
    pub fn output(mut self, cancel: &Cancel) -> Result<Output> {
        self.command.env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = self.run(Streams::Apart, cancel, |stream, bytes| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output { success: code == Some(0), stdout: text(&stdout), stderr: text(&stderr) })
    }

    /// Runs it and hands every line of its output to `each`, stdout and stderr in the order in which they come. A
    /// program that fails is no error here: look at [`Ended`].
    ///
    /// # Errors
    /// `CMD001` it is not installed, `CMD002` it missed its deadline, `CMD003` it could not be started, `CMD004` it
    /// stood still, `RUN001` the user interrupted.
    pub fn lines(self, cancel: &Cancel, mut each: impl FnMut(&str)) -> Result<Ended> {
        let mut tail = VecDeque::new();
        let code = self.run(Streams::Together, cancel, |_, bytes| {
            let line = plain(bytes);
            each(&line);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        })?;
        Ok(Ended { code, tail })
    }

    fn run(&self, streams: Streams, cancel: &Cancel, mut each: impl FnMut(Stream, &[u8])) -> Result<Option<i32>> {
        cancel.check()?;
        if let Some(package) = self.package
            && find_program(self.command.get_program()).is_none()
        {
            return Err(self.missing(package));
        }
        let (child, pieces) = self.start(streams).map_err(|error| self.not_started(&error))?;
        let deadline = Deadline::after(self.limit);
        let mut still = self.standstill.as_ref().map(|(limit, writes_to)| Standstill::new(*limit, writes_to));
        let mut last = Vec::new();
        let mut ended: Option<(Option<i32>, Deadline)> = None;
        loop {
            match pieces.recv_timeout(LOOK) {
                Ok((stream, bytes)) => {
                    if let Some(still) = &mut still {
                        still.moved();
                    }
                    each(stream, &bytes);
                    last = bytes;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            cancel.check()?;
            match ended {
                // Children that it left behind are ended, which also closes the output.
                None => {
                    ended = child.ended().map(|status| {
                        child.end_family();
                        (status.code(), Deadline::after(GRACE))
                    });
                }
                Some((_, grace)) if grace.passed() => break,
                Some(_) => continue,
            }
            if let Some(still) = &mut still
                && still.too_long()
            {
                return Err(self.stands_still(still.limit, &plain(&last)));
            }
            if deadline.passed() {
                return Err(self.too_slow(&plain(&last)));
            }
        }
        // A program may close its output and go on.
        while ended.is_none() {
            if let Some(status) = child.wait(Deadline::after(LOOK)) {
                return Ok(status.code());
            }
            cancel.check()?;
            if deadline.passed() {
                return Err(self.too_slow(&plain(&last)));
            }
        }
        Ok(ended.and_then(|(code, _)| code))
    }

    /// Starts it, with a thread to read each stream of its output.
    fn start(&self, streams: Streams) -> io::Result<(Child, Receiver<Piece>)> {
        let (sender, pieces) = mpsc::channel();
        let (from_stdout, stdout) = io::pipe()?;
        let (from_stderr, stderr) = match streams {
            Streams::Together => (None, stdout.try_clone()?),
            Streams::Apart => io::pipe().map(|(reader, writer)| (Some(reader), writer))?,
        };
        let surroundings =
            Surroundings { environment: self.environment.as_deref(), family: self.is_family.then_some(self.umask) };
        let child = Child::begin(&self.command, &surroundings, None, stdout.into(), stderr.into())?;
        if let Some(reader) = from_stderr {
            read(reader, Stream::Stderr, sender.clone());
        }
        read(from_stdout, Stream::Stdout, sender);
        Ok((child, pieces))
    }

    /// Its command line, for messages.
    fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }

    fn missing(&self, package: &str) -> Failure {
        Failure::of(Problem {
            exit: Exit::Host,
            id: "CMD001",
            what: format!("`{}` is not installed", self.command.get_program().to_string_lossy()),
            why: "it is not in any directory of PATH",
            fix: format!("apt-get install {package}"),
        })
    }

    fn too_slow(&self, last: &str) -> Failure {
        Failure::of(Problem {
            exit: self.late,
            id: "CMD002",
            what: format!("`{}` did not end within {} s", self.shown(), self.limit.as_secs_f32()),
            why: format!(
                "it waits for something that does not come, or this machine is very busy; {}",
                last_words(last)
            ),
            fix: "run the same command again, with -v to see its output; if it happens twice, run the program by hand",
        })
    }

    fn not_started(&self, error: &io::Error) -> Failure {
        Failure::of(Problem {
            exit: Exit::Host,
            id: "CMD003",
            what: format!("`{}` could not be run", self.shown()),
            why: format!("{error}; children are started through `setpriv` and `sh`, so that they end with us"),
            fix: "apt-get install util-linux dash, and check that this user may start processes",
        })
    }

    fn stands_still(&self, limit: Duration, last: &str) -> Failure {
        Failure::of(Problem {
            exit: Exit::Blocked,
            id: "CMD004",
            what: format!("`{}` stood still for {} s and was ended", self.shown(), limit.as_secs_f32()),
            why: format!("it wrote neither output nor files; {}", last_words(last)),
            fix: "run the same command again; if it stands still twice, remove what it works on with `cargo xtask clean`",
        })
    }
}

/// Whether stdout and stderr are read as one stream.
#[derive(Clone, Copy)]
enum Streams {
    Together,
    Apart,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// A line of output with its end.
type Piece = (Stream, Vec<u8>);

/// Sends each line that arrives, until the other end is closed.
fn read(pipe: PipeReader, stream: Stream, sender: Sender<Piece>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
            if sender.send((stream, std::mem::take(&mut bytes))).is_err() {
                break;
            }
        }
    });
}

/// The environment and process group that a command is started in.
#[derive(Default)]
struct Surroundings<'a> {
    /// All variables that it sees; with `None` it sees ours and those set on the command.
    environment: Option<&'a [(String, String)]>,
    /// The umask of a family; `None` when it is not a family.
    family: Option<&'a str>,
}

/// A running program. It is killed when dropped, and when we die, also by `kill -9`.
///
/// The kernel ends the child together with the *thread* that started it: start it from a thread that lives as long.
pub struct Child {
    handle: duct::Handle,
    family: Option<Family>,
}

struct Family {
    group: Option<Pid>,
    /// Our end of the pipe that the guard reads from.
    held_open: Option<io::PipeWriter>,
}

impl Child {
    /// Starts a command that reads `input`, or nothing, and prints to `output`.
    pub fn start(command: &Command, input: Option<OwnedFd>, output: OwnedFd) -> io::Result<Self> {
        let stderr = output.try_clone()?;
        Child::begin(command, &Surroundings::default(), input, output, stderr)
    }

    fn begin(
        command: &Command,
        surroundings: &Surroundings<'_>,
        input: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> io::Result<Self> {
        let [wrapper, rest @ ..] = tied_to_parent();
        let mut words: Vec<OsString> = rest.iter().map(OsString::from).collect();
        let mut input = input;
        let mut held_open = None;
        if let Some(umask) = surroundings.family {
            let (guard, ours) = io::pipe()?;
            words.extend(["sh", "-c", GUARD, "sh", umask].map(OsString::from));
            input = Some(guard.into());
            held_open = Some(ours);
        }
        words.push(command.get_program().to_owned());
        words.extend(command.get_args().map(OsStr::to_owned));
        let mut expression = duct::cmd(wrapper, words).stdout_file(stdout).stderr_file(stderr).unchecked();
        expression = match input {
            Some(input) => expression.stdin_file(input),
            None => expression.stdin_null(),
        };
        if let Some(folder) = command.get_current_dir() {
            expression = expression.dir(folder);
        }
        for (name, value) in command.get_envs() {
            expression = match value {
                Some(value) => expression.env(name, value),
                None => expression.env_remove(name),
            };
        }
        // duct applies what is set last first, so the command's own variables come on top.
        if let Some(variables) = surroundings.environment {
            expression = expression.full_env(variables.iter().cloned());
        }
        if surroundings.family.is_some() {
            expression = expression.before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        }
        let handle = expression.start()?;
        let family = surroundings.family.map(|_umask| {
            let group = handle.pids().first().and_then(|&id| Pid::from_raw(i32::try_from(id).ok()?));
            Family { group, held_open }
        });
        Ok(Child { handle, family })
    }

    /// Its exit status, once it ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.handle.try_wait().ok().flatten().map(|output| output.status)
    }

    /// Waits for its end; `None` when it still runs at the deadline.
    pub fn wait(&self, deadline: Deadline) -> Option<ExitStatus> {
        self.handle.wait_deadline(deadline.at).ok().flatten().map(|output| output.status)
    }

    /// The process id, for messages.
    pub fn id(&self) -> Option<u32> {
        self.handle.pids().first().copied()
    }

    fn end_family(&self) {
        if let Some(group) = self.family.as_ref().and_then(|family| family.group) {
            let _already_gone = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Once the first process is reaped, its id may belong to another process; the guard ends the rest.
        if self.ended().is_none() {
            self.end_family();
            let _already_gone = self.handle.kill();
        }
        if let Some(family) = &mut self.family {
            family.held_open = None;
        }
        let _reaped = self.wait(Deadline::after(GRACE));
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.id().unwrap_or_default())
    }
}

/// The path of a program: looked up in PATH, unless it is a path already.
pub fn find_program(program: impl AsRef<OsStr>) -> Option<Utf8PathBuf> {
    let program = Utf8Path::from_path(std::path::Path::new(program.as_ref()))?;
    if program.as_str().contains('/') {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|folder| Utf8Path::new(folder).join(program)).find(|file| file.is_file())
}

/// A line without its newline and without the terminal's escape sequences, which some programs write into files as
/// well.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        if rest.next_if_eq(&'[').is_some() {
            // Skips parameters, then one letter; `ESC [ M` is all that OpenWrt's scripts/feeds writes.
            while rest.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
            rest.next_if(char::is_ascii_alphabetic);
        }
    }
    plain.trim_end().to_owned()
}

fn last_words(last: &str) -> String {
    if last.is_empty() { "it said nothing".into() } else { format!("its last line: {last}") }
}

#[cfg(test)]
mod tests;
