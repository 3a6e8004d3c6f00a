//! Runs the SDK's own programs: `make` and `scripts/feeds`.
//!
//! Their exit codes are trusted only when they report failure; the caller checks the results. They run with a small,
//! fixed environment, so that the user's settings have no effect.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use host::Job;
use model::{Cancel, Events, Exit, Failure, Problem, Result};

use super::symptoms::Symptom;
use super::tree::Tree;
use crate::kbuild::Said;

/// The stage's name in events.
pub(super) const STAGE: &str = "packages";

/// Folders in which the build writes while it prints nothing.
const WRITES_TO: [&str; 6] = ["tmp", "logs", "bin", ".git", "staging_dir/host", "build_dir"];

/// Messages at the start of every call that say nothing.
const NOISE: [&str; 5] = [
    "has a dependency on",
    "has a build dependency on",
    "ignoring type redefinition of",
    "defaults for choice values not supported",
    "Collecting package info",
];

/// How many lines of output a message shows.
const TAIL: usize = 25;

/// How many lines are kept from a cause on: the names of missing libraries, for example, come after it.
const SAID: usize = 4;

/// How many characters of a line a message shows; commands printed with V=s may have thousands.
const WIDTH: usize = 300;

/// Deadlines of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest time without output and without a change to the files that it works on.
    pub standstill: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Patience {
    /// Packing a kernel's modules prints nothing for minutes on a busy machine, but writes files.
    fn default() -> Self {
        Patience { standstill: Duration::from_secs(300), total: Duration::from_secs(7200) }
    }
}

/// OpenWrt's prerequisite check requires it.
const UMASK: &str = "022";

/// Runs the SDK's programs in its tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) tree: &'a Tree,
    /// The time for the tree's own repository; see [`Maker::variables`].
    pub(super) epoch: u64,
    pub(super) jobs: NonZeroUsize,
    pub(super) patience: Patience,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
}

/// The id of a failure that no [`Symptom`] explains.
const UNKNOWN_CAUSE: &str = "SDK049";

/// The result of a call.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) success: bool,
    tail: VecDeque<String>,
    /// The most telling symptom in the output, with the lines after it.
    cause: Option<(&'static Symptom, Vec<String>)>,
}

impl Called {
    /// The end of its output.
    pub(super) fn said(self) -> String {
        Vec::from(self.tail).join("\n")
    }

    /// The failure, explained as far as the output allows.
    pub(super) fn failure(self, what: String) -> Failure {
        match self.cause {
            Some((symptom, said)) => symptom.failure(&said.join("\n")),
            None => Failure::of(Problem {
                exit: Exit::Failed,
                id: UNKNOWN_CAUSE,
                what,
                why: format!("the end of its output:\n{}", Vec::from(self.tail).join("\n")),
                fix: "read the SDK's output above; -v shows all of it",
            }),
        }
    }
}

