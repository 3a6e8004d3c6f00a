//! Human-readable output on stderr: a line for each thing that happens, a table and a last line at the end.
//!
//! Lines of the engine are kept while a stage or scenario runs, and shown only with `-v` or when it fails.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use model::{Event, Finding, Severity, Status, Verdict};

use super::Sink;
use crate::facts::PROOF;
use crate::report::sabotage;
use table::{Row, Table};

pub mod table;

/// How many lines are kept in case of a failure.
const KEPT_LINES: usize = 10;

/// How much to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Problems and the last line.
    Quiet,
    /// Stages, scenarios and the table.
    Normal,
    /// Also the engine's lines.
    Verbose,
}

impl From<u8> for Verbosity {
    /// From the number of `-v` flags.
    fn from(count: u8) -> Self {
        if count == 0 { Verbosity::Normal } else { Verbosity::Verbose }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// How much to print.
    pub verbosity: Verbosity,
    /// Whether to use colours.
    pub color: bool,
    /// Whether to draw a progress line (on a terminal only).
    pub progress: bool,
}

/// Colours by meaning, as SGR codes of ECMA-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Good,
    Bad,
    Attention,
    Faint,
}

/// The sink for human-readable output.
pub struct Human<W> {
    out: W,
    style: Style,
    bar: Option<ProgressBar>,
    /// Running stages and scenarios.
    running: Vec<String>,
    /// The last lines, each with its stage.
    kept: VecDeque<(String, String)>,
    table: Table,
    sabotage: sabotage::Table,
    /// Whose SDK made the packages and whose routers ran them, where that is not the same.
    proof: Option<String>,
}

impl<W: Write> Human<W> {
    /// Writes to `out`.
    pub fn new(out: W, style: Style) -> Self {
        Human {
            out,
            style,
            bar: None,
            running: Vec::new(),
            kept: VecDeque::new(),
            table: Table::default(),
            sabotage: sabotage::Table::default(),
            proof: None,
        }
    }

    fn write(&mut self, text: &str) {
        let Human { out, bar, .. } = self;
        let mut line = || {
            // A closed terminal must not stop the work.
            let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        match bar {
            Some(bar) => bar.suspend(line),
            None => line(),
        }
    }

    fn say(&mut self, text: &str) {
        if self.style.verbosity >= Verbosity::Normal {
            self.write(text);
        }
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => 32,
            Paint::Bad => 31,
            Paint::Attention => 33,
            Paint::Faint => 2,
        };
        if self.style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    /// A word padded to at least `table::WORD` columns; colour codes do not count as width.
    fn word(&self, paint: Paint, word: &str) -> String {
        let padding = " ".repeat(table::WORD.saturating_sub(word.len()));
        format!("{}{padding}", self.paint(paint, word))
    }

    fn begin(&mut self, name: &str, detail: &str) {
        if self.running.is_empty() {
            self.kept.clear();
        }
        self.running.push(name.to_owned());
        let word = self.word(Paint::Faint, "start");
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        self.say(&format!("{word} {name}{detail}"));
        if self.style.progress {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        }
    }

    fn end(&mut self, row: Row, paint: Paint, failed: bool) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some(at) = self.running.iter().position(|name| *name == row.name) {
            self.running.remove(at);
        }
        if failed && self.style.verbosity < Verbosity::Verbose {
            // If other stages are running too, the kept lines are mixed.
            let alone = self.running.is_empty();
            for (stage, line) in std::mem::take(&mut self.kept) {
                let whose = if alone { String::new() } else { format!("{stage} ") };
                self.write(&format!("      {whose}| {line}"));
            }
        }
        let text = format!("{} {}", self.word(paint, row.word), row.rest());
        if failed {
            self.write(&text)
        } else {
            self.say(&text)
        }
        self.table.push(row);
    }

    fn finding(&mut self, finding: &Finding) {
        let paint = match finding.severity {
            Severity::Error => Paint::Bad,
            Severity::Warning => Paint::Attention,
            Severity::Note => Paint::Faint,
        };
        if finding.severity == Severity::Note && self.style.verbosity == Verbosity::Quiet {
            return;
        }
        let text = finding.to_string();
        let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let head = self.paint(paint, head);
        self.write(&format!("{head}\n{rest}"));
    }

    fn line(&mut self, stage: &str, text: &str) {
        if self.style.verbosity >= Verbosity::Verbose {
            let stage = self.paint(Paint::Faint, stage);
            self.write(&format!("      {stage} | {text}"));
            return;
        }
        if self.kept.len() == KEPT_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back((stage.to_owned(), text.to_owned()));
    }

    fn progress(&mut self, stage: &str, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_message(match total {
                Some(total) => format!("{stage} {done} of {total}"),
                None => format!("{stage} {done}"),
            });
        }
    }

    fn finish(&mut self, exit: u8, millis: u64) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let table = self.table.to_string();
        if exit == 0 && table.is_empty() {
            // Verbs that only show something have already done so.
            return;
        }
        if !table.is_empty() {
            self.say(&format!("\n{}", table.trim_end()));
        }
        for line in [self.table.spent(), self.table.slowest()].into_iter().flatten() {
            self.say(&line);
        }
        if let Some(proof) = self.proof.take() {
            self.say(&proof);
        }
        let sabotage = self.sabotage.text();
        if !sabotage.is_empty() {
            self.say(&format!("\n{sabotage}"));
        }
        let (paint, verdict) = match exit {
            0 => (Paint::Good, "ok".to_owned()),
            code => (Paint::Bad, format!("not ok, exit code {code}")),
        };
        let verdict = self.paint(paint, &verdict);
        let counts = self.table.counts();
        self.write(&format!("{verdict}{counts}; finished in {}", table::seconds(millis)));
    }
}

impl<W: Write + Send> Sink for Human<W> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::StageBegin { stage, detail } => self.begin(stage, detail),
            Event::StageSkipped { stage, why } => self.end(Row::stage(stage, "kept", None, why), Paint::Faint, false),
            Event::StageEnd { stage, status, millis, summary } => {
                let (word, paint, failed) = match status {
                    Status::Done => ("done", Paint::Good, false),
                    Status::Failed => ("FAILED", Paint::Bad, true),
                };
                self.end(Row::stage(stage, word, Some(*millis), summary), paint, failed);
            }
            Event::Progress { stage, done, total } => self.progress(stage, *done, *total),
            Event::Line { stage, text } => self.line(stage, text),
            Event::Notice { stage, text } => {
                let stage = self.paint(Paint::Faint, stage);
                self.say(&format!("      {stage} | {text}"));
            }
            Event::Finding(finding) => self.finding(finding),
            Event::CaseBegin { case } => self.begin(case, ""),
            Event::CaseEnd { case, verdict, millis, notes, record } => {
                self.table.spend(&record.phases);
                self.sabotage.take(case, verdict, record);
                let (word, paint, told) = match verdict {
                    Verdict::Pass => ("pass", Paint::Good, None),
                    Verdict::Fail { finding } => ("FAIL", Paint::Bad, Some(finding)),
                    Verdict::Skip { .. } => ("skip", Paint::Attention, None),
                    Verdict::Blocked { finding } => ("BLOCKED", Paint::Bad, Some(finding)),
                };
                self.end(Row::case(case, word, *millis, verdict, notes), paint, told.is_some());
                if let Some(finding) = told {
                    self.finding(finding);
                }
            }
            Event::Fact { name, value } if name == PROOF => self.proof = Some(value.clone()),
            Event::RunEnd { exit, millis } => self.finish(*exit, *millis),
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
