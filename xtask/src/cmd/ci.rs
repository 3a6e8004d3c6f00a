//! `ci`: runs what CI runs; cheap checks come first.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use model::{Event, Exit, Failure, Problem, Result, Status};

use crate::cli::{CiArgs, DEBIAN_MIRROR, DEFAULT_TARGET, Selection, TestArgs};
use crate::doctor::{self, Host, Purpose};
use crate::pipeline::{self, Job, StandIn};
use crate::scratch::Scratch;
use crate::sink::GITHUB_ACTIONS;
use crate::stage::millis;
use crate::{Ctx, Outcome, process};

/// Deadline of each step, on a slow machine that compiles everything.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Property tests use the same cases in every run unless this variable is set, so that a job turns red only because of
/// its change; `cargo test` uses other cases each time.
const SEED: &str = "PROPTEST_RNG_SEED";

/// One call of cargo.
struct Step {
    name: &'static str,
    words: &'static [&'static str],
    fix: &'static str,
}

const STEPS: &[Step] = &[
    Step { name: "format", words: &["fmt", "--all", "--check"], fix: "cargo fmt --all" },
    Step {
        name: "lints",
        words: &[
            "clippy",
            "--workspace",
            "--lib",
            "--bins",
            "--examples",
            // `--all-targets` does not include the tests of `e2e`.
            "--test",
            "*",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        fix: "cargo clippy --workspace --all-targets, and correct what it names",
    },
    Step {
        name: "tests",
        words: &["test", "--workspace", "--locked"],
        fix: "cargo test --workspace, and correct what fails",
    },
    Step {
        name: "e2e",
        // It has the same features as the previous step, so what that compiled is reused.
        words: &["test", "--workspace", "--locked", "--test", "e2e"],
        fix: "cargo test --workspace --test e2e, and correct what fails",
    },
];

/// A router of another architecture, of which all scenarios take too long here: one of each kind shows that packages,
/// programs and the proof are right there too.
const ELSEWHERE: &str = "armsr/armv8";
const ELSEWHERE_SCENARIOS: [&str; 5] =
    ["install-and-load", "offload-ipv4-nat", "offload-ipv6-nat", "slow-ip-options", "offloadctl-status"];

/// Runs every step until one fails. The last line has the form of `cargo test`'s.
pub fn run(ctx: &Ctx, args: &CiArgs) -> Result<Outcome> {
    let (job, stand_in) = Job::stand_in(ctx, &args.selection, Purpose::Ci)?;
    job.require(ctx, Purpose::Ci)?;
    let elsewhere = elsewhere(ctx, &args.selection)?;
    let started = Instant::now();
    let _scratch = Scratch::take()?;
    let programs = programs(ctx)?;
    let path = programs.path();
    let mut counts = Counts::default();
    let mirror = args.selection.debian_mirror.as_deref();
    let checked = STEPS.iter().try_for_each(|step| step.run(ctx, mirror, path, &mut counts));
    let exit = match checked.and_then(|()| product(ctx, job, &stand_in, elsewhere, args)) {
        Ok(exit) => exit,
        Err(failure) => {
            ctx.events.emit(Event::Finding(failure.finding().clone()));
            failure.exit()
        }
    };
    Ok(Outcome { exit, data: counts.last_line(exit, started.elapsed()) })
}

/// Makes a folder with all programs that tests may start, for their PATH.
fn programs(ctx: &Ctx) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().map_err(|error| Failure::io("make a folder of programs", "TMPDIR", &error))?;
    let path = Utf8Path::from_path(folder.path())
        .ok_or_else(|| Failure::io("make a folder of programs", "TMPDIR", &ErrorKind::InvalidFilename.into()))?;
    doctor::link(ctx, &Host::this(), &doctor::needs(Purpose::Ci), path)?;
    Ok(folder)
}