impl Maker<'_> {
    /// Runs a program of the tree; the caller checks whether it succeeded.
    pub(super) fn call(&self, words: &[&str]) -> Result<Called> {
        self.call_with(words, |_| {})
    }

    fn call_with(&self, words: &[&str], mut each: impl FnMut(&str)) -> Result<Called> {
        self.events.line(STAGE, words.join(" "));
        let job = Job::of_words(words, self.tree.root(), self.patience.total)
            .only_with(self.variables())
            .family_with_umask(UMASK)
            .standstill(self.patience.standstill, WRITES_TO.iter().map(|folder| self.tree.path(folder)).collect());
        let mut cause: Option<(&'static Symptom, Vec<String>)> = None;
        let mut tail = VecDeque::new();
        let ended = job.lines(self.cancel, |line| {
            self.events.line(STAGE, line);
            each(line);
            if line.is_empty() || NOISE.iter().any(|noise| line.contains(noise)) {
                return;
            }
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(shortened(line));
            match (Symptom::of(line), &mut cause) {
                (Some(symptom), None) => cause = Some((symptom, vec![shortened(line)])),
                (Some(symptom), Some((known, _))) if symptom.outranks(known) => {
                    cause = Some((symptom, vec![shortened(line)]));
                }
                (_, Some((_, said))) if said.len() < SAID => said.push(shortened(line)),
                _ => {}
            }
        })?;
        Ok(Called { success: ended.success(), tail, cause })
    }

    /// Builds one goal. After a failure it tries once more, with one job and all output, because the first output says
    /// only that it failed. Packages written by the failed call are removed first, since `make` would take an
    /// incomplete one for finished.
    pub(super) fn build(&self, goal: &str, settings: &[&str]) -> Result<()> {
        self.build_with(goal, settings, |_| {})
    }

    /// Builds the goal of a kmod that is compiled from source in `folder`; errors of the compiler are explained as for
    /// the stand-in.
    pub(super) fn compile(&self, goal: &str, folder: &Utf8Path, line: &str) -> Result<()> {
        let mut said = Said::new(folder.as_str());
        // The SDK's own kernel and packages were already built.
        let built = self.build_with(goal, &["NO_DEPS=1"], |line| said.take(line));
        built.map_err(
            |failure| if failure.exit() == Exit::Failed { said.cause(line).unwrap_or(failure) } else { failure },
        )
    }

    /// Builds the goal of a package in the user's feed, with everything it depends on. For modules, `line` is the
    /// kernel's.
    pub(super) fn build_own(&self, goal: &str, package: &str, line: Option<&str>) -> Result<()> {
        let mut said = Said::new(self.tree.path("build_dir").as_str());
        let built = self.build_with(goal, &[], |line| said.take(line));
        built.map_err(|failure| {
            let failure = match line {
                _ if failure.id() != UNKNOWN_CAUSE => failure,
                Some(line) => said.cause(line).unwrap_or(failure),
                None => said.error().map_or(failure, |error| not_built(package, error)),
            };
            failure.at(package)
        })
    }

    fn build_with(&self, goal: &str, settings: &[&str], mut each: impl FnMut(&str)) -> Result<()> {
        let jobs = format!("-j{}", self.jobs);
        let words = [&["make", goal, &jobs, "BUILD_LOG=1"], settings].concat();
        let began = SystemTime::now();
        if self.call(&words)?.success {
            return Ok(());
        }
        self.tree.remove_packages_since(began)?;
        self.events.line(STAGE, format!("{goal} failed; running it again with all output"));
        let words = [&["make", goal, "-j1", "V=s"], settings].concat();
        let again = self.call_with(&words, &mut each)?;
        if again.success { Ok(()) } else { Err(again.failure(format!("the SDK's `make {goal}` failed"))) }
    }

    /// The environment of the SDK's programs. Their first use makes the tree a git repository, whose time ends up in
    /// packages: it gets a fixed time and author, and git never looks above the tree.
    fn variables(&self) -> Vec<(String, String)> {
        let date = format!("{} +0000", self.epoch);
        let home = self.tree.home();
        let fixed = [
            ("HOME", home.as_str()),
            ("LC_ALL", "C"),
            ("TERM", "dumb"),
            ("GIT_CEILING_DIRECTORIES", self.tree.folder().as_str()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "sdk"),
            ("GIT_AUTHOR_EMAIL", "sdk@localhost"),
            ("GIT_COMMITTER_NAME", "sdk"),
            ("GIT_COMMITTER_EMAIL", "sdk@localhost"),
            ("GIT_AUTHOR_DATE", &date),
            ("GIT_COMMITTER_DATE", &date),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let kept = ["PATH", "TMPDIR", "http_proxy", "https_proxy", "no_proxy"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        fixed.into_iter().chain(kept).collect()
    }
}

fn not_built(package: &str, error: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN027",
        what: format!("{package} does not compile: {error}"),
        why: "that is the compiler's first error, in the SDK's build folder",
        fix: "correct the source, or add what it needs to DEPENDS or PKG_BUILD_DEPENDS; -v shows the build's whole \
              output",
    })
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
