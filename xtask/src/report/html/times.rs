//! Where the time went: stages of the pipeline, parts of the scenarios, and the slowest of them.

use maud::{Markup, html};

use super::charts::{Bar, bars};
use crate::report::Run;
use crate::sink::human::table::seconds;

/// Rows of a list: what takes less time than these is not worth a look.
const ROWS: usize = 6;

/// Nothing when nothing took time.
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
    let cases = run.cases.iter().map(|case| match case.record.kernel.as_str() {
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

/// The longest, longest first, as bars against the longest of them.
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
