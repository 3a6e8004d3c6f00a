//! Where the time went: stages of the pipeline, parts of the scenarios, and the slowest scenarios.

use maud::{Markup, html};

use super::charts::{Bar, bars};
use crate::report::{Run, ran_on};
use crate::sink::human::table::seconds;

/// How many rows a list has; the rest takes less time and does not matter.
const ROWS: usize = 6;

/// Empty when nothing took time.
pub(super) fn section(run: &Run) -> Markup {
    let stages =
        run.stages.iter().filter(|stage| stage.ended != "kept").map(|stage| (stage.name.clone(), stage.millis));
    let mut phases: Vec<(String, u64)> = Vec::new();
    for phase in run.cases.iter().flat_map(|case| &case.record.phases) {
        match phases.iter_mut().find(|(name, _)| *name == phase.name) {
            Some((_, millis)) => *millis += phase.millis,
            None => phases.push((phase.name.clone(), phase.millis)),
        }
    }
    let cases = run.cases.iter().map(|case| match ran_on(&case.record).as_str() {
        "" => (case.name.clone(), case.millis),
        kernel => (format!("{} on {kernel}", case.name), case.millis),
    });
    let lists = [
        ("Stages", longest(stages.collect())),
        ("Parts of the scenarios, all added", longest(phases)),
        ("Slowest scenarios", longest(cases.collect())),
    ];
    html! {
        @if lists.iter().any(|(_, rows)| !rows.is_empty()) {
            section aria-labelledby="times" {
                h2 id="times" { "Where the time went" }
                div.columns {
                    @for (title, rows) in lists.iter().filter(|(_, rows)| !rows.is_empty()) {
                        figure { figcaption { (title) } (bars(title, rows)) }
                    }
                }
            }
        }
    }
}

/// The longest, in descending order, as bars relative to the longest.
#[allow(clippy::cast_precision_loss, reason = "lengths of bars")]
fn longest(mut rows: Vec<(String, u64)>) -> Vec<Bar> {
    rows.retain(|(_, millis)| *millis > 0);
    rows.sort_by_key(|(_, millis)| std::cmp::Reverse(*millis));
    let most = rows.first().map_or(1, |(_, millis)| *millis);
    rows.truncate(ROWS);
    let bar =
        |(label, millis)| Bar { label, figure: seconds(millis), share: millis as f64 / most as f64, class: "time" };
    rows.into_iter().map(bar).collect()
}
