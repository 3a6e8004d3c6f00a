//! A JUnit report for CI services.
//!
//! Fail becomes `failure`, Blocked `error`, Skip `skipped`. Stages are a suite of their own, and an
//! error outside any scenario is a case with an `error`: a run that never came to its first scenario
//! must not look like a report without failures.

use std::time::Duration;

use camino::Utf8PathBuf;
use host::aside;
use model::{Event, Failure, Finding, Result, Severity, Status, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{End, Sink};

/// Collects a run and writes it when the run ends.
pub struct Junit {
    file: Utf8PathBuf,
    stages: TestSuite,
    scenarios: TestSuite,
    problems: TestSuite,
}

impl Junit {
    /// The report goes to `file`.
    pub fn new(file: Utf8PathBuf) -> Self {
        let suite = |name: &str| TestSuite::new(name);
        Junit { file, stages: suite("stages"), scenarios: suite("scenarios"), problems: suite("problems") }
    }

    fn report(&self) -> Report {
        let mut report = Report::new("openwrt-offload");
        for suite in [&self.stages, &self.scenarios, &self.problems] {
            if suite.tests > 0 {
                report.add_test_suite(suite.clone());
            }
        }
        report
    }
}

impl Sink for Junit {
    fn take(&mut self, event: &Event) {
        match event {
            Event::StageSkipped { stage, why } => {
                self.stages.add_test_case(case(stage, 0, skipped(why)));
            }
            Event::StageEnd { stage, status, millis, summary } => {
                let status = match status {
                    Status::Done => TestCaseStatus::success(),
                    Status::Failed => {
                        let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
                        failed.set_message(summary.as_str());
                        failed
                    }
                };
                self.stages.add_test_case(case(stage, *millis, status));
            }
            Event::CaseEnd { case: name, verdict, millis, notes, .. } => {
                let status = match verdict {
                    Verdict::Pass => TestCaseStatus::success(),
                    Verdict::Skip { reason } => skipped(reason),
                    Verdict::Fail { finding } => told(NonSuccessKind::Failure, finding),
                    Verdict::Blocked { finding } => told(NonSuccessKind::Error, finding),
                };
                let mut case = case(name, *millis, status);
                if !notes.is_empty() {
                    case.set_system_out(notes.join("\n"));
                }
                self.scenarios.add_test_case(case);
            }
            Event::Finding(finding) if finding.severity == Severity::Error => {
                self.problems.add_test_case(case(finding.id, 0, told(NonSuccessKind::Error, finding)));
            }
            _ => {}
        }
    }

    fn close(&mut self, _end: End) -> Result<()> {
        let text = self.report().to_string().map_err(|error| {
            Failure::io("write the JUnit report", &self.file, &std::io::Error::other(error.to_string()))
        })?;
        aside::write(&self.file, text.as_bytes())
    }
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
    use super::*;
    use crate::sink::human::tests::{finding, sample_run};

    fn written(events: &[Event]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("sub/report.xml")).unwrap();
        let mut sink = Junit::new(file.clone());
        events.iter().for_each(|event| sink.take(event));
        sink.close(End { exit: model::Exit::Done, millis: 0 }).unwrap();
        std::fs::read_to_string(file).unwrap()
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
    fn a_run_that_never_came_to_a_scenario_is_not_green() {
        let text = written(&[Event::Finding(finding("HOST999", "no QEMU"))]);
        assert!(text.contains(r#"errors="1""#) && text.contains("HOST999"), "{text}");
    }

    #[test]
    fn a_report_that_cannot_be_written_fails() {
        let mut sink = Junit::new("/proc/nowhere/report.xml".into());
        assert!(sink.close(End { exit: model::Exit::Done, millis: 0 }).is_err());
    }
}
