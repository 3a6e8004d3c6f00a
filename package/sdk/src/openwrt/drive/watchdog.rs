//! A long child with many descendants: ended as a whole, and never waited for in vain.
//!
//! `make` starts makes. SIGTERM to the first leaves the others as orphans that go on writing, and two of
//! them in one tree were seen to spin for ten minutes. So a job runs in a process group of its own, which
//! ends on every way out: when its first process ends, on an interrupt, when it stands still, and, by a
//! guard that reads from a pipe which only we hold open, when we are killed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Exit, Failure, Result, tied_to_parent};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a wait for output looks at the deadlines and at an interrupt.
const LOOK: Duration = Duration::from_millis(50);

/// How long the output of an ended job may take to arrive.
const GRACE: Duration = Duration::from_secs(5);

/// How often a silent job's files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(2);

/// The job's first process. OpenWrt's prerequisite check demands this umask. The guard's `cat` ends when
/// our end of the pipe is closed, whatever became of us; then the whole group goes, guard included.
const GUARD: &str = r#"
umask 022
exec 3<&0 </dev/null
{ cat <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
"$@"
"#;

/// How long a job may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Without a line of output and without a change of the files that it works on.
    pub standstill: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Patience {
    /// Packing a kernel's modules is silent for minutes on a busy machine, but it writes files.
    fn default() -> Self {
        Patience { standstill: Duration::from_secs(300), total: Duration::from_secs(7200) }
    }
}

/// A program and its surroundings.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// Where it runs.
    pub(super) directory: &'a Utf8Path,
    /// All variables that it sees: nothing of the user's environment leaks in.
    pub(super) variables: Vec<(String, String)>,
    /// Folders in which it writes while it is silent.
    pub(super) writes_to: Vec<Utf8PathBuf>,
    /// How long it may take.
    pub(super) patience: Patience,
}

/// How a job ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
}

/// Runs a job to its end and hands every line of its output to `each`. A job that fails is no error
/// here: look at [`Ended`].
///
/// # Errors
/// `SDK001` it stood still, `SDK002` it took too long, `SDK003` it could not be started, `RUN001` the
/// user interrupted.
pub(super) fn run(job: &Job<'_>, cancel: &Cancel, mut each: impl FnMut(&str)) -> Result<Ended> {
    cancel.check()?;
    let group = Group::start(job)?;
    let lines = group.lines();
    let deadline = Deadline::after(job.patience.total);
    let mut still = Standstill::new(job);
    let mut last = String::new();
    let mut ended: Option<(Option<i32>, Deadline)> = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                still.moved();
                each(&line);
                last = line;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        cancel.check()?;
        match ended {
            // What it left behind is ended, and with it the output.
            None => {
                ended = group.code().map(|code| {
                    group.kill();
                    (code, Deadline::after(GRACE))
                });
            }
            Some((_, grace)) if grace.passed() => break,
            Some(_) => continue,
        }
        if still.too_long() {
            return Err(stands_still(job, &last));
        }
        if deadline.passed() {
            return Err(too_slow(job, &last));
        }
    }
    let code = ended.map_or_else(|| group.wait(), |(code, _)| code);
    Ok(Ended { code })
}

/// The job's process group; killed on drop.
struct Group {
    child: Arc<duct::ReaderHandle>,
    id: Option<Pid>,
    /// Our end of the pipe that the guard reads from.
    held_open: Option<std::io::PipeWriter>,
}

impl Group {
    fn start(job: &Job<'_>) -> Result<Self> {
        let refused = |error: std::io::Error| not_started(job, &error);
        let (guard, held_open) = std::io::pipe().map_err(refused)?;
        let [wrapper, rest @ ..] = tied_to_parent();
        let words = rest.into_iter().chain(["sh", "-c", GUARD, "sh"]).map(str::to_owned).chain(job.words.clone());
        let child = duct::cmd(wrapper, words)
            .dir(job.directory)
            .full_env(job.variables.iter().cloned())
            .stdin_file(guard)
            .stderr_to_stdout()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .unchecked()
            .reader()
            .map_err(refused)?;
        let id = child.pids().first().and_then(|&id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Group { child: Arc::new(child), id, held_open: Some(held_open) })
    }

