//! One page that a reviewer reads in a minute: the verdict, failures and how to reproduce them, the matrix, the cost of
//! packets, the counters, and where the time went.
//!
//! The page loads nothing and runs no script (its content security policy forbids both), and follows the reader's light
//! or dark setting. The template escapes all texts except the style sheet.

mod charts;
mod kmods;
mod matrix;
mod sabotage;
mod timeline;
mod times;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::{Exit, Finding, Verdict};

use super::{Case, Counts, Run, ran_on};
use crate::sink::human::table::seconds;

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded or run; the style sheet is part of the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Renders the page.
pub fn render(run: &Run) -> String {
    let headline = run.headline();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (headline) " – openwrt-offload" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (banner(run, &headline))
                main {
                    (troubles(run))
                    (sabotage::section(run))
                    (matrix::section(run))
                    (kmods::section(run))
                    (charts::costs(run))
                    (timeline::section(run))
                    (times::section(run))
                    (facts(run))
                    (details(run))
                }
            }
        }
    };
    page.into_string()
}

/// The verdict of the run, and the number of scenarios.
fn banner(run: &Run, headline: &str) -> Markup {
    let Counts { passed, failed, blocked, skipped } = run.counts();
    let look = match run.exit {
        code if code == Exit::Done.code() => Look::PASS,
        code if code == Exit::Blocked.code() || code == Exit::Interrupted.code() => Look::BLOCKED,
        _ => Look::FAIL,
    };
    let counts = [
        (passed, &Look::PASS, "passed"),
        (failed, &Look::FAIL, "failed"),
        (blocked, &Look::BLOCKED, "blocked"),
        (skipped, &Look::SKIP, "skipped"),
    ];
    html! {
        header class={ "banner " (look.class) } {
            h1 { span.glyph aria-hidden="true" { (look.glyph) } " " (headline) }
            @if !run.cases.is_empty() {
                ul.counts {
                    @for (count, look, word) in counts {
                        li class=(if count > 0 { look.class } else { "none" }) { b { (count) } " " (word) }
                    }
                }
            }
            p { code { (run.command) } " ended with code " b { (run.exit) } " after " (seconds(run.millis)) "." }
        }
    }
}

/// Everything that failed, each with the command that reproduces it.
fn troubles(run: &Run) -> Markup {
    let (errors, troubles): (Vec<&Finding>, _) = (run.errors().collect(), run.troubles());
    html! {
        @if !errors.is_empty() || !troubles.is_empty() {
            section aria-labelledby="wrong" {
                h2 id="wrong" { "What went wrong" }
                @for error in errors {
                    article.trouble.fail { (finding(error)) }
                }
                @for (case, found) in troubles {
                    @let look = Look::of(&case.verdict);
                    article class={ "trouble " (look.class) } {
                        h3 { (chip(look, look.word)) " " (case.name) (on_kernel(case)) }
                        (finding(found))
                        @if !case.observed.is_empty() && case.observed != case.expected {
                            p { "Expected " b { (case.expected) } ", observed " b { (case.observed) } "." }
                        }
                        p.again { "Repeat it: " code { (case.reproduce) } }
                    }
                }
            }
        }
    }
}

fn finding(finding: &Finding) -> Markup {
    let Finding { id, severity: _, place, what, why, fix } = finding;
    html! {
        p.what { b { (id) } " " (what) @if let Some(place) = place { " " span.faint { "(" (place) ")" } } }
        // A program's output keeps its columns.
        p.why.printed[why.contains('\n')] { (why) }
        p.fix { b { "Fix: " } (fix) }
    }
}

fn facts(run: &Run) -> Markup {
    html! {
        @if !run.facts.is_empty() {
            section aria-labelledby="facts" {
                h2 id="facts" { "What the run stood on" }
                dl { @for fact in &run.facts { dt { (fact.name) } dd { (fact.value) } } }
            }
        }
    }
}

/// Every scenario with all its checks, folded.
fn details(run: &Run) -> Markup {
    html! {
        @if !run.cases.is_empty() {
            section aria-labelledby="details" {
                h2 id="details" { "All that was looked at" }
                @for (number, case) in run.cases.iter().enumerate() { (detail(number, case)) }
            }
        }
    }
}

/// The link's target is inside the folded element, so that browsers open it.
fn detail(number: usize, case: &Case) -> Markup {
    let Case { name, verdict, millis, notes, record, reproduce, .. } = case;
    let look = Look::of(verdict);
    html! {
        details {
            summary { (chip(look, look.word)) " " (name) (on_kernel(case)) " " span.faint { (seconds(*millis)) } }
            div id={ "case-" (number) } {
                @if !record.title.is_empty() { p { (record.title) } }
                @if let Verdict::Skip { reason } = verdict { p { "Not run: " (reason) } }
                (checks(case))
                (timeline::of(case))
                @if !notes.is_empty() { ul.notes { @for note in notes { li { (note) } } } }
                p.again { "Repeat it: " code { (reproduce) } }
            }
        }
    }
}

/// The checks, in order.
fn checks(case: &Case) -> Markup {
    html! {
        @if !case.record.checks.is_empty() {
            div.scroll role="region" tabindex="0" aria-label={ "Checks of " (case.name) } {
                table {
                    thead {
                        tr {
                            @for head in ["Where", "What", "Expected", "Observed", "Figures"] {
                                th scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for check in &case.record.checks {
                            tr class=(if check.holds { "pass" } else { "fail" }) {
                                @for text in [&check.at, &check.subject, &check.expected, &check.observed, &check.detail] {
                                    td { (text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn on_kernel(case: &Case) -> Markup {
    html! { @if !case.record.kernel.is_empty() { " on Linux " (ran_on(&case.record)) } }
}

/// The look of a verdict: a symbol and a colour, never only a colour.
#[derive(Clone, Copy)]
struct Look {
    class: &'static str,
    glyph: &'static str,
    word: &'static str,
}

impl Look {
    const PASS: Look = Look { class: "pass", glyph: "✓", word: "pass" };
    const FAIL: Look = Look { class: "fail", glyph: "✗", word: "FAIL" };
    const BLOCKED: Look = Look { class: "blocked", glyph: "?", word: "BLOCKED" };
    const SKIP: Look = Look { class: "skip", glyph: "–", word: "skip" };

    fn of(verdict: &Verdict) -> Look {
        match verdict {
            Verdict::Pass => Look::PASS,
            Verdict::Fail { .. } => Look::FAIL,
            Verdict::Blocked { .. } => Look::BLOCKED,
            Verdict::Skip { .. } => Look::SKIP,
        }
    }
}

/// A verdict with a few words.
fn chip(look: Look, words: &str) -> Markup {
    html! { span class={ "chip " (look.class) } { span aria-hidden="true" { (look.glyph) } " " (words) } }
}

/// A number with separated thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
