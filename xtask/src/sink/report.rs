//! Reports about a whole run: collected here, rendered by [`crate::report`], written when the run ends, also when it
//! fails or is interrupted.

use camino::Utf8PathBuf;
use model::{Event, Result};

use super::{End, Sink};
use crate::cli::Reports;
use crate::report::{Files, Run};

/// Collects a run, and writes its reports when it ends.
pub struct Report {
    run: Run,
    files: Files,
}

impl Report {
    /// The sink for the requested reports; `None` when there are none.
    pub fn new(reports: &Reports, summary: Option<Utf8PathBuf>, run: Run) -> Option<Report> {
        Files::of(reports, summary).map(|files| Report { run, files })
    }
}

impl Sink for Report {
    fn take(&mut self, event: &Event) {
        self.run.take(event);
    }

    fn close(&mut self, end: End) -> Result<()> {
        (self.run.exit, self.run.millis) = (end.exit.code(), end.millis);
        self.files.write(&self.run)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

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
            junit: Some(path.join("a/junit.xml")),
        };
        for exit in [Exit::Done, Exit::Failed, Exit::Interrupted] {
            write(&reports, None, exit).unwrap();
            let read = |name: &str| std::fs::read_to_string(path.join("a").join(name)).unwrap();
            let value: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
            assert_eq!(value["exit"], exit.code());
            assert!(read("junit.xml").contains("<testsuites"));
            assert!(read("summary.md").starts_with("## ") && read("page/index.html").ends_with("</html>"));
            assert_eq!(path.join("a").read_dir_utf8().unwrap().count(), 4);
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
