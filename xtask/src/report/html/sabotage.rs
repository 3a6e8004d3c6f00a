//! The suite's test of itself: which cases noticed that offload was broken.

use maud::{Markup, html};

use super::{Look, chip};
use crate::report::Run;
use crate::report::sabotage::Answer;

/// Empty unless offload was broken on purpose.
pub(super) fn section(run: &Run) -> Markup {
    let table = run.sabotage();
    let (noticed, all) = table.noticed();
    html! {
        @if !table.rows.is_empty() {
            section aria-labelledby="sabotage" {
                h2 id="sabotage" { "The suite's test of itself" }
                p.faint { "Offload was broken on purpose: " (noticed) " of " (all) " turned red, as all must." }
                table.matrix {
                    thead {
                        tr {
                            th scope="col" { "Case" }
                            @for way in &table.ways { th scope="col" { (way) } }
                        }
                    }
                    tbody {
                        @for (name, row) in &table.rows {
                            tr {
                                th scope="row" { (name) }
                                @for (way, answer) in table.ways.iter().zip(row) {
                                    td data-label=(way) { @if let Some(answer) = answer { (cell(answer)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A cell of the table; red is the expected answer, so it looks good.
fn cell(answer: &Answer) -> Markup {
    let look = match answer {
        Answer::Red(_) => Look::PASS,
        Answer::Green => Look::FAIL,
        Answer::Unclear => Look::BLOCKED,
    };
    chip(look, &answer.words())
}