/// Builds twice and compares, installs every package on the host, and runs all scenarios.
fn product(
    ctx: &Ctx,
    job: Job,
    stand_in: &StandIn,
    elsewhere: Option<(Job, Selection)>,
    args: &CiArgs,
) -> Result<Exit> {
    let started = Instant::now();
    let compared = pipeline::reproduce(ctx, &job, stand_in)?;
    ctx.events.emit(Event::StageEnd {
        stage: "reproducible".into(),
        status: Status::Done,
        millis: millis(started.elapsed()),
        summary: format!("{compared} packages are the same to the byte in a second build"),
    });
    pipeline::verified(ctx, &job)?;
    let all = TestArgs {
        partition: None,
        names: Vec::new(),
        exact: false,
        keep: false,
        sabotage: Vec::new(),
        ask_offloadctl: false,
        list: false,
        selection: args.selection.clone(),
        machine: args.machine.clone(),
        reports: args.reports.clone(),
    };
    let exit = pipeline::test(ctx, &[job], &all)?.exit;
    let Some((job, selection)) = elsewhere else { return Ok(exit) };
    let names = ELSEWHERE_SCENARIOS.map(str::to_owned).into();
    let few = TestArgs { names, exact: true, selection, ..all };
    Ok(exit.worse(pipeline::test_beside(ctx, job, &few)?.exit))
}

/// The job of the other architecture; none where the user chose the target or the kernel.
fn elsewhere(ctx: &Ctx, asked: &Selection) -> Result<Option<(Job, Selection)>> {
    if asked.target != DEFAULT_TARGET || !asked.kernels.is_empty() {
        return Ok(None);
    }
    let selection = Selection { target: ELSEWHERE.into(), ..asked.clone() };
    let (job, _) = Job::stand_in(ctx, &selection, Purpose::Test)?;
    job.require(ctx, Purpose::Test)?;
    Ok(Some((job, selection)))
}

impl Step {
    fn run(&self, ctx: &Ctx, mirror: Option<&str>, programs: &Path, counts: &mut Counts) -> Result<()> {
        let started = Instant::now();
        let shown = format!("cargo {}", self.words.join(" "));
        ctx.events.emit(Event::StageBegin { stage: self.name.into(), detail: shown.clone() });
        let mut here = Counts::default();
        let ended = process::run(ctx, self.name, &self.line(ctx, mirror, programs), &ctx.root, PATIENCE, |line| {
            here.read(line)
        });
        let outcome = ended.and_then(|ended| match ended.success() {
            true => Ok(()),
            false => Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "CI001",
                what: format!("`{shown}` failed"),
                why: format!("the end of its output:\n{}", ended.output()),
                fix: self.fix,
            })),
        });
        counts.add(&here);
        let (status, summary) = match &outcome {
            Ok(()) => (Status::Done, here.summary()),
            Err(failure) => (Status::Failed, failure.finding().what.clone()),
        };
        ctx.events.emit(Event::StageEnd {
            stage: self.name.into(),
            status,
            millis: millis(started.elapsed()),
            summary,
        });
        outcome
    }

    /// Ties test programs to their cargo as cargo is tied to us, so that none outlives a killed run. They find only
    /// declared programs; cargo itself may use whatever the user has. The end-to-end tests fetch from this run's
    /// mirror.
    fn line(&self, ctx: &Ctx, mirror: Option<&str>, programs: &Path) -> Vec<OsString> {
        let path = format!("PATH={}", programs.display());
        let words = model::tied_to_parent().into_iter().chain(["env", path.as_str()]);
        // A JSON list of strings is valid TOML, too.
        let runner = format!("target.'cfg(unix)'.runner = {}", serde_json::json!(words.collect::<Vec<_>>()));
        // Tests run this program too; its output there must not become annotations or a summary of this job.
        let mut line: Vec<OsString> = ["env", "-u", GITHUB_ACTIONS].map(OsString::from).to_vec();
        line.extend(sdk::program::set_by_cargo().into_iter().flat_map(|name| ["-u".into(), name.into()]));
        line.push(format!("{SEED}={}", std::env::var(SEED).unwrap_or("1".into())).into());
        if let Some(mirror) = mirror {
            line.push(format!("{DEBIAN_MIRROR}={mirror}").into());
        }
        line.extend([ctx.cargo.clone(), "--color=never".into()]);
        if self.words.first() == Some(&"test") {
            line.extend(["--config".into(), runner.into()]);
        }
        if ctx.offline && self.words.first() != Some(&"fmt") {
            line.push("--offline".into());
        }
        line.extend(self.words.iter().map(OsString::from));
        line
    }
}

