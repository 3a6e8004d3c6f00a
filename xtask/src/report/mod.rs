//! A whole run, collected from its events, and the reports that are made from it.
//!
//! A report is a pure function from a [`Run`] to text, so it can be tested without running anything; `written.rs`
//! writes them. Whatever is not in an [`Event`] is in no report.

pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod merge;
pub mod sabotage;
mod written;

pub use written::Files;

use model::cost::Costs;
use model::kmod::KmodRow;
use model::word::{self, Word};
use model::{Event, Exit, Finding, Record, Severity, Status, Verdict};
use serde::{Deserialize, Serialize};

use crate::cli::DEFAULT_TARGET;

/// The data of all reports. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The command line, quoted for a shell.
    pub command: String,
    /// Flags that are needed to reproduce a case, such as `--accel tcg`.
    #[serde(skip)]
    pub again: Vec<String>,
    /// The exit code of the process.
    pub exit: u8,
    /// How long it took.
    pub millis: u64,
    /// Facts about the machine: name and value.
    pub facts: Vec<Fact>,
    /// The parts of the pipeline.
    pub stages: Vec<Stage>,
    /// The scenarios, in the order in which they ended.
    pub cases: Vec<Case>,
    /// The results for each of the user's kmods.
    pub kmods: Vec<KmodRow>,
    /// Findings outside of any scenario.
    pub findings: Vec<Finding>,
    /// The cost of forwarding packets.
    pub costs: Vec<Costs>,
}

/// A fact about the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name, such as `QEMU`.
    pub name: String,
    /// Its value, such as `7.2.22`.
    pub value: String,
}

/// A part of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, such as `packages`.
    pub name: String,
    /// `kept`, `done` or `failed`.
    #[serde(deserialize_with = "word::read")]
    pub ended: Word,
    /// How long it took.
    pub millis: u64,
    /// What came out.
    pub summary: String,
}

/// One scenario, with one package manager, on one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The verdict with its finding or reason.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub millis: u64,
    /// What was expected.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// The command that reproduces it.
    pub reproduce: String,
    /// Observations, one line each.
    pub notes: Vec<String>,
    /// All checks.
    pub record: Record,
}

/// The number of scenarios with each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Every assertion held.
    pub passed: usize,
    /// One did not.
    pub failed: usize,
    /// Nothing was found out.
    pub blocked: usize,
    /// Not run, for a reason.
    pub skipped: usize,
}

impl Run {
    /// A run in which nothing has happened yet. It counts as a bug until its end is reported.
    pub fn new(command: String, again: Vec<String>) -> Self {
        Run {
            command,
            again,
            exit: Exit::Bug.code(),
            millis: 0,
            facts: Vec::new(),
            stages: Vec::new(),
            cases: Vec::new(),
            kmods: Vec::new(),
            findings: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// Takes an event's data, if reports need it.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Fact { name, value } => {
                let fact = Fact { name: name.clone(), value: value.clone() };
                if !self.facts.contains(&fact) {
                    self.facts.push(fact);
                }
            }
            Event::StageSkipped { stage, why } => self.stage(stage, "kept", 0, why),
            Event::StageEnd { stage, status: Status::Done, millis, summary } => {
                self.stage(stage, "done", *millis, summary);
            }
            Event::StageEnd { stage, status: Status::Failed, millis, summary } => {
                self.stage(stage, "failed", *millis, summary);
            }
            Event::Finding(finding) => self.findings.push(finding.clone()),
            Event::Kmod(row) => self.kmods.push(row.clone()),
            Event::Costs(costs) => self.costs.push(costs.clone()),
            Event::CaseEnd { case, verdict, millis, notes, record } => {
                let case = self.case(case, verdict.clone(), *millis, notes.clone(), Record::clone(record));
                self.cases.push(case);
            }
            _ => {}
        }
    }

    fn stage(&mut self, name: &str, ended: &'static str, millis: u64, summary: &str) {
        self.stages.push(Stage { name: name.into(), ended, millis, summary: summary.into() });
    }

    fn case(&self, name: &str, verdict: Verdict, millis: u64, notes: Vec<String>, record: Record) -> Case {
        let (expected, observed) = match verdict {
            Verdict::Pass | Verdict::Fail { .. } => (record.expected(), record.observed()),
            // Nothing was found out.
            Verdict::Skip { .. } | Verdict::Blocked { .. } => (record.expected(), String::new()),
        };
        let reproduce = self.repetition(name, &record);
        Case { name: name.into(), verdict, millis, expected, observed, reproduce, notes, record }
    }

    /// The command that reproduces one case.
    fn repetition(&self, name: &str, record: &Record) -> String {
        let scenario =
            if record.scenario.is_empty() { name.split('/').next().unwrap_or(name) } else { &record.scenario };
        let mut words = vec!["cargo", "xtask", "test", scenario, "--exact"];
        if is_other(&record.target) {
            words.extend(["--target", &record.target]);
        }
        // A release has one kernel, and no flag for it.
        if !record.kernel.is_empty() && !self.again.iter().any(|word| word == "--release") {
            words.extend(["--kernel", &record.kernel]);
        }
        if let Some(way) = record.sabotage {
            words.extend(["--sabotage", way]);
        }
        words.extend(self.again.iter().map(String::as_str));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// The results of the suite's test of itself; empty for a usual run.
    pub fn sabotage(&self) -> sabotage::Table {
        let mut table = sabotage::Table::default();
        self.cases.iter().for_each(|case| table.take(&case.name, &case.verdict, &case.record));
        table
    }

    /// The scenarios by verdict.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for case in &self.cases {
            *match case.verdict {
                Verdict::Pass => &mut counts.passed,
                Verdict::Fail { .. } => &mut counts.failed,
                Verdict::Blocked { .. } => &mut counts.blocked,
                Verdict::Skip { .. } => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// The scenarios that failed or were blocked, worst first, each with its finding.
    pub fn troubles(&self) -> Vec<(&Case, &Finding)> {
        let mut troubles: Vec<(&Case, &Finding)> = self
            .cases
            .iter()
            .filter_map(|case| match &case.verdict {
                Verdict::Fail { finding } | Verdict::Blocked { finding } => Some((case, finding)),
                Verdict::Pass | Verdict::Skip { .. } => None,
            })
            .collect();
        troubles.sort_by_key(|(case, _)| matches!(case.verdict, Verdict::Blocked { .. }));
        troubles
    }

    /// Errors outside of any scenario.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// A summary of the run in one sentence.
    pub fn headline(&self) -> String {
        let Counts { passed, failed, blocked, skipped: _ } = self.counts();
        let of = |count: usize, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
        if self.exit == Exit::Interrupted.code() {
            "Interrupted before its end".into()
        } else if failed > 0 {
            format!("{} failed", of(failed, "scenario"))
        } else if blocked > 0 {
            format!("{} found nothing out", of(blocked, "scenario"))
        } else if self.exit != Exit::Done.code() {
            self.errors().next().map_or_else(|| format!("Ended with code {}", self.exit), |error| error.what.clone())
        } else if passed > 0 {
            format!("{} held", of(passed, "scenario"))
        } else {
            "Done".into()
        }
    }
}

/// What a case ran on, as columns of tables have it: the kernel line, and the target where it is not the usual one.
pub fn ran_on(record: &Record) -> String {
    let target = Some(&record.target).filter(|target| is_other(target));
    [Some(&record.kernel), target].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn is_other(target: &str) -> bool {
    !target.is_empty() && target != DEFAULT_TARGET
}

/// Quotes a word for the shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
pub(crate) mod tests;
