//! One run of the program: started, watched, signalled, ended.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::Place;

/// Longer than anything takes that is not broken, on a loaded machine.
pub(crate) const SLOW: Duration = Duration::from_secs(120);

/// Between two looks at something that cannot be waited on.
const LOOK: Duration = Duration::from_millis(5);

/// Asks until the answer is there; a test that never gets one fails with what `state` says.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    state: impl Fn() -> String,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}\n{}", state());
        std::thread::sleep(LOOK);
    }
}

/// A run that goes on; killed on drop.
pub(crate) struct Run {
    child: Child,
    out: Utf8PathBuf,
    err: Utf8PathBuf,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; that of a shell, 128 and the signal, when a signal ended it.
    pub(crate) code: i32,
    /// stdout.
    pub(crate) out: String,
    /// stderr.
    pub(crate) err: String,
}

impl Run {
    /// Starts the program in a place of its own.
    pub(crate) fn start(place: &Place, words: &[&str]) -> Run {
        Run::with(place, &["setpriv", "--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_xtask")], words)
    }

    /// Starts the program behind other words, such as a shell that sets a limit first.
    pub(crate) fn with(place: &Place, before: &[&str], words: &[&str]) -> Run {
        Run::spawn(place, before, words, place.variables())
    }

    /// Starts the program with the user's own cache.
    pub(crate) fn in_users_cache(place: &Place, words: &[&str]) -> Run {
        Run::spawn(place, &[env!("CARGO_BIN_EXE_xtask")], words, vec![("TMPDIR", place.temporary().to_string())])
    }

    fn spawn(place: &Place, before: &[&str], words: &[&str], variables: Vec<(&str, String)>) -> Run {
        // Runs of one place, even at the same time, keep their outputs apart.
        let outputs = tempfile::tempdir_in(place.path("")).unwrap().keep();
        let file = |name: &str| Utf8PathBuf::from_path_buf(outputs.join(name)).unwrap();
        let (out, err) = (file("out"), file("err"));
        let mut words: Vec<&str> = words.to_vec();
        let results = place.path("results").into_string();
        // What follows `--` is for the router.
        let flags_end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        words.splice(flags_end..flags_end, ["--out", &results]);
        let child = Command::new(before[0])
            .args(&before[1..])
            .args(words)
            .envs(variables)
            .env_remove("NO_COLOR")
            .current_dir(place.path(""))
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Run { child, out, err }
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// What it has written to stderr so far.
    pub(crate) fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// Waits until stdout holds a text.
    pub(crate) fn says(&mut self, text: &str) {
        let (out, err) = (self.out.clone(), self.err.clone());
        let read = |path: &Utf8PathBuf| std::fs::read_to_string(path).unwrap();
        until(
            text,
            SLOW,
            || format!("{}{}", read(&out), read(&err)),
            || {
                let ended = self.child.try_wait().unwrap();
                let said = read(&out).contains(text);
                assert!(said || ended.is_none(), "ended without {text}: {ended:?}\n{}{}", read(&out), read(&err));
                said.then_some(())
            },
        );
    }

    /// Sends a signal to the program alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn ends_within(mut self, limit: Duration) -> Ran {
        let (out, err) = (self.out.clone(), self.err.clone());
        let read = |path: &Utf8PathBuf| std::fs::read_to_string(path).unwrap();
        let status = until("the end", limit, || read(&err), || self.child.try_wait().unwrap());
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Ran { code, out: read(&out), err: read(&err) }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Ran {
    /// It ended with this code, and with a message under this id that holds what, why, fix and these words.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, id: &str, words: &[&str]) {
        let Ran { err, .. } = self;
        assert_eq!(self.code, code, "{err}");
        let message = err.split_once(&format!("error[{id}]: ")).map(|(_, message)| message);
        let message = message.unwrap_or_else(|| panic!("no error[{id}] in:\n{err}"));
        for part in ["why: ", "fix: "].iter().chain(words) {
            assert!(message.contains(part), "no `{part}` in:\n{err}");
        }
    }

    /// It ended well.
    #[track_caller]
    pub(crate) fn fine(&self) {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
    }

    /// Events of `--message-format json`.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
