//! The table of the user's kmods, kernel by kernel.

use maud::{Markup, html};
use model::kmod::{COLUMNS, Cell, KmodRow};

use super::{Look, chip};
use crate::report::Run;

/// Empty without kmods.
pub(super) fn section(run: &Run) -> Markup {
    html! {
        @if !run.kmods.is_empty() {
            section aria-labelledby="kmods" {
                h2 id="kmods" { "Kernel modules" }
                table.matrix {
                    thead {
                        tr {
                            th scope="col" { "Kmod" }
                            @for column in COLUMNS { th scope="col" { (column) } }
                            th scope="col" { "Why not" }
                        }
                    }
                    tbody { @for row in &run.kmods { (one(row)) } }
                }
            }
        }
    }
}

fn one(row: &KmodRow) -> Markup {
    html! {
        tr {
            th scope="row" { (row.kmod) " on " (row.kernel) }
            @for (column, cell) in row.columns() { td data-label=(column) { (chip(look(cell), cell.word())) } }
            td data-label="why not" { @if let Some(why) = row.why() { (why) } }
        }
    }
}

fn look(cell: &Cell) -> Look {
    match cell {
        Cell::Yes => Look::PASS,
        Cell::No(_) => Look::FAIL,
        Cell::Skipped(_) => Look::SKIP,
        Cell::Unknown => Look::BLOCKED,
    }
}
