//! Reports that are made of a whole run: collected here, rendered by [`crate::report`], written when it ends.
//!
//! Each appears whole or not at all; a run that fails or is interrupted has its reports as well.

use std::fs::OpenOptions;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::{Event, Failure, Result};

use super::{End, Sink};
use crate::cli::Reports;
use crate::report::{Run, html, json, markdown};

/// Makes a report of a run.
type Render = fn(&Run) -> String;

/// Collects a run, and writes its reports when it ends.
pub struct Report {
    run: Run,
    files: Vec<(Utf8PathBuf, Render)>,
    /// The page of a CI job, to which every step adds: `GITHUB_STEP_SUMMARY`.
    summary: Option<Utf8PathBuf>,
}

impl Report {
    /// The reports that were asked for; `None` when there are none.
    pub fn new(reports: &Reports, summary: Option<Utf8PathBuf>, run: Run) -> Option<Report> {
        let Reports { html: page, markdown: text, json: data, junit: _ } = reports;
        let page = page.as_ref().map(|folder| folder.join("index.html"));
        let wanted: [(Option<Utf8PathBuf>, Render); 3] =
            [(page, html::render), (text.clone(), markdown::render), (data.clone(), json::render)];
        let files: Vec<_> = wanted.into_iter().filter_map(|(file, render)| Some((file?, render))).collect();
        let asked = !files.is_empty() || summary.is_some();
        asked.then_some(Report { run, files, summary })
    }
}

impl Sink for Report {
    fn take(&mut self, event: &Event) {
        self.run.take(event);
    }

    fn close(&mut self, end: End) -> Result<()> {
        (self.run.exit, self.run.millis) = (end.exit.code(), end.millis);
        let written: Vec<Result<()>> =
            self.files.iter().map(|(file, render)| aside::write(file, render(&self.run).as_bytes())).collect();
        if let Some(summary) = &self.summary {
            append(summary, &markdown::render(&self.run))?;
        }
        // One that cannot be written keeps no other from being.
        written.into_iter().collect()
    }
}

fn append(path: &Utf8Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("add to the summary of the CI job", path, &error);
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::human::tests::sample_run;
    use model::Exit;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    fn write(reports: &Reports, summary: Option<Utf8PathBuf>, exit: Exit) -> Result<()> {
        let mut sink = Report::new(reports, summary, Run::new("cargo xtask test".into(), Vec::new())).unwrap();
        sample_run().iter().for_each(|event| sink.take(event));
        sink.close(End { exit, millis: 1 })
    }

    #[test]
    fn every_report_appears_and_nothing_beside_it_whatever_the_end() {
        let (_folder, path) = folder();
        let reports = Reports {
            html: Some(path.join("a/page")),
            markdown: Some(path.join("a/summary.md")),
            json: Some(path.join("a/report.json")),
            junit: None,
        };
        for exit in [Exit::Done, Exit::Failed, Exit::Interrupted] {
            write(&reports, None, exit).unwrap();
            let read = |name: &str| std::fs::read_to_string(path.join("a").join(name)).unwrap();
            let value: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
            assert_eq!(value["exit"], exit.code());
            assert!(read("summary.md").starts_with("## ") && read("page/index.html").ends_with("</html>"));
            assert_eq!(path.join("a").read_dir_utf8().unwrap().count(), 3);
            assert_eq!(path.join("a/page").read_dir_utf8().unwrap().count(), 1);
        }
    }

    #[test]
    fn a_job_summary_is_added_to() {
        let (_folder, path) = folder();
        let summary = path.join("summary.md");
        std::fs::write(&summary, "before\n").unwrap();
        write(&Reports::default(), Some(summary.clone()), Exit::Failed).unwrap();
        let text = std::fs::read_to_string(&summary).unwrap();
        assert!(text.starts_with("before\n## 1 scenario failed"), "{text}");
    }

    #[test]
    fn without_any_report_there_is_no_sink_and_one_that_cannot_be_written_hinders_no_other() {
        let run = || Run::new(String::new(), Vec::new());
        assert!(Report::new(&Reports::default(), None, run()).is_none());
        let (_folder, path) = folder();
        let json = path.join("report.json");
        let reports =
            Reports { markdown: Some("/proc/nowhere/x".into()), json: Some(json.clone()), ..Reports::default() };
        assert_eq!(write(&reports, None, Exit::Done).unwrap_err().exit(), Exit::Host);
        assert!(json.exists());
    }
}
