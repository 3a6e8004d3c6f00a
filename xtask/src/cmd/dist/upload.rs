//! Uploads a tree to its server, with a command of the user's.

use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use feeds::dist;
use host::Job;
use model::{Exit, Failure, Problem, Result};

use crate::Ctx;

/// Deadline of each step.
const LIMIT: Duration = Duration::from_secs(3600);

/// Runs the command for one step after another; without a command, returns the order of the files.
///
/// # Errors
/// `DIST010` for the first step that fails.
pub(super) fn run(ctx: &Ctx, tree: &Utf8Path, command: &str) -> Result<Vec<String>> {
    let steps = dist::order(tree)?;
    if command.is_empty() {
        return Ok(steps.concat());
    }
    let list = tempfile::NamedTempFile::new().map_err(|error| Failure::io("write a list in", "/tmp", &error))?;
    for (number, step) in (1..).zip(&steps) {
        std::fs::write(list.path(), step.iter().map(|path| format!("{path}\n")).collect::<String>())
            .map_err(|error| Failure::io("write the list", list.path().display(), &error))?;
        ctx.events.progress("upload", number, Some(steps.len() as u64));
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(tree).env("FILES", list.path());
        let ended = Job::new(shell, LIMIT)
            .family()
            .over_network()
            .lines(&ctx.cancel, |line| ctx.events.line("upload", line))?;
        if !ended.success() {
            return Err(Failure::of(Problem {
                exit: Exit::Upstream,
                id: "DIST010",
                what: format!("step {number} of {} of the upload failed", steps.len()),
                why: ended.output(),
                fix: "run it again: files may be uploaded twice, and no index refers to missing files",
            }));
        }
    }
    Ok(Vec::new())
}