/// The number of tests in all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Reads a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`; ignores others.
    fn read(&mut self, line: &str) {
        let Some((_, numbers)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in numbers.split("; ") {
            let Some((number, word)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    fn summary(&self) -> String {
        match self {
            Counts { passed: 0, failed: 0, ignored: 0 } => String::new(),
            Counts { passed, failed, ignored } => format!("{passed} passed; {failed} failed; {ignored} ignored"),
        }
    }

    fn last_line(&self, exit: Exit, took: Duration) -> String {
        let word = if exit == Exit::Done { "ok" } else { "FAILED" };
        let Counts { passed, failed, ignored } = self;
        format!(
            "test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; finished in {:.2}s",
            took.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;
    use clap::Parser as _;
    use model::Events;

    #[test]
    fn results_of_all_test_programs_are_added_up() {
        let mut counts = Counts::default();
        for line in [
            "running 5 tests",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.12s",
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 3.00s",
            "test result: who knows",
        ] {
            counts.read(line);
        }
        assert_eq!(counts, Counts { passed: 12, failed: 2, ignored: 1 });
        let line = counts.last_line(Exit::Failed, Duration::from_millis(3120));
        assert_eq!(
            line,
            "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 3.12s"
        );
        let mut again = Counts::default();
        again.read(&line);
        assert_eq!(again, counts, "the last line reads like cargo's own");
    }

    #[test]
    fn scenarios_elsewhere_exist_and_run_unless_the_user_chose_the_router() {
        let ctx = ctx("/tmp/openwrt-offload-never-made".into(), Events::discard());
        let files = scenarios::scenario::load_all(&ctx.scenarios).unwrap();
        for name in ELSEWHERE_SCENARIOS {
            assert!(files.iter().any(|file| file.name == name), "{name}");
        }
        let asked = |words: &[&str]| {
            let words = ["xtask", "ci"].iter().chain(words);
            let Verb::Ci(args) = Cli::try_parse_from(words).unwrap().verb else { panic!("not ci") };
            elsewhere(&ctx, &args.selection)
        };
        assert!(asked(&["--target", "armsr/armv8"]).unwrap().is_none());
        assert!(asked(&["--kernel", "6.1"]).unwrap().is_none());
        match asked(&[]) {
            Ok(Some((_, selection))) => assert_eq!(selection.target, ELSEWHERE),
            Ok(None) => panic!("nothing runs elsewhere"),
            // A host that lacks the emulator is told so at once.
            Err(failure) => assert!(failure.finding().fix.contains("--install-deps"), "{failure}"),
        }
    }

    #[test]
    fn a_failing_step_ends_with_the_tail_of_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = std::sync::mpsc::channel();
        let mut ctx = ctx(folder.path().to_str().unwrap().into(), Events::to(sender));
        let step = Step { name: "format", words: &["fmt", "--no-such-flag"], fix: "cargo fmt" };
        // `env` in place of cargo also fails because of the flag.
        ctx.cargo = "env".into();
        let failure = step.run(&ctx, None, folder.path(), &mut Counts::default()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CI001", Exit::Failed));
        assert!(failure.finding().why.contains("env: "), "{failure}");
        assert!(events.try_iter().any(|event| matches!(event, Event::StageEnd { status: Status::Failed, .. })));
    }

    #[test]
    fn test_programs_are_tied_to_their_cargo() {
        let mut ctx = ctx("/tmp".into(), Events::discard());
        ctx.offline = true;
        let lines: Vec<String> = STEPS
            .iter()
            .map(|step| format!("{:?}", step.line(&ctx, Some("file:/mirror"), Path::new("/a \"b"))))
            .collect();
        assert!(lines[2].contains("PATH=/a"), "tests find what is declared: {lines:?}");
        assert!(lines[2].contains("pdeathsig") && lines[2].contains("--offline"), "{lines:?}");
        assert!(!lines[0].contains("--offline"), "cargo fmt knows no --offline");
        assert!(lines.iter().all(|line| line.contains("PROPTEST_RNG_SEED=")), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("DEBIAN_MIRROR=file:/mirror")), "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(r#"["env", "-u", "GITHUB_ACTIONS""#)), "{lines:?}");
    }
}
