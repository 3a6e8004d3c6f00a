//! What a run found out about one kmod package on one kernel: a row of the kmod table.

use serde::{Deserialize, Serialize};

/// The columns of the table, in the order in which a run fills them.
pub const COLUMNS: [&str; 6] = ["compiles", "packs", "loads", "works", "unloads", "clean"];

/// A row of the kmod table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmodRow {
    /// Name of the package.
    pub kmod: String,
    /// The kernel line, as written on the command line.
    pub kernel: String,
    /// One cell for each of [`COLUMNS`].
    pub cells: [Cell; COLUMNS.len()],
}

/// What a cell says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", content = "why", rename_all = "lowercase")]
pub enum Cell {
    /// Yes.
    Yes,
    /// No, for this reason.
    No(String),
    /// Not on this kernel, or nothing to do, for this reason.
    Skipped(String),
    /// Not found out.
    Unknown,
}

impl KmodRow {
    /// Pairs each column's name with its cell.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &Cell)> {
        COLUMNS.into_iter().zip(&self.cells)
    }

    /// Merges the results of two parts of one run, each of which ran some of the scenarios: a no of either counts, and
    /// then a yes.
    pub fn join(&mut self, other: KmodRow) {
        for (cell, other) in self.cells.iter_mut().zip(other.cells) {
            if other.weight() > cell.weight() {
                *cell = other;
            }
        }
    }

    /// The most telling reason: that of the first no, otherwise why the package was not built.
    pub fn why(&self) -> Option<&str> {
        let no = self.cells.iter().find(|cell| matches!(cell, Cell::No(_)));
        no.or(Some(&self.cells[1])).and_then(Cell::why)
    }
}

impl Cell {
    /// The word in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Cell::Yes => "yes",
            Cell::No(_) => "NO",
            Cell::Skipped(_) => "skip",
            Cell::Unknown => "?",
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Cell::Unknown => 0,
            Cell::Skipped(_) => 1,
            Cell::Yes => 2,
            Cell::No(_) => 3,
        }
    }

    /// The reason, if there is one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Cell::No(why) | Cell::Skipped(why) => Some(why),
            Cell::Yes | Cell::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_run_make_one_row() {
        let row = |cells: [Cell; 6]| KmodRow { kmod: "kmod-a".into(), kernel: "6.12".into(), cells };
        let (yes, no, skip, unknown) = (Cell::Yes, Cell::No("a".into()), Cell::Skipped("b".into()), Cell::Unknown);
        let mut one = row([yes.clone(), unknown.clone(), skip.clone(), no.clone(), yes.clone(), unknown.clone()]);
        one.join(row([no.clone(), yes.clone(), unknown.clone(), yes.clone(), skip.clone(), skip.clone()]));
        assert_eq!(one.cells, [no.clone(), yes.clone(), skip.clone(), no, yes, skip]);
    }

    #[test]
    fn the_first_no_is_the_reason() {
        let mut row = KmodRow { kmod: "kmod-a".into(), kernel: "6.12".into(), cells: [const { Cell::Yes }; 6] };
        assert_eq!(row.why(), None);
        row.cells[1] = Cell::Skipped("not for it".into());
        assert_eq!(row.why(), Some("not for it"));
        row.cells[3] = Cell::No("it fails".into());
        assert_eq!((row.why(), row.columns().nth(3).unwrap().0), (Some("it fails"), "works"));
    }
}
