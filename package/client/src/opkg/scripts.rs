//! Maintainer scripts: when they run, with what words and what environment.
//!
//! As opkg runs them: through `/bin/sh`, so that a script without an interpreter line works, with
//! `PKG_ROOT` and `PKG_UPGRADE`. A script is not ended when we are: half a `postinst` is worse than a
//! late one. One that does not end within its deadline is ended.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use super::config::Config;
use super::status::info_file;
use crate::error::{Error, Result};
use crate::root::Root;

/// How long a script may take: starting services and loading modules takes seconds.
const DEADLINE: Duration = Duration::from_secs(600);

/// How often a running script is looked at: there is no wait with a deadline.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One call of one script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The package.
    pub(crate) package: &'a str,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub(crate) script: &'static str,
    /// What the script is told, such as `upgrade 1.0-r1`.
    pub(crate) words: &'a [&'a str],
    /// Whether an upgrade is going on.
    pub(crate) upgrade: bool,
}

/// Runs a script from the info directory; a package without that script is fine.
pub(crate) fn run(root: &Root, config: &Config, call: Call) -> Result<()> {
    let path = info_file(call.package, call.script);
    if !config.run_scripts || root.kind(&path)?.is_none() {
        return Ok(());
    }
    run_file(root, config, call, &root.outside(&path))
}

/// Runs a script that lies outside of the info directory, such as the one of a package to come.
pub(crate) fn run_file(root: &Root, config: &Config, call: Call, path: &Utf8Path) -> Result<()> {
    if !config.run_scripts {
        return Ok(());
    }
    let failed = |problem: String| Error::Script { package: call.package.to_owned(), script: call.script, problem };
    let mut child = Command::new("/bin/sh")
        .args(["-c", "\"$0\" \"$@\"", path.as_str()])
        .args(call.words)
        .env("PKG_ROOT", root.path())
        // What OpenWrt's own scripts look at: empty on the system that they run on.
        .env("IPKG_INSTROOT", if root.path() == "/" { "" } else { root.path().as_str().trim_end_matches('/') })
        .env("PKG_UPGRADE", if call.upgrade { "1" } else { "0" })
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

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with exit code {code}"),
        None => format!("it was ended: {status}"),
    }
}