    /// The exit code, once the first process has ended.
    fn code(&self) -> Option<Option<i32>> {
        self.child.try_wait().ok().flatten().map(|output| output.status.code())
    }

    /// The exit code of a job whose output has ended.
    fn wait(&self) -> Option<i32> {
        let deadline = Deadline::after(GRACE);
        while !deadline.passed() {
            if let Some(code) = self.code() {
                return code;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn kill(&self) {
        if let Some(id) = self.id {
            let _already_gone = kill_process_group(id, Signal::KILL);
        }
    }

    /// A job may be silent for long, so a thread waits for its lines.
    fn lines(&self) -> Receiver<String> {
        let (sender, lines) = mpsc::channel();
        let child = self.child.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(&*child);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                if sender.send(plain(&bytes)).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        lines
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once the first process is reaped, its number may be another's; the guard ends the rest.
        if self.code().is_none() {
            self.kill();
        }
        self.held_open = None;
        let _reaped = self.wait();
    }
}

/// A line without the terminal's escape sequences, which OpenWrt's scripts write into files as well.
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
            // Parameters, then one letter; `ESC [ M` is all that scripts/feeds writes.
            while rest.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
            rest.next_if(char::is_ascii_alphabetic);
        }
    }
    plain.trim_end().to_owned()
}

/// Watches a job for signs of life.
struct Standstill<'a> {
    job: &'a Job<'a>,
    since: Instant,
    looked: Instant,
    newest: Duration,
}

impl<'a> Standstill<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        Standstill { job, since: Instant::now(), looked: Instant::now(), newest: newest_change(&job.writes_to) }
    }

    fn moved(&mut self) {
        self.since = Instant::now();
    }

    fn too_long(&mut self) -> bool {
        let limit = self.job.patience.standstill;
        if self.since.elapsed() < LOOK_AT_FILES.min(limit) || self.looked.elapsed() < LOOK_AT_FILES.min(limit) {
            return false;
        }
        self.looked = Instant::now();
        let newest = newest_change(&self.job.writes_to);
        if newest != self.newest {
            self.newest = newest;
            self.moved();
        }
        self.since.elapsed() >= limit
    }
}

/// When something in these folders, or in the folders in them, was changed last.
fn newest_change(folders: &[Utf8PathBuf]) -> Duration {
    fn newest(folder: &Utf8Path, depth: usize) -> Duration {
        let changed = |path: &Utf8Path| {
            let time = path.symlink_metadata().and_then(|meta| meta.modified()).ok()?;
            time.duration_since(std::time::UNIX_EPOCH).ok()
        };
        let below = folder.read_dir_utf8().into_iter().flatten().flatten().map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth > 0 {
                newest(entry.path(), depth - 1)
            } else {
                changed(entry.path()).unwrap_or_default()
            }
        });
        below.max().max(changed(folder)).unwrap_or_default()
    }
    folders.iter().map(|folder| newest(folder, 2)).max().unwrap_or_default()
}

fn last_words(last: &str) -> String {
    if last.is_empty() { "it said nothing".into() } else { format!("its last line: {last}") }
}

fn stands_still(job: &Job<'_>, last: &str) -> Failure {
    Failure::new(
        Exit::Blocked,
        "SDK001",
        format!("`{}` stood still for {} s and was ended", job.words.join(" "), job.patience.standstill.as_secs_f32()),
        format!("it wrote neither output nor files; {}", last_words(last)),
        "run the same command again; if it stands still twice, remove the SDK's tree with `cargo xtask clean sdk`",
    )
}

fn too_slow(job: &Job<'_>, last: &str) -> Failure {
    Failure::new(
        Exit::Blocked,
        "SDK002",
        format!("`{}` did not end within {} s", job.words.join(" "), job.patience.total.as_secs_f32()),
        last_words(last),
        "run the same command again on a less busy machine, with -v to see its output",
    )
}

