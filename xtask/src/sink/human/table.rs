//! The table at the end of a run: every stage and scenario with its result and time.

use std::fmt;

use model::{Phase, Verdict};

/// Width of the column with the result words.
pub const WORD: usize = 7;

/// How many slow scenarios are named.
const SLOWEST: usize = 5;

/// One stage or scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    is_case: bool,
    /// Name of the stage or scenario.
    pub name: String,
    /// `pass`, `FAIL`, `done` …
    pub word: &'static str,
    millis: Option<u64>,
    note: String,
    more: Vec<String>,
}

impl Row {
    /// A row for a stage; `millis` is `None` when there was nothing to do.
    pub fn stage(name: &str, word: &'static str, millis: Option<u64>, note: &str) -> Self {
        Row { is_case: false, name: name.into(), word, millis, note: first_line(note), more: Vec::new() }
    }

    /// A row for a scenario.
    pub fn case(name: &str, word: &'static str, millis: u64, verdict: &Verdict, notes: &[String]) -> Self {
        let (note, more) = match verdict {
            Verdict::Pass => (notes.first().cloned().unwrap_or_default(), notes.get(1..).unwrap_or_default().to_vec()),
            Verdict::Skip { reason } => (reason.clone(), Vec::new()),
            Verdict::Fail { finding } | Verdict::Blocked { finding } => {
                (format!("{}: {}", finding.id, finding.what), notes.to_vec())
            }
        };
        Row { is_case: true, name: name.into(), word, millis: Some(millis), note: first_line(&note), more }
    }

    /// The row without its word, as printed when it happens.
    pub fn rest(&self) -> String {
        let time = self.millis.map(|millis| format!(" in {}", seconds(millis))).unwrap_or_default();
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        format!("{}{time}{note}", self.name)
    }
}

/// All rows of a run.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    /// The parts of the scenarios' time.
    phases: Vec<Phase>,
}

impl Table {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds the time of a scenario's parts.
    pub fn spend(&mut self, phases: &[Phase]) {
        for Phase { name, millis } in phases {
            match self.phases.iter_mut().find(|phase| phase.name == *name) {
                Some(phase) => phase.millis += millis,
                None => self.phases.push(Phase { name: name.clone(), millis: *millis }),
            }
        }
    }

    /// Where the time of all scenarios went, longest part first; parallel scenarios are added up.
    pub fn spent(&self) -> Option<String> {
        let mut phases: Vec<&Phase> = self.phases.iter().collect();
        phases.sort_by_key(|phase| std::cmp::Reverse(phase.millis));
        let told: Vec<String> =
            phases.iter().map(|phase| format!("{} {}", phase.name, seconds(phase.millis))).collect();
        (!told.is_empty()).then(|| format!("the scenarios' time went to: {}", told.join(", ")))
    }

    /// The slowest scenarios; `None` when the table is not longer than that list.
    pub fn slowest(&self) -> Option<String> {
        let mut cases: Vec<&Row> = self.rows.iter().filter(|row| row.is_case).collect();
        if cases.len() <= SLOWEST {
            return None;
        }
        cases.sort_by_key(|row| std::cmp::Reverse(row.millis));
        let told: Vec<String> = cases
            .iter()
            .take(SLOWEST)
            .map(|row| format!("{} {}", row.name, seconds(row.millis.unwrap_or_default())))
            .collect();
        Some(format!("the slowest scenarios: {}", told.join(", ")))
    }

    /// The scenarios by verdict, `; 3 passed, …`; empty when there were none.
    pub fn counts(&self) -> String {
        if !self.rows.iter().any(|row| row.is_case) {
            return String::new();
        }
        let count = |word: &str| self.rows.iter().filter(|row| row.is_case && row.word == word).count();
        format!(
            ": {} passed, {} failed, {} blocked, {} skipped",
            count("pass"),
            count("FAIL"),
            count("BLOCKED"),
            count("skip")
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for Row { is_case: _, name, word, millis, note, more } in &self.rows {
            let time = millis.map_or_else(|| "-".into(), seconds);
            let line = format!("  {name:width$}  {word:WORD$}  {time:>8}  {note}");
            writeln!(f, "{}", line.trim_end())?;
            for line in more {
                writeln!(f, "  {:width$}  {:WORD$}  {:>8}  {line}", "", "", "")?;
            }
        }
        Ok(())
    }
}

/// A duration for messages: `0.42 s`, `95.3 s`.
pub fn seconds(millis: u64) -> String {
    let (whole, rest) = (millis / 1000, millis % 1000);
    if whole < 10 { format!("{whole}.{:02} s", rest / 10) } else { format!("{whole}.{} s", rest / 100) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_all_scenarios_are_added_up_longest_first() {
        let mut table = Table::default();
        assert_eq!(table.spent(), None);
        let phase = |name: &str, millis| Phase { name: name.into(), millis };
        table.spend(&[phase("resume", 500), phase("traffic", 400)]);
        table.spend(&[phase("resume", 450), phase("traffic", 1600)]);
        assert_eq!(table.spent().unwrap(), "the scenarios' time went to: traffic 2.00 s, resume 0.95 s");
    }

    #[test]
    fn the_slowest_scenarios_are_named_and_no_stage_among_them() {
        let mut table = Table::default();
        table.push(Row::stage("kernel", "done", Some(90_000), ""));
        for millis in [1000, 5000, 3000, 2000, 4000] {
            table.push(Row::case(&format!("case-{millis}"), "pass", millis, &Verdict::Pass, &[]));
        }
        assert_eq!(table.slowest(), None);
        table.push(Row::case("case-9000", "pass", 9000, &Verdict::Pass, &[]));
        let told = "case-9000 9.00 s, case-5000 5.00 s, case-4000 4.00 s, case-3000 3.00 s, case-2000 2.00 s";
        assert_eq!(table.slowest().unwrap(), format!("the slowest scenarios: {told}"));
    }

    #[test]
    fn seconds_have_the_digits_that_matter() {
        for (millis, text) in [(0, "0.00 s"), (428, "0.42 s"), (9_999, "9.99 s"), (95_340, "95.3 s")] {
            assert_eq!(seconds(millis), text);
        }
    }
}
