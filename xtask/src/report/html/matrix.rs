//! The matrix: a row for each scenario, a column for each kernel, a verdict for each package manager.

use maud::{Markup, html};
use model::Verdict;

use super::{Look, chip};
use crate::report::{Case, Run, ran_on};

/// Groups of scenarios in the order in which a reviewer wants them; others follow.
const ORDER: [&str; 9] =
    ["must-offload", "must-not-offload", "hardware", "life", "hides", "fw4", "offloadctl", "install", "refuse"];

/// Empty without scenarios.
pub(super) fn section(run: &Run) -> Markup {
    let columns: Vec<String> = cases(run).map(|(_, case)| ran_on(&case.record)).collect();
    let kernels = distinct(columns.iter().map(String::as_str));
    let mut groups = distinct(cases(run).map(|(_, case)| case.record.group.as_str()));
    groups.sort_by_key(|group| ORDER.iter().position(|known| known == group).unwrap_or(ORDER.len()));
    html! {
        @if !kernels.is_empty() {
            section aria-labelledby="matrix" {
                h2 id="matrix" { "Expected and observed" }
                p.faint { "Paths of the packets, in order: the control run without offload comes first." }
                table.matrix {
                    thead {
                        tr {
                            th scope="col" { "Scenario" }
                            th scope="col" { "Expected" }
                            @for kernel in &kernels { th scope="col" { (label(kernel)) } }
                        }
                    }
                    @for group in groups { (rows(run, group, &kernels)) }
                }
            }
        }
    }
}

/// Cases with their numbers, without those run with sabotage, which have their own table.
fn cases(run: &Run) -> impl Iterator<Item = (usize, &Case)> {
    run.cases.iter().enumerate().filter(|(_, case)| case.record.sabotage.is_none())
}

/// The scenarios of a group, sorted by name.
fn rows(run: &Run, group: &str, kernels: &[&str]) -> Markup {
    let cases: Vec<(usize, &Case)> = cases(run).filter(|(_, case)| case.record.group == group).collect();
    let mut names = distinct(cases.iter().map(|(_, case)| name(case)));
    names.sort_unstable();
    html! {
        tbody {
            @if !group.is_empty() {
                tr.group { th scope="rowgroup" colspan=(kernels.len() + 2) { (group.replace('-', " ")) } }
            }
            @for scenario in names {
                @let here: Vec<&(usize, &Case)> = cases.iter().filter(|(_, case)| name(case) == scenario).collect();
                tr {
                    th scope="row" {
                        (scenario)
                        @if let Some((_, case)) = here.first() { span.title { (case.record.title) } }
                    }
                    @let expected = expected(&here);
                    td data-label="Expected" { (expected) }
                    @for kernel in kernels {
                        td data-label=(label(kernel)) {
                            @for (number, case) in by_manager(&here, kernel) { (cell(number, case, expected)) }
                        }
                    }
                }
            }
        }
    }
}

/// What a passed case expected, because a failed one ends before all its checks.
fn expected<'a>(cases: &[&(usize, &'a Case)]) -> &'a str {
    let passed = cases.iter().find(|(_, case)| matches!(case.verdict, Verdict::Pass));
    passed.or(cases.first()).map_or("", |(_, case)| &case.expected)
}

/// The cases on a kernel, sorted by manager, because it is chance which one ended first.
fn by_manager<'a>(cases: &[&(usize, &'a Case)], kernel: &str) -> Vec<(usize, &'a Case)> {
    let mut here: Vec<(usize, &Case)> =
        cases.iter().filter(|(_, case)| ran_on(&case.record) == kernel).map(|&&case| case).collect();
    here.sort_by_key(|(_, case)| &case.record.manager);
    here
}

/// A verdict that links to its details. It shows what was observed if that was not expected, and what was expected if
/// it differs from `usual`, as between kernels.
fn cell(number: usize, case: &Case, usual: &str) -> Markup {
    let look = Look::of(&case.verdict);
    html! {
        a href={ "#case-" (number) } aria-label={ (case.name) ": " (look.word) } {
            (chip(look, if case.record.manager.is_empty() { look.word } else { &case.record.manager }))
        }
        @if !case.observed.is_empty() && case.observed != case.expected {
            span.observed { (case.observed) }
        } @else if matches!(case.verdict, Verdict::Pass) && case.expected != usual {
            span.title { (case.expected) }
        }
        " "
    }
}

fn name(case: &Case) -> &str {
    if case.record.scenario.is_empty() { &case.name } else { &case.record.scenario }
}

fn label(kernel: &str) -> String {
    if kernel.is_empty() { "Observed".into() } else { format!("Linux {kernel}") }
}

/// Each word once, in the order of first appearance.
fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen
}
