//! A whole run, collected from its events, and the reports that are made of it.
//!
//! A report is a pure function from a [`Run`] to text, so that it can be tested without running anything;
//! `sink/report.rs` writes them. What is not in an [`Event`] is in no report.

pub mod html;
pub mod json;
pub mod markdown;
pub mod sabotage;

use model::cost::Costs;
use model::{Event, Exit, Finding, Record, Severity, Status, Verdict};
use serde::Serialize;

/// Everything that reports tell. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The command line, as one could type it again.
    pub command: String,
    /// Flags that a repetition needs, such as `--accel tcg`.
    #[serde(skip)]
    pub again: Vec<String>,
    /// What the process ends with.
    pub exit: u8,
    /// How long it took.
    pub millis: u64,
    /// What it stood on: name and value.
    pub facts: Vec<Fact>,
    /// The parts of the pipeline.
    pub stages: Vec<Stage>,
    /// The scenarios, in the order of their ends.
    pub cases: Vec<Case>,
    /// What was found outside of any scenario.
    pub findings: Vec<Finding>,
    /// What forwarding packets costs.
    pub costs: Vec<Costs>,
}

/// What a run stood on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Such as `QEMU`.
    pub name: String,
    /// Such as `7.2.22`.
    pub value: String,
}

/// A part of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Such as `packages`.
    pub name: String,
    /// `kept`, `done` or `failed`.
    pub ended: &'static str,
    /// How long it took.
    pub millis: u64,
    /// What came out.
    pub summary: String,
}

/// One scenario, with one package manager, on one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The verdict, and what it stands on.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub millis: u64,
    /// What had to be seen.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// The command that repeats it.
    pub reproduce: String,
    /// Observations, one line each.
    pub notes: Vec<String>,
    /// All that was looked at.
    pub record: Record,
}

/// How many scenarios had which verdict.
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
    /// A run that nothing has happened in yet. It counts as a defect until somebody says how it ended.
    pub fn new(command: String, again: Vec<String>) -> Self {
        Run {
            command,
            again,
            exit: Exit::Bug.code(),
            millis: 0,
            facts: Vec::new(),
            stages: Vec::new(),
            cases: Vec::new(),
            findings: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// Takes what belongs in a report.
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

    /// The command that runs one case again.
    fn repetition(&self, name: &str, record: &Record) -> String {
        let scenario =
            if record.scenario.is_empty() { name.split('/').next().unwrap_or(name) } else { &record.scenario };
        let mut words = vec!["cargo", "xtask", "test", scenario, "--exact"];
        if !record.kernel.is_empty() {
            words.extend(["--kernel", &record.kernel]);
        }
        if let Some(way) = record.sabotage {
            words.extend(["--sabotage", way]);
        }
        words.extend(self.again.iter().map(String::as_str));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// What the suite's test of itself came to; empty after a usual run.
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

    /// The scenarios that failed or found nothing out, worst first, each with what was found.
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

    /// The run in one sentence.
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

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
pub(crate) mod tests;
