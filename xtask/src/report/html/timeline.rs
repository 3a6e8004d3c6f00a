//! The counters during a flow: packets that arrived at the hosts, that the forward hook saw, that conntrack counted.
//!
//! The gap between the arrived packets and those that the forward hook saw took the fast path; the control run shows
//! the same flow without a gap.

use maud::{Markup, html};
use model::{Count, Sample, Verdict};

use super::{Look, chip, grouped, on_kernel};
use crate::report::{Case, Run};

/// Size of a drawing in its own units, which is about its size on a phone, so that its text stays readable.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 190.0;
/// The frame around the lines: left, right, top, bottom.
const FRAME: (f64, f64, f64, f64) = (8.0, 332.0, 24.0, 160.0);

/// The first scenario that failed, and one that passed, for comparison.
pub(super) fn section(run: &Run) -> Markup {
    let drawn = |wanted: fn(&Verdict) -> bool| {
        run.cases.iter().find(|case| wanted(&case.verdict) && !drawings(case).is_empty())
    };
    let failed = drawn(|verdict| matches!(verdict, Verdict::Fail { .. }));
    let passed = drawn(|verdict| matches!(verdict, Verdict::Pass));
    html! {
        @if failed.is_some() || passed.is_some() {
            section aria-labelledby="timeline" {
                h2 id="timeline" { "Counters during a flow" }
                p { "The gap between what arrived and what the forward hook saw is what took the fast path." }
                @for case in failed.into_iter().chain(passed) {
                    h3 { (chip(Look::of(&case.verdict), &case.name)) (on_kernel(case)) }
                    (of(case))
                }
            }
        }
    }
}

/// All drawings of a scenario, with a legend.
pub(super) fn of(case: &Case) -> Markup {
    let drawings = drawings(case);
    let most = |samples: &[&Sample]| samples.iter().map(|sample| bytes(sample)).max().unwrap_or(0);
    html! {
        @if !drawings.is_empty() {
            ul.legend aria-hidden="true" {
                li.arrived { "arrived at the hosts" }
                li.forwarded { "seen by the forward hook" }
                li.conntrack { "counted by conntrack" }
            }
            div.columns {
                @for (run, flow, samples) in &drawings {
                    // Both runs of a flow have the same scale.
                    @let alike = drawings.iter().filter(|(_, other, _)| other == flow);
                    @let scale = alike.map(|(_, _, samples)| most(samples)).max().unwrap_or(0);
                    figure { figcaption { (title(run, flow)) } (drawing(run, flow, samples, scale)) }
                }
            }
        }
    }
}

fn title(run: &str, flow: &str) -> String {
    match run {
        "control" => format!("{flow}, control run"),
        "offload" => format!("{flow}, with offload"),
        _ => flow.to_owned(),
    }
}

/// The samples of each run and flow, sorted by time; a single sample makes no line.
fn drawings(case: &Case) -> Vec<(&str, &str, Vec<&Sample>)> {
    let mut drawings: Vec<(&str, &str, Vec<&Sample>)> = Vec::new();
    for sample in &case.record.samples {
        match drawings.iter_mut().find(|(run, flow, _)| (*run, *flow) == (sample.run.as_str(), sample.flow.as_str())) {
            Some((_, _, samples)) => samples.push(sample),
            None => drawings.push((&sample.run, &sample.flow, vec![sample])),
        }
    }
    drawings.retain(|(_, _, samples)| samples.len() > 1);
    drawings.iter_mut().for_each(|(_, _, samples)| samples.sort_by_key(|sample| sample.millis));
    drawings
}

fn bytes(sample: &Sample) -> u64 {
    sample.arrived.bytes.max(sample.forwarded.bytes).max(sample.conntrack.map_or(0, |count| count.bytes))
}

fn drawing(run: &str, flow: &str, samples: &[&Sample], most: u64) -> Markup {
    let [first, .., last] = samples else { return html! {} };
    let place = Place { from: first.millis, to: last.millis, most };
    let (left, right, top, bottom) = FRAME;
    let spoken = format!(
        "{}: the forward hook saw {} of {} packets that arrived",
        title(run, flow),
        grouped(last.forwarded.packets),
        grouped(last.arrived.packets)
    );
    let marked = samples.iter().find(|sample| sample.marked == Some(true));
    html! {
        svg.timeline viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(spoken) {
            text x=(left) y="14" { (megabytes(most)) }
            line.axis x1=(left) y1=(top) x2=(right) y2=(top) {}
            line.axis x1=(left) y1=(bottom) x2=(right) y2=(bottom) {}
            @if let Some(sample) = marked {
                line.mark x1=(place.x(sample)) y1=(top) x2=(place.x(sample)) y2=(bottom) {}
                text.mark x=(place.x(sample) + 4.0) y=(bottom - 6.0) { "marked OFFLOAD" }
            }
            polyline.arrived points=(place.line(samples, |sample| Some(sample.arrived))) {}
            polyline.conntrack points=(place.line(samples, |sample| sample.conntrack)) {}
            polyline.forwarded points=(place.line(samples, |sample| Some(sample.forwarded))) {}
            @for sample in samples {
                circle.forwarded cx=(place.x(sample)) cy=(place.y(sample.forwarded)) r="3" {
                    title { (moment(sample, first)) }
                }
            }
            text x=(left) y=(bottom + 18.0) { "0 ms" }
            text x=(right) y=(bottom + 18.0) text-anchor="end" { (grouped(last.millis - first.millis)) " ms" }
            // Above the frame, beside the scale; below it the times would collide with a large number.
            text x=(right) y="14" text-anchor="end" {
                "forward hook: " (grouped(last.forwarded.packets)) " of " (grouped(last.arrived.packets)) " packets"
            }
        }
    }
}

/// A sample in words.
fn moment(sample: &Sample, first: &Sample) -> String {
    format!(
        "{} ms, {}: {} packets arrived, the forward hook saw {}",
        grouped(sample.millis - first.millis),
        sample.after,
        grouped(sample.arrived.packets),
        grouped(sample.forwarded.packets)
    )
}

#[allow(clippy::cast_precision_loss, reason = "a figure to be read")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Maps times and counts to positions in a drawing.
struct Place {
    from: u64,
    to: u64,
    most: u64,
}

#[allow(clippy::cast_precision_loss, reason = "places in a drawing")]
impl Place {
    fn x(&self, sample: &Sample) -> f64 {
        let (left, right, ..) = FRAME;
        let share = (sample.millis - self.from) as f64 / (self.to - self.from).max(1) as f64;
        tenths(left + (right - left) * share)
    }

    fn y(&self, count: Count) -> f64 {
        let (_, _, top, bottom) = FRAME;
        tenths(bottom - (bottom - top) * (count.bytes as f64 / self.most.max(1) as f64))
    }

    /// The points of a line; samples without a count are left out.
    fn line(&self, samples: &[&Sample], count: impl Fn(&Sample) -> Option<Count>) -> String {
        let point = |sample: &&Sample| Some(format!("{},{}", self.x(sample), self.y(count(sample)?)));
        samples.iter().filter_map(point).collect::<Vec<_>>().join(" ")
    }
}

/// Rounds to one digit, to keep the page small.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
