//! Runs one maintainer script.
//!
//! Through `/bin/sh`, so that a script without an interpreter line works. A script is not killed when we are: half a
//! `postinst` is worse than a late one. A script that misses its deadline is killed.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::error::{Error, Result};
use crate::root::Root;

/// The deadline of a script: starting services and loading modules takes seconds.
const DEADLINE: Duration = Duration::from_secs(600);

/// How often a running script is checked: there is no wait with a deadline.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One call of one script.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    /// Name of the package.
    pub(crate) package: &'a str,
    /// The script's name, such as `postinst`.
    pub(crate) name: &'static str,
    /// Its path on the host.
    pub(crate) path: &'a Utf8Path,
    /// Its arguments.
    pub(crate) words: &'a [&'a str],
    /// Variables that are set for it, besides our own.
    pub(crate) environment: Vec<(&'static str, &'a str)>,
}

/// The root as OpenWrt's scripts expect it: empty for the running system.
pub(crate) fn outside(root: &Root) -> &str {
    if root.path() == "/" { "" } else { root.path().as_str().trim_end_matches('/') }
}

impl Script<'_> {
    /// Runs it and waits; any exit code but 0 is an error.
    pub(crate) fn run(self) -> Result<()> {
        let failed = |problem: String| Error::Script { package: self.package.to_owned(), script: self.name, problem };
        let mut child = Command::new("/bin/sh")
            .args(["-c", "\"$0\" \"$@\"", self.path.as_str()])
            .args(self.words)
            .envs(self.environment)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| failed(format!("/bin/sh could not be started: {error}")))?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(failed(describe(status))),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                Ok(None) => {
                    let _ended = child.kill();
                    let _gone = child.wait();
                    return Err(failed(format!("it did not end within {} s", DEADLINE.as_secs())));
                }
                Err(error) => return Err(failed(format!("it could not be waited for: {error}"))),
            }
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with exit code {code}"),
        None => format!("it was killed: {status}"),
    }
}
