//! Calls of the SDK's own programs: `make` and `scripts/feeds`.
//!
//! Their exit codes are believed only when they tell of failure; what came out is for the caller to
//! look at. They see a small environment of fixed values, so that nothing of the user's leaks in.

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

/// Folders in which the build writes while it says nothing.
const WRITES_TO: [&str; 6] = ["tmp", "logs", "bin", ".git", "staging_dir/host", "build_dir"];

/// What precedes every call's output and tells nothing.
const NOISE: [&str; 5] = [
    "has a dependency on",
    "has a build dependency on",
    "ignoring type redefinition of",
    "defaults for choice values not supported",
    "Collecting package info",
];

/// Lines kept for a message.
const TAIL: usize = 25;

/// Lines kept from a cause on: the names of missing libraries, for one, come after it.
const SAID: usize = 4;

/// Characters of a line in a message; commands that V=s shows may have thousands.
const WIDTH: usize = 300;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Without a line of output and without a change of the files that it works on.
    pub standstill: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Patience {
    /// Packing a kernel's modules is silent for minutes on a busy machine, but it writes files.
    fn default() -> Self {
        Patience { standstill: Duration::from_secs(300), total: Duration::from_secs(7200) }
    }
}

/// OpenWrt's prerequisite check demands it.
const UMASK: &str = "022";

/// Runs the SDK's programs in its tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) tree: &'a Tree,
    /// The time that the tree's own repository gets; see [`Maker::variables`].
    pub(super) epoch: u64,
    pub(super) jobs: NonZeroUsize,
    pub(super) patience: Patience,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) success: bool,
    tail: VecDeque<String>,
    /// The most telling line about a cause, and what came after it.
    cause: Option<(&'static Symptom, Vec<String>)>,
}

impl Called {
    /// Why it failed, as well as its output tells.
    pub(super) fn failure(self, what: String) -> Failure {
        match self.cause {
            Some((symptom, said)) => symptom.failure(&said.join("\n")),
            None => Failure::of(Problem {
                exit: Exit::Failed,
                id: "SDK049",
                what,
                why: format!("the end of its output:\n{}", Vec::from(self.tail).join("\n")),
                fix: "read the SDK's output above; -v shows all of it",
            }),
        }
    }
}

impl Maker<'_> {
    /// Runs a program of the tree; whether it succeeded is the caller's to judge.
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

    /// Builds one goal. A failure is repeated once, alone and with all output: the first run's output
    /// says only that it failed. A package that it was just writing looks finished to `make`, so it goes.
    pub(super) fn build(&self, goal: &str, settings: &[&str]) -> Result<()> {
        self.build_with(goal, settings, |_| {})
    }

    /// Builds the goal of a kmod from source, which is compiled in `folder`; why it does not compile on a kernel's
    /// line is told as of the stand-in's.
    pub(super) fn compile(&self, goal: &str, folder: &Utf8Path, line: &str) -> Result<()> {
        let mut said = Said::new(folder.as_str());
        // The SDK's own kernel and packages were built before it.
        let built = self.build_with(goal, &["NO_DEPS=1"], |line| said.take(line));
        built.map_err(
            |failure| if failure.exit() == Exit::Failed { said.cause(line).unwrap_or(failure) } else { failure },
        )
    }

    fn build_with(&self, goal: &str, settings: &[&str], mut each: impl FnMut(&str)) -> Result<()> {
        let jobs = format!("-j{}", self.jobs);
        let words = [&["make", goal, &jobs, "BUILD_LOG=1"], settings].concat();
        let began = SystemTime::now();
        if self.call(&words)?.success {
            return Ok(());
        }
        self.tree.remove_packages_since(began)?;
        self.events.line(STAGE, format!("{goal} failed; once more, with all it has to say"));
        let words = [&["make", goal, "-j1", "V=s"], settings].concat();
        let again = self.call_with(&words, &mut each)?;
        if again.success { Ok(()) } else { Err(again.failure(format!("the SDK's `make {goal}` failed"))) }
    }

    /// What the SDK's programs see. Its first use makes a git repository of the tree, whose time ends up
    /// in packages: it gets a fixed time and author, and git never looks above the tree.
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
        let kept = ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        fixed.into_iter().chain(kept).collect()
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
