//! Installs what is missing, with the host's own package manager.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use model::{Event, Exit, Failure, Problem, Result, Status};

use super::{Checked, Host, Remedy, missing};
use crate::stage::millis;
use crate::{Ctx, process};

/// Name of the stage in events.
const STAGE: &str = "install-deps";

/// Deadline of an installation over a slow connection.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How long the user may take to type a password.
const PASSWORD: Duration = Duration::from_secs(5 * 60);

/// Whether we run as root, so that apt needs no sudo.
pub(super) fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The commands that install what is missing, as lists of words.
pub(super) fn commands(checked: &[Checked], root: bool) -> Vec<Vec<&'static str>> {
    let mut packages = BTreeSet::new();
    let (mut components, mut targets) = (BTreeSet::new(), BTreeSet::new());
    for (need, _) in missing(checked) {
        match need.remedy {
            Remedy::Apt(names) => packages.extend(names),
            Remedy::Rustup(name) => {
                components.insert(name);
            }
            Remedy::RustTarget(name) => {
                targets.insert(name);
            }
        }
    }
    let mut commands = Vec::new();
    if !packages.is_empty() {
        let words = ["apt-get", "install", "--yes", "--no-install-recommends"];
        commands.push(as_root(words.into_iter().chain(packages), root));
    }
    for (kind, names) in [("component", components), ("target", targets)] {
        if !names.is_empty() {
            commands.push(["rustup", kind, "add"].into_iter().chain(names).collect());
        }
    }
    commands
}

fn as_root(words: impl Iterator<Item = &'static str>, root: bool) -> Vec<&'static str> {
    let sudo = (!root).then_some("sudo");
    sudo.into_iter().chain(words).collect()
}

/// Runs these commands. The package lists are refreshed first: a fresh container has none, and an old list names
/// packages that the mirror no longer has.
pub(super) fn install(ctx: &Ctx, host: &Host, checked: &[Checked]) -> Result<()> {
    let root = am_root();
    let commands = commands(checked, root);
    for words in &commands {
        if let Some(absent) = words.iter().take(2).find(|word| is_tool(word) && !host.has(word)) {
            return Err(cannot_install(words, format!("there is no `{absent}` in PATH")));
        }
    }
    let uses_apt = commands.iter().any(|words| words.contains(&"apt-get"));
    if uses_apt && !root {
        // Asked before the stage's first event, which would draw over the prompt.
        run_tool(ctx, &["sudo", "--validate", "--prompt=Password to install packages with apt: "], PASSWORD)?;
    }

    let started = Instant::now();
    let shown: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
    ctx.events.emit(Event::StageBegin { stage: STAGE.into(), detail: shown.join(" && ") });
    let outcome = run_all(ctx, &commands, uses_apt, root);
    let (status, summary) = match &outcome {
        Ok(()) => (Status::Done, shown.join(" && ")),
        Err(failure) => (Status::Failed, failure.finding().what.clone()),
    };
    ctx.events.emit(Event::StageEnd { stage: STAGE.into(), status, millis: millis(started.elapsed()), summary });
    outcome
}

fn is_tool(word: &str) -> bool {
    matches!(word, "sudo" | "apt-get" | "rustup")
}

fn run_all(ctx: &Ctx, commands: &[Vec<&'static str>], uses_apt: bool, root: bool) -> Result<()> {
    if uses_apt {
        let update = as_root(["apt-get", "update"].into_iter(), root);
        if let Err(failure) = run_tool(ctx, &update, PATIENCE) {
            if failure.exit() == Exit::Interrupted {
                return Err(failure);
            }
            // One broken source among many must not prevent the installation of packages that the host's lists have.
            ctx.events.line(STAGE, "the package lists could not be refreshed; trying with those that are there");
        }
    }
    commands.iter().try_for_each(|words| run_tool(ctx, words, PATIENCE))
}

fn run_tool(ctx: &Ctx, words: &[&str], limit: Duration) -> Result<()> {
    let mut line: Vec<OsString> = words.iter().map(OsString::from).collect();
    if let Some(at) = words.iter().position(|&word| word == "apt-get") {
        // sudo drops the environment, so the variable is set after it; apt waits if another apt is running.
        line.splice(at..at, ["env", "DEBIAN_FRONTEND=noninteractive"].map(OsString::from));
        line.extend(["-o", "DPkg::Lock::Timeout=300"].map(OsString::from));
    }
    let ended = process::run(ctx, STAGE, &line, "/".into(), limit, |_| {})?;
    if ended.success() { Ok(()) } else { Err(cannot_install(words, ended.output())) }
}

fn cannot_install(words: &[&str], why: String) -> Failure {
    let line = words.join(" ");
    Failure::of(Problem {
        exit: Exit::Host,
        id: "HOST004",
        what: format!("`{line}` failed"),
        why,
        fix: "fix what its output names, or install the packages in another way, and run the same command again",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use crate::doctor::NEEDS;
    use model::Events;

    fn lacking_all() -> Vec<Checked> {
        NEEDS.iter().map(|&need| Checked { need, found: Err("not found".into()) }).collect()
    }

    #[test]
    fn commands_name_each_package_once_and_use_sudo_only_where_needed() {
        let lacking = lacking_all();
        let [apt, rustup] = &commands(&lacking, false)[..] else { panic!() };
        assert_eq!(apt[..3], ["sudo", "apt-get", "install"]);
        assert_eq!(rustup, &["rustup", "component", "add", "clippy", "rustfmt"]);
        assert_eq!(commands(&lacking, true)[0][0], "apt-get");
        assert_eq!(commands(&[], true).len(), 0);
    }

    #[test]
    fn a_host_without_the_tools_is_told_so_and_nothing_is_run() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let failure = install(&ctx, &Host::at("/nowhere".into()), &lacking_all()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("HOST004", Exit::Host));
        assert!(failure.finding().why.contains("no `"), "{failure}");
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let failure = run_tool(&ctx, &["sh", "-c", "echo E: broken; exit 100"], PATIENCE).unwrap_err();
        assert_eq!((failure.id(), failure.finding().why.as_str()), ("HOST004", "E: broken"));
        run_tool(&ctx, &["true"], PATIENCE).unwrap();
    }
}
