//! OpenWrt's firewall as a program to run: found where it is, and never waited for without end.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::files::Files;
use crate::finding::Finding;

/// Where it may be, and the words with which it checks its configuration, where it can.
const PROGRAMS: [(&str, Option<&str>); 2] = [("/sbin/fw4", Some("check")), ("/etc/init.d/firewall", None)];
/// How long it may take. A slow router with a large rule set needs some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing tells a process without threads and signal handlers that its child has ended, so it looks this often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The firewall of this system.
#[derive(Debug, Clone)]
pub struct Firewall {
    /// The program's name on the router.
    pub name: &'static str,
    path: PathBuf,
    check: Option<&'static str>,
}

impl Firewall {
    /// The first of the known programs that is there and may be run.
    ///
    /// # Errors
    /// There is none.
    pub fn find(files: &Files) -> Result<Firewall, Finding> {
        let found = PROGRAMS.into_iter().find(|(name, _)| {
            files.path(name).metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        });
        match found {
            Some((name, check)) => Ok(Firewall { name, path: files.path(name), check }),
            None => Err(Finding::new(
                "OCTL018",
                "no firewall was found that could be reloaded",
                format!("neither {} nor {} can be run", PROGRAMS[0].0, PROGRAMS[1].0),
                "install firewall4; to see the change only, add --dry-run",
            )),
        }
    }

    /// Has the configuration checked without loading it, where the firewall is able to.
    ///
    /// # Errors
    /// It does not pass.
    pub fn check(&self) -> Result<(), Finding> {
        self.check.map_or(Ok(()), |word| self.run(word, PATIENCE))
    }

    /// Loads the configuration.
    ///
    /// # Errors
    /// The program says that it failed. Some versions fail without saying so: look at the kernel as well.
    pub fn reload(&self) -> Result<(), Finding> {
        self.run("reload", PATIENCE)
    }

    /// Runs it with one word. What it prints goes to the standard error, as this program's own output is for others.
    fn run(&self, word: &str, patience: Duration) -> Result<(), Finding> {
        let outcome = Command::new(&self.path)
            .arg(word)
            .stdin(Stdio::null())
            .stdout(io::stderr())
            .process_group(0)
            .spawn()
            .map(Guarded)
            .and_then(|mut child| child.wait(patience));
        let why = match outcome {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => format!("it ended with {status}; its own messages stand above"),
            Ok(None) => format!("it was not done within {} seconds and was stopped", patience.as_secs()),
            Err(error) => format!("it could not be run: {error}"),
        };
        let command = format!("{} {word}", self.name);
        Err(Finding::new("OCTL019", format!("'{command}' failed"), why, format!("run it by hand: {command}")))
    }
}

/// A child that does not outlive its guard, nor do its own children.
struct Guarded(Child);

impl Guarded {
    /// Its exit status, or nothing when it was not done in time.
    fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
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

    fn program(path: &str) -> Firewall {
        Firewall { name: "/sbin/fw4", path: path.into(), check: None }
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(program("/bin/true").reload(), Ok(()));
        assert_eq!(program("/bin/false").check(), Ok(()));
        for (path, why) in [("/bin/false", "ended with exit status: 1"), ("/nonexistent", "could not be run")] {
            let finding = program(path).reload().unwrap_err();
            assert_eq!(finding.id, "OCTL019");
            assert!(finding.why.contains(why), "{}", finding.why);
        }
    }

    #[test]
    fn one_that_hangs_is_stopped() {
        let began = Instant::now();
        let finding = program("/bin/sleep").run("30", Duration::from_millis(50)).unwrap_err();
        assert!(finding.why.contains("was stopped"), "{}", finding.why);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn without_a_firewall_it_says_so() {
        assert_eq!(Firewall::find(&Files::below("/nonexistent")).unwrap_err().id, "OCTL018");
    }
}
