//! A JUnit report for CI services.
//!
//! Fail becomes `failure`, Blocked `error`, Skip `skipped`. Stages form a suite of their own, and an error outside any
//! scenario becomes a case with an `error`: a run that never reached its first scenario must not look like a report
//! without failures.

use std::time::Duration;

use model::kmod::{Cell, KmodRow};
use model::{Finding, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Case, Fact, Run, Stage};

/// Renders the report.
///
/// # Errors
/// When the run cannot be written as XML.
pub fn render(run: &Run) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("openwrt-offload");
    let suites = [
        ("stages", run.stages.iter().map(stage).collect::<Vec<_>>()),
        ("scenarios", run.cases.iter().map(scenario).collect()),
        ("kmods", run.kmods.iter().map(kmod).collect()),
        ("problems", run.errors().map(|finding| case(finding.id, 0, told(NonSuccessKind::Error, finding))).collect()),
    ];
    for (name, cases) in suites.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let mut suite = TestSuite::new(name);
        suite.add_properties(run.facts.iter().map(|Fact { name, value }| (name.as_str(), value.as_str())));
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn stage(stage: &Stage) -> TestCase {
    let status = match stage.ended {
        "kept" => skipped(&stage.summary),
        "failed" => {
            let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failed.set_message(stage.summary.as_str());
            failed
        }
        _ => TestCaseStatus::success(),
    };
    case(&stage.name, stage.millis, status)
}

fn scenario(found: &Case) -> TestCase {
    let status = match &found.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Skip { reason } => skipped(reason),
        Verdict::Fail { finding } => told(NonSuccessKind::Failure, finding),
        Verdict::Blocked { finding } => told(NonSuccessKind::Error, finding),
    };
    let mut case = case(&found.name, found.millis, status);
    if !found.notes.is_empty() {
        case.set_system_out(found.notes.join("\n"));
    }
    case
}

/// A case for a kmod: one that does not compile runs no scenario, and would be missing from the report.
fn kmod(row: &KmodRow) -> TestCase {
    let no = row.columns().find(|(_, cell)| matches!(cell, Cell::No(_)));
    let status = match (no, &row.cells[1]) {
        (Some((column, cell)), _) => {
            let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failed.set_message(format!("{column}: {}", cell.why().unwrap_or("no")));
            failed
        }
        (None, Cell::Skipped(why)) => skipped(why),
        (None, _) => TestCaseStatus::success(),
    };
    case(&format!("{} on {}", row.kmod, row.kernel), 0, status)
}

fn case(name: &str, millis: u64, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_time(Duration::from_millis(millis));
    case
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn told(kind: NonSuccessKind, finding: &Finding) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(finding.what.as_str()).set_type(finding.id).set_description(finding.to_string());
    status
}

#[cfg(test)]
mod tests {
    use model::Event;

    use super::*;
    use crate::sink::human::tests::{finding, sample_run};

    fn written(events: &[Event]) -> String {
        let mut run = Run::new(String::new(), Vec::new());
        events.iter().for_each(|event| run.take(event));
        render(&run).unwrap()
    }

    #[test]
    fn verdicts_keep_their_meaning() {
        let text = written(&sample_run());
        for part in [
            r#"<testsuites name="openwrt-offload" tests="7" skipped="2" failures="1" errors="1""#,
            r#"<failure message="the slow path was taken" type="CASE999">"#,
            r#"<error message="the guest never answered" type="VM999">"#,
            r#"<skipped message="needs two-nics"/>"#,
            r#"<skipped message="same inputs as before"/>"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_kmod_that_does_not_compile_is_a_failure_though_no_scenario_ran() {
        let row = |at: usize, cell: Cell| {
            let mut cells = [const { Cell::Yes }; 6];
            cells[at] = cell;
            Event::Kmod(KmodRow { kmod: "kmod-a".into(), kernel: "6.1".into(), cells })
        };
        for (event, part) in [
            (row(0, Cell::No("gone".into())), r#"<failure message="compiles: gone"/>"#),
            (row(1, Cell::Skipped("built in".into())), r#"<skipped message="built in"/>"#),
            (row(0, Cell::Yes), r#"<testcase name="kmod-a on 6.1" time="0.000"/>"#),
        ] {
            let text = written(&[event]);
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_a_run_stood_on_is_told_with_its_scenarios() {
        let built = "built by the SDK of ramips/mt7620, proven on ramips/mt7621";
        let fact = Event::Fact { name: "proof".into(), value: built.into() };
        let text = written(&[vec![fact], sample_run()].concat());
        let suite = text.split_once(r#"<testsuite name="scenarios""#).unwrap().1;
        assert!(suite.contains(&format!(r#"<property name="proof" value="{built}"/>"#)), "{text}");
    }

    #[test]
    fn a_run_that_never_came_to_a_scenario_is_not_green() {
        let text = written(&[Event::Finding(finding("HOST999", "no QEMU"))]);
        assert!(text.contains(r#"errors="1""#) && text.contains("HOST999"), "{text}");
    }
}
