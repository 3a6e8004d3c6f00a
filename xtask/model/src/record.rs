//! What a scenario checked, expected and observed, and counters over time. Reports are made from this alone.

use serde::{Deserialize, Serialize};

use crate::word::{self, Word};

/// Everything that one case (a scenario with one package manager on one kernel) recorded.
///
/// Reports show a matrix with a row for each `scenario` and a column for each `kernel` (and `manager`, where a scenario
/// runs with both); a cell is the case's verdict with [`Record::expected`] and [`Record::observed`]. They draw a
/// timeline from `samples`: one drawing for each `run` and `flow`, one line for each counter, `millis` to the right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the scenario: its file without `.yaml`.
    pub scenario: String,
    /// Its one sentence.
    pub title: String,
    /// The group it belongs to, as scenario files write it: `must-offload`, `life` …; reports are sorted by it.
    pub group: String,
    /// `opkg` or `apk`.
    pub manager: String,
    /// Kernel line, as on the command line: `6.1`, `6.12`, `newest`.
    pub kernel: String,
    /// OpenWrt's target as on the command line; reports of older versions do not tell it.
    #[serde(default)]
    pub target: String,
    /// The scenario's file, for annotations; relative to the source tree's root when it lies inside.
    pub file: String,
    /// The line of the file with the step that failed, from 1.
    pub line: Option<u32>,
    /// How offload was broken on purpose, as on the command line: the case passes if it noticed.
    #[serde(deserialize_with = "word::read_option")]
    pub sabotage: Option<Word>,
    /// Where the time went, in order; the rest of the case's time was spent in the harness.
    pub phases: Vec<Phase>,
    /// What was checked, in order. The last check that does not hold is the reason of a failure.
    pub checks: Vec<Check>,
    /// Counters over time.
    pub samples: Vec<Sample>,
}

impl Record {
    /// The paths that traffic had to take, in order: `slow, fast`. Without traffic: `holds`.
    pub fn expected(&self) -> String {
        self.paths(|check| &check.expected)
    }

    /// The paths that traffic took, in order.
    pub fn observed(&self) -> String {
        self.paths(|check| &check.observed)
    }

    /// The word of each path check, without repetitions.
    fn paths(&self, word: fn(&Check) -> &String) -> String {
        let mut words: Vec<&str> = self
            .checks
            .iter()
            .filter(|check| check.kind == CheckKind::Path)
            .map(|check| word(check).as_str())
            .collect();
        words.dedup();
        if !words.is_empty() {
            return words.join(", ");
        }
        // Without traffic, checks of every kind count.
        let failed = self.checks.iter().find(|check| !check.holds);
        failed.map_or_else(|| "holds".to_owned(), |check| word(check).clone())
    }
}

/// A part of a case's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name: `resume`, `install`, `steps`, `traffic`, `judge` …
    pub name: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What kind of question a [`Check`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Which path packets took: `fast`, `slow`, `there-only`, `back-only`, `none`, or `mixed` (observed only).
    Path,
    /// What the connection table says about a flow.
    Conntrack,
    /// What a command printed, or what is installed and loaded.
    Step,
    /// What the kernel log says.
    KernelLog,
}

/// One question about the router, with the expected and the observed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Where in the scenario: `step 3`, or `control run` and `offload run` of a proof.
    pub at: String,
    /// The kind of question.
    pub kind: CheckKind,
    /// What it is about: a flow, a command.
    pub subject: String,
    /// The expected answer, in a few words.
    pub expected: String,
    /// The observed answer; the same words when the check holds.
    pub observed: String,
    /// The figures behind it, in one line.
    pub detail: String,
    /// Whether what was observed is what was expected.
    pub holds: bool,
}

/// A number of packets and of their bytes, IP headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Packets. The kernel may merge TCP segments before it counts them.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// The increase since `before`; a counter that was reset counts from zero.
    #[must_use]
    pub fn since(self, before: Count) -> Count {
        let added = |now: u64, then: u64| if now >= then { now - then } else { now };
        Count { packets: added(self.packets, before.packets), bytes: added(self.bytes, before.bytes) }
    }
}

impl std::ops::Add for Count {
    type Output = Count;

    fn add(self, other: Count) -> Count {
        Count { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

/// The counters of one flow at one moment, both directions added, counted since the flow was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `control` or `offload` for the two runs of a proof, else empty.
    pub run: String,
    /// The flow's name.
    pub flow: String,
    /// Milliseconds since the router first answered.
    pub millis: u64,
    /// What had just happened: `opened`, `exchange` …
    pub after: String,
    /// What arrived at the two hosts: the packets that passed the router.
    pub arrived: Count,
    /// What the forward hook saw of it. The difference from `arrived` took the fast path.
    pub forwarded: Count,
    /// What conntrack counted; `None` without an entry, or without accounting.
    pub conntrack: Option<Count>,
    /// Whether the conntrack entry carries an offload mark; `None` without an entry.
    pub marked: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: CheckKind, expected: &str, observed: &str) -> Check {
        Check {
            at: "step 1".into(),
            kind,
            subject: "a".into(),
            expected: expected.into(),
            observed: observed.into(),
            detail: String::new(),
            holds: expected == observed,
        }
    }

    #[test]
    fn a_cell_tells_the_paths_in_order_and_without_traffic_the_first_failure() {
        let record = |checks: &[Check]| Record { checks: checks.to_vec(), ..Record::default() };
        let traffic = record(&[
            check(CheckKind::Step, "exit 0", "exit 1"),
            check(CheckKind::Path, "slow", "slow"),
            check(CheckKind::Path, "slow", "slow"),
            check(CheckKind::Path, "fast", "mixed"),
        ]);
        assert_eq!((traffic.expected().as_str(), traffic.observed().as_str()), ("slow, fast", "slow, mixed"));
        let steps = record(&[check(CheckKind::Step, "exit 0", "exit 0"), check(CheckKind::Step, "loaded", "absent")]);
        assert_eq!((steps.expected().as_str(), steps.observed().as_str()), ("loaded", "absent"));
        assert_eq!(record(&[]).observed(), "holds");
    }

    #[test]
    fn a_counter_that_was_set_back_counts_from_zero() {
        let count = |packets, bytes| Count { packets, bytes };
        assert_eq!(count(5, 50).since(count(2, 20)), count(3, 30));
        assert_eq!(count(1, 10).since(count(2, 20)), count(1, 10));
        assert_eq!(count(1, 10) + count(2, 20), count(3, 30));
    }
}
