//! Running the host's programs: output as events, a deadline, and no child that outlives us.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use camino::Utf8Path;
use model::{Deadline, Exit, Failure, Result, tied_to_parent};

use crate::Ctx;

/// Lines of output kept for messages.
const TAIL: usize = 40;

/// How often a wait for output looks at the deadline and at an interrupt.
const POLL: Duration = Duration::from_millis(50);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The last lines of its output, stdout and stderr as they came.
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

/// Runs `words` in `folder` until it ends, at most for `limit`; every line of output becomes an event
/// of `stage` and is handed to `each`. A program that fails is no error here: look at [`Ended`].
pub fn run(
    ctx: &Ctx,
    stage: &str,
    words: &[OsString],
    folder: &Utf8Path,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<Ended> {
    ctx.cancel.check()?;
    let [first, rest @ ..] = tied_to_parent();
    let arguments = rest.iter().map(OsString::from).chain(words.iter().cloned());
    let child = duct::cmd(first, arguments)
        .dir(folder)
        .stdin_null()
        .stderr_to_stdout()
        .unchecked()
        .reader()
        .map_err(|error| cannot_start(words, first, &error))?;
    let child = Arc::new(child);
    let lines = read_lines(child.clone());
    let deadline = Deadline::after(limit);
    let mut tail = VecDeque::new();
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => {
                each(&line);
                ctx.events.line(stage, line.as_str());
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let verdict = match ctx.cancel.check() {
            Ok(()) if deadline.passed() => Err(too_slow(words, limit, &tail)),
            verdict => verdict,
        };
        if let Err(failure) = verdict {
            let _already_gone = child.kill();
            return Err(failure);
        }
    }
    let code = child.try_wait().ok().flatten().and_then(|output| output.status.code());
    Ok(Ended { code, tail })
}

/// A program may be silent for long, so a thread waits for its lines.
fn read_lines(child: Arc<duct::ReaderHandle>) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(&*child);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
            bytes.clear();
        }
    });
    lines
}

fn shown(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn cannot_start(words: &[OsString], first: &str, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Host,
        "PROC001",
        format!("cannot run `{}`", shown(words)),
        format!("`{first}`, which ties it to this run, could not be started: {error}"),
        "run `cargo xtask doctor`; setpriv is in the package util-linux",
    )
}

fn too_slow(words: &[OsString], limit: Duration, tail: &VecDeque<String>) -> Failure {
    let last = tail.back().map_or("it said nothing", String::as_str);
    Failure::new(
        Exit::Blocked,
        "PROC002",
        format!("`{}` was ended after {} s", shown(words), limit.as_secs_f32()),
        format!("it did not finish in time; its last line: {last}"),
        "run the same command again on a less busy machine, with -v to see its output",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    fn words(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    fn run_here(ctx: &Ctx, line: &[&str], limit: Duration) -> Result<Ended> {
        run(ctx, "test", &words(line), "/".into(), limit, |_| {})
    }

    #[test]
    fn both_outputs_and_the_code_arrive() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let mut seen = 0;
        let script = "echo out; echo err >&2; printf 'no end'; exit 3";
        let ended =
            run(&ctx, "test", &words(&["sh", "-c", script]), "/".into(), Duration::from_secs(20), |_| seen += 1)
                .unwrap();
        assert_eq!((ended.code, seen, ended.success()), (Some(3), 3, false));
        assert_eq!(ended.output(), "out\nerr\nno end");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let failure = run_here(&ctx, &["sleep", "600"], Duration::from_millis(100)).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("PROC002", Exit::Blocked));
        ctx.cancel.cancel();
        let failure = run_here(&ctx, &["true"], Duration::from_secs(20)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Interrupted);
    }

    #[test]
    fn an_interrupt_ends_the_program() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let cancel = ctx.cancel.clone();
        let line = words(&["sh", "-c", "echo started; exec sleep 600"]);
        let failure = run(&ctx, "test", &line, "/".into(), Duration::from_secs(60), |_| cancel.cancel()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Interrupted);
    }

    #[test]
    fn what_cannot_start_is_told() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let failure =
            run(&ctx, "test", &words(&["true"]), "/nowhere".into(), Duration::from_secs(5), |_| {}).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("PROC001", Exit::Host));
        let ended = run_here(&ctx, &["no-such-program"], Duration::from_secs(20)).unwrap();
        assert!(!ended.success() && ended.output().contains("no-such-program"), "{ended:?}");
    }
}