fn not_started(job: &Job<'_>, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Host,
        "SDK003",
        format!("`{}` could not be run", job.words.join(" ")),
        format!("{error}; it is started through `setpriv` and `sh`, so that it ends with us"),
        "apt-get install util-linux dash, and check that this user may start processes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(script: &str, standstill: u64) -> Job<'static> {
        let path = std::env::var("PATH").unwrap();
        Job {
            words: ["sh", "-c", script].map(str::to_owned).into(),
            directory: Utf8Path::new("/"),
            variables: vec![("PATH".into(), path), ("COLOUR".into(), "red".into())],
            writes_to: Vec::new(),
            patience: Patience { standstill: Duration::from_millis(standstill), total: Duration::from_secs(60) },
        }
    }

    fn run_quietly(job: &Job<'_>) -> Result<Ended> {
        run(job, &Cancel::default(), |_| {})
    }

    /// Whether a process is there and no zombie.
    fn lives(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
    }

    fn dies(id: &str) -> bool {
        let deadline = Deadline::after(Duration::from_secs(20));
        while lives(id) && !deadline.passed() {
            std::thread::sleep(Duration::from_millis(5));
        }
        !lives(id)
    }

    #[test]
    fn output_umask_and_exit_code_arrive_and_the_environment_is_ours_alone() {
        let script = "umask; echo $COLOUR$HOME; printf '\\033[M\\033[1;31mred\\033[0m\\n'; echo err >&2; exit 3";
        let mut lines = Vec::new();
        let ended = run(&job(script, 20_000), &Cancel::default(), |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(ended.code, Some(3));
        assert_eq!(lines, ["0022", "red", "red", "err"]);
    }

    #[test]
    fn a_job_that_stands_still_is_ended_with_all_that_it_started() {
        let mut child = String::new();
        let failure = run(&job("sleep 600 & echo $!; wait", 300), &Cancel::default(), |line| child = line.into());
        let failure = failure.unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SDK001", Exit::Blocked));
        assert!(dies(&child), "{child} goes on");
    }

    #[test]
    fn a_silent_job_that_writes_files_does_not_stand_still() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let mut job = job("for i in 1 2 3 4 5 6 7 8; do sleep 0.25; echo $i > a/b/$i; done", 1_200);
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        job.directory = path;
        job.writes_to = vec![path.join("a")];
        assert_eq!(run_quietly(&job).unwrap().code, Some(0));
        job.writes_to = Vec::new();
        assert_eq!(run_quietly(&job).unwrap_err().id(), "SDK001");
    }

    #[test]
    fn a_job_that_talks_for_ever_is_ended_too() {
        let mut job = job("while :; do echo x; sleep 0.01; done", 20_000);
        job.patience.total = Duration::from_millis(300);
        let failure = run_quietly(&job).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SDK002", Exit::Blocked));
    }

    #[test]
    fn an_orphan_that_holds_the_output_open_is_ended_and_not_waited_for() {
        let mut child = String::new();
        let started = Instant::now();
        let job = job("sleep 600 & echo $!; exit 2", 60_000);
        let ended = run(&job, &Cancel::default(), |line| child = line.into()).unwrap();
        assert_eq!(ended.code, Some(2));
        assert!(dies(&child) && started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn an_interrupt_ends_the_whole_group() {
        let cancel = Cancel::default();
        let mut child = String::new();
        let failure = run(&job("sleep 600 & echo $!; wait", 60_000), &cancel, |line| {
            child = line.into();
            cancel.cancel();
        });
        assert_eq!(failure.unwrap_err().id(), "RUN001");
        assert!(dies(&child));
    }

    /// What happens when we are killed: nobody is left to do anything, but the pipe is closed.
    #[test]
    fn the_group_ends_when_our_end_of_the_pipe_is_gone() {
        let mut group = Group::start(&job("sleep 600 & echo $!; wait", 60_000)).unwrap();
        let lines = group.lines();
        let child = lines.recv_timeout(Duration::from_secs(20)).unwrap();
        group.held_open = None;
        assert!(dies(&child), "{child} goes on");
    }

    #[test]
    fn a_place_that_is_gone_is_no_bare_error() {
        let mut job = job("true", 1_000);
        job.directory = Utf8Path::new("/no/such/directory");
        let failure = run_quietly(&job).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SDK003", Exit::Host));
    }
}
