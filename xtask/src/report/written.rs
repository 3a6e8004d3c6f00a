//! The files of the reports: each is written completely or not at all.

use std::fs::OpenOptions;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::{Failure, Result};

use super::{Run, html, json, junit, markdown};
use crate::cli::Reports;

/// Makes a report of a run.
type Render = fn(&Run) -> Result<String>;

/// The paths of a run's reports.
#[derive(Debug, Clone)]
pub struct Files {
    files: Vec<(Utf8PathBuf, Render)>,
    /// The page of a CI job, to which every step appends: `GITHUB_STEP_SUMMARY`.
    summary: Option<Utf8PathBuf>,
}

impl Files {
    /// The requested reports; `None` when there are none.
    pub fn of(reports: &Reports, summary: Option<Utf8PathBuf>) -> Option<Files> {
        let Reports { html: page, markdown: text, json: data, junit: cases } = reports;
        let page = page.as_ref().map(|folder| folder.join("index.html"));
        let wanted: [(Option<Utf8PathBuf>, Render); 4] = [
            (page, |run| Ok(html::render(run))),
            (text.clone(), |run| Ok(markdown::render(run))),
            (data.clone(), |run| Ok(json::render(run))),
            (cases.clone(), |run| {
                let failed =
                    |error| Failure::io("write the JUnit report of", &run.command, &std::io::Error::other(error));
                junit::render(run).map_err(failed)
            }),
        ];
        let files: Vec<_> = wanted.into_iter().filter_map(|(file, render)| Some((file?, render))).collect();
        (!files.is_empty() || summary.is_some()).then_some(Files { files, summary })
    }

    /// Writes all of them, even if one fails.
    ///
    /// # Errors
    /// The first that cannot be written.
    pub fn write(&self, run: &Run) -> Result<()> {
        let write = |(file, render): &(Utf8PathBuf, Render)| aside::write(file, render(run)?.as_bytes());
        let written: Vec<Result<()>> = self.files.iter().map(write).collect();
        if let Some(summary) = &self.summary {
            append(summary, &markdown::render(run))?;
        }
        written.into_iter().collect()
    }
}

fn append(path: &Utf8Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("add to the summary of the CI job", path, &error);
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
