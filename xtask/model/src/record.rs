//! What a scenario looked at: expected and observed, and counters over time. Reports draw from this alone.

use serde::Serialize;

/// Everything that one case (a scenario, with one package manager, on one kernel) has to show.
///
/// A matrix has a row for each `scenario` and a column for each `kernel` (and `manager`, where a scenario runs
/// with both); its cell is the verdict of the case with [`Record::expected`] and [`Record::observed`]. A timeline
/// is drawn from `samples`: one line a counter, `millis` to the right, one drawing a `run` and `flow`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Name of the scenario: its file without `.yaml`.
    pub scenario: String,
    /// Its one sentence.
    pub title: String,
    /// What it belongs to, in the words of the scenario files: `must-offload`, `life` …; the order of reports.
    pub group: String,
    /// `opkg` or `apk`.
    pub manager: String,
    /// Kernel line as on the command line: `6.1`, `6.12`, `newest`.
    pub kernel: String,
    /// The file of the scenario, for annotations; from the source tree's root where it is inside.
    pub file: String,
    /// The line of the file with the step that did not hold, from 1.
    pub line: Option<u32>,
    /// How offload was broken on purpose, in the word of the command line: the case passed if it noticed.
    pub sabotage: Option<&'static str>,
    /// Where the time went, in order; what is left to the case's own time is the harness.
    pub phases: Vec<Phase>,
    /// What was looked at, in order. The last one that does not hold is the reason of a failure.
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

    /// The word of each path check, those that repeat told once.
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
        // Without traffic every check counts alike.
        let failed = self.checks.iter().find(|check| !check.holds);
        failed.map_or_else(|| "holds".to_owned(), |check| word(check).clone())
    }
}

/// A part of a case's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// `resume`, `install`, `steps`, `traffic`, `judge` …
    pub name: String,
    /// How long it took.
    pub millis: u64,
}

/// What kind of question a [`Check`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Which path packets took: `fast`, `slow`, `there-only`, `back-only`, `none`, or `mixed` (observed only).
    Path,
    /// What the connection table says of a flow.
    Conntrack,
    /// What a command answered, or what is installed and loaded.
    Step,
    /// The kernel log.
    KernelLog,
}

/// One question to the router, with the answer that had to come and the one that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Where in the scenario: `step 3`, or `control run` and `offload run` of a proof.
    pub at: String,
    /// What kind of question.
    pub kind: CheckKind,
    /// About what: a flow, a command.
    pub subject: String,
    /// A few words.
    pub expected: String,
    /// A few words, the same ones when it holds.
    pub observed: String,
    /// The figures behind it, one line.
    pub detail: String,
    /// Whether what was observed is what was expected.
    pub holds: bool,
}

/// Packets and their bytes, IP headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Packets. The kernel may merge TCP segments before it counts them.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// What was added since `before`; a counter that was set back counts from zero.
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

/// The counters of one flow at one moment, both directions added, each since the flow was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// `control` or `offload` for the two runs of a proof, else empty.
    pub run: String,
    /// The flow's name.
    pub flow: String,
    /// Since the router answered for the first time, in milliseconds.
    pub millis: u64,
    /// What had just happened: `opened`, `exchange` …
    pub after: String,
    /// What arrived at the two hosts: the packets that went through the router.
    pub arrived: Count,
    /// What the forward hook saw of it. The gap to `arrived` is what took the fast path.
    pub forwarded: Count,
    /// What conntrack counted; absent without an entry, or without accounting.
    pub conntrack: Option<Count>,
    /// Whether the conntrack entry carries an offload mark; absent without an entry.
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
