//! The suite's test of itself as a table: a row for each case, a column for each way in which offload was broken.

use model::{Record, Verdict};

/// The results of the cases that had to notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The ways, in the order in which they were tried.
    pub ways: Vec<&'static str>,
    /// Cases by name, without the way, in the order in which they first ended.
    pub rows: Vec<(String, Vec<Option<Answer>>)>,
}

/// What a case did when offload was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It failed because of it, at this place.
    Red(String),
    /// It passed, although it should have failed.
    Green,
    /// It failed elsewhere, or was blocked.
    Unclear,
}

impl Answer {
    /// The text of a cell.
    pub fn words(&self) -> String {
        match self {
            Answer::Red(at) => format!("red at {at}"),
            Answer::Green => "STILL GREEN".into(),
            Answer::Unclear => "UNCLEAR".into(),
        }
    }
}

impl Table {
    /// Takes the end of a case; ignores cases without sabotage, and those that were skipped.
    pub fn take(&mut self, case: &str, verdict: &Verdict, record: &Record) {
        let Some(way) = record.sabotage else { return };
        let answer = match verdict {
            Verdict::Skip { .. } => return,
            Verdict::Pass => {
                let noticed = record.checks.iter().find(|check| !check.holds);
                Answer::Red(noticed.map(|check| check.at.clone()).unwrap_or_default())
            }
            Verdict::Fail { .. } => Answer::Green,
            Verdict::Blocked { .. } => Answer::Unclear,
        };
        let column = self.ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            self.ways.push(way);
            self.ways.len() - 1
        });
        let name = case.strip_suffix(way).map_or(case, |name| name.trim_end_matches('/'));
        let row = self.rows.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.rows.push((name.to_owned(), Vec::new()));
            self.rows.len() - 1
        });
        let cells = &mut self.rows[row].1;
        cells.resize(cells.len().max(column + 1), None);
        cells[column] = Some(answer);
    }

    /// The words of each cell of a row.
    pub fn cells(&self, row: &[Option<Answer>]) -> Vec<String> {
        let word = |index| row.get(index).and_then(Option::as_ref).map_or_else(|| "-".to_owned(), Answer::words);
        (0..self.ways.len()).map(word).collect()
    }

    /// How many cases noticed, and how many had to.
    pub fn noticed(&self) -> (usize, usize) {
        let answers = || self.rows.iter().flat_map(|(_, row)| row.iter().flatten());
        (answers().filter(|answer| matches!(answer, Answer::Red(_))).count(), answers().count())
    }

    /// The table as text; empty when offload was not broken.
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(HEAD.len());
        let mut lines = vec![line(HEAD, width, self.ways.iter().map(|way| (*way).to_owned()))];
        lines.extend(self.rows.iter().map(|(name, row)| line(name, width, self.cells(row).into_iter())));
        let (noticed, all) = self.noticed();
        lines.push(format!("  {noticed} of {all} turned red, as all must"));
        lines.join("\n")
    }
}

/// The heading above the names.
const HEAD: &str = "offload broken by";

/// The width of a column, enough for the longest answer.
const COLUMN: usize = 22;

fn line(name: &str, width: usize, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:COLUMN$}")).collect();
    format!("  {name:width$}  {}", cells.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::human::tests::finding;
    use model::{Check, CheckKind};

    fn record(way: &'static str, at: &str) -> Record {
        let check = Check {
            at: at.into(),
            kind: CheckKind::Path,
            subject: "udp".into(),
            expected: "fast".into(),
            observed: "slow".into(),
            detail: String::new(),
            holds: false,
        };
        Record { sabotage: Some(way), checks: vec![check], ..Record::default() }
    }

    #[test]
    fn every_case_has_an_answer_to_every_way() {
        let mut table = Table::default();
        assert_eq!(table.text(), "");
        let fail = Verdict::Fail { finding: finding("SELF999", "no") };
        let blocked = Verdict::Blocked { finding: finding("SELF998", "no") };
        table.take("nat/apk", &Verdict::Pass, &Record::default());
        table.take("ping/apk/one", &Verdict::Skip { reason: "no traffic".into() }, &record("one", "x"));
        assert_eq!(table, Table::default());
        table.take("nat/apk/one", &Verdict::Pass, &record("one", "step 7"));
        table.take("vlan/apk/one", &fail, &record("one", ""));
        table.take("vlan/apk/two", &blocked, &record("two", ""));
        assert_eq!(table.noticed(), (1, 3));
        let expected = "  offload broken by  one                    two
  nat/apk            red at step 7          -
  vlan/apk           STILL GREEN            UNCLEAR
  1 of 3 turned red, as all must";
        assert_eq!(table.text(), expected);
    }
}
