//! Bar charts of the cost of forwarding a packet.

use maud::{Markup, html};
use model::cost::{Clock, Cost, Costs, OF_HARDWARE, Path};

use super::grouped;
use crate::report::Run;

/// Height of a bar with the line of text above it, in CSS pixels, so that it does not shrink on a phone.
const ROW: usize = 36;

/// A bar of a chart.
pub(super) struct Bar {
    /// What the bar is about.
    pub(super) label: String,
    /// The figure as text.
    pub(super) figure: String,
    /// Its length, from 0 to 1.
    pub(super) share: f64,
    /// The CSS class for its colour.
    pub(super) class: &'static str,
}

/// Bars below each other; `title` describes the chart for screen readers.
pub(super) fn bars(title: &str, bars: &[Bar]) -> Markup {
    let spoken: Vec<String> = bars.iter().map(|bar| format!("{} {}", bar.label, bar.figure)).collect();
    html! {
        svg.bars width="100%" height=(bars.len() * ROW) role="img" aria-label={ (title) ": " (spoken.join("; ")) } {
            @for (index, bar) in bars.iter().enumerate() {
                text x="0" y=(index * ROW + 15) { (bar.label) }
                text.figure x="100%" y=(index * ROW + 15) text-anchor="end" { (bar.figure) }
                rect.track x="0" y=(index * ROW + 20) width="100%" height="8" rx="2" {}
                @let width = format!("{:.2}%", bar.share * 100.0);
                rect class=(bar.class) x="0" y=(index * ROW + 20) width=(width) height="8" rx="2" {}
            }
        }
    }
}

/// The cost of forwarding each kind of packet, with offload off and on.
pub(super) fn costs(run: &Run) -> Markup {
    html! {
        @for costs in &run.costs {
            section {
                h2 { "What a forwarded packet costs" @if !costs.kernel.is_empty() { " on Linux " (costs.kernel) } }
                p { (told(costs)) }
                div.columns {
                    @for (packet, figures) in packets(costs) {
                        figure { figcaption { (packet) } (bars(&packet, &figures)) }
                    }
                }
                @if costs.has_hardware() {
                    p.faint { (OF_HARDWARE) }
                } @else if let Some(why) = &costs.no_hardware {
                    p.faint { "No figures for hardware: no device of the guest can (" (why) ")." }
                }
            }
        }
    }
}

fn told(costs: &Costs) -> String {
    let rounds = costs.costs.first().map_or(0, |cost| cost.rounds);
    let packets = costs.costs.first().map_or(0, |cost| cost.packets);
    let spread = costs.costs.iter().map(|cost| cost.forwarding.percent()).fold(0.0, f64::max);
    let unit = match costs.clock {
        Clock::Instructions => "Instructions, which an emulated guest counts the same way in every run",
        Clock::Time => "Nanoseconds of a CPU that the guest really ran on",
    };
    format!(
        "{unit}: from entering the router to leaving it, the middle of {rounds} rounds of {} packets. \
         The rounds differ by at most ±{spread:.2} %.",
        grouped(packets)
    )
}

/// Each kind of packet with its bars; all bars of a guest have the same scale.
fn packets(costs: &Costs) -> Vec<(String, Vec<Bar>)> {
    let longest = costs.costs.iter().map(|cost| cost.forwarding.median).fold(f64::MIN_POSITIVE, f64::max);
    let mut packets: Vec<(String, Vec<Bar>)> = Vec::new();
    for cost in &costs.costs {
        let packet = cost.packet();
        let bar = bar(costs, cost, longest);
        match packets.iter_mut().find(|(known, _)| *known == packet) {
            Some((_, bars)) => bars.push(bar),
            None => packets.push((packet, vec![bar])),
        }
    }
    packets
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure to be read, rounded")]
fn bar(costs: &Costs, cost: &Cost, longest: f64) -> Bar {
    let median = cost.forwarding.median;
    let figure = grouped(median.round_ties_even().max(0.0) as u64);
    let share = costs.baseline(cost).filter(|off| off.path != cost.path);
    let figure = match share {
        Some(off) => format!("{figure} · {:.0} % of off", median / off.forwarding.median * 100.0),
        None => figure,
    };
    let (label, class) = match cost.path {
        Path::Off => ("offload off", "slow"),
        Path::Software => ("software", "fast"),
        Path::Hardware => ("hardware, simulated", "hardware"),
    };
    Bar { label: label.into(), figure, share: (median / longest).clamp(0.0, 1.0), class }
}
