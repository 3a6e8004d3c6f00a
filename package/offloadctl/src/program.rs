//! Other programs: run with words, never through a shell, and never waited for without end.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::files::Files;
use crate::finding::Finding;

/// How long a program may take. A slow router with a large rule set needs some ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing tells a process without threads and signal handlers that its child has ended, so it looks this often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Whether there is a program with this name that may be run.
pub fn exists(files: &Files, name: &str) -> bool {
    files.path(name).metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Runs the program called `name`, with a text on its standard input. What it prints goes to the standard error, as this
/// program's own output is for others.
///
/// # Errors
/// It failed, or was not done in time.
pub fn run(files: &Files, name: &str, words: &[&str], input: &str, patience: Duration) -> Result<(), Finding> {
    let outcome = Command::new(files.path(name))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .process_group(0)
        .spawn()
        .map(Guarded)
        .and_then(|mut child| child.finish(input, patience));
    let why = match outcome {
        Ok(Some(status)) if status.success() => return Ok(()),
        Ok(Some(status)) => format!("it ended with {status}; its own messages stand above"),
        Ok(None) => format!("it was not done within {} seconds and was stopped", patience.as_secs()),
        Err(error) => format!("it could not be run: {error}"),
    };
    let command = [&[name], words].concat().join(" ");
    Err(Finding::new("OCTL019", format!("'{command}' failed"), why, format!("run it by hand: {command}")))
}

/// A child that does not outlive its guard, nor do its own children.
struct Guarded(Child);

impl Guarded {
    /// Gives it its input and waits for its exit status; nothing when it was not done in time.
    fn finish(&mut self, input: &str, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(mut stdin) = self.0.stdin.take() {
            // Inputs are shorter than a pipe is long, so this does not wait. One who does not read it says so by its status.
            let _ = stdin.write_all(input.as_bytes());
        }
        let deadline = Instant::now() + patience;
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(Some(status)),
                None if Instant::now() > deadline => return Ok(None),
                None => thread::sleep(LOOK_AGAIN),
            }
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Its process group has its own number, as it was made the leader.
            if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_run(name: &str, words: &[&str], patience: Duration) -> Result<(), Finding> {
        run(&Files::below("/"), name, words, "", patience)
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(try_run("/bin/true", &[], PATIENCE), Ok(()));
        for (path, why) in [("/bin/false", "ended with exit status: 1"), ("/nonexistent", "could not be run")] {
            let finding = try_run(path, &["-x"], PATIENCE).unwrap_err();
            assert_eq!((finding.id, &finding.what[..]), ("OCTL019", &format!("'{path} -x' failed")[..]));
            assert!(finding.why.contains(why), "{}", finding.why);
        }
    }

    #[test]
    fn one_that_hangs_is_stopped() {
        let began = Instant::now();
        let finding = try_run("/bin/sleep", &["30"], Duration::from_millis(50)).unwrap_err();
        assert!(finding.why.contains("was stopped"), "{}", finding.why);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn input_arrives() {
        let read =
            |text| run(&Files::below("/"), "/bin/sh", &["-c", "read x; test $x = right"], text, PATIENCE).is_ok();
        assert!(read("right\n") && !read("wrong\n"));
    }
}
