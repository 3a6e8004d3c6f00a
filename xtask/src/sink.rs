//! Turns events into text: the only part of the program that prints.
//!
//! The engine sends events over a channel; one thread passes each to every sink. A new kind of report is a new file
//! here and changes no engine.

pub mod github;
pub mod human;
pub mod json;
pub mod report;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use camino::Utf8PathBuf;
use clap::ValueEnum;
use model::{Event, Events, Exit, Failure, Result, SCHEMA, WantedAccel};

use crate::cli::{Color, Global, MessageFormat, Selection, Verb};
use crate::report::{Run, quoted};
use crate::stage::millis;

/// The variable that is `true` when we run in GitHub Actions.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";

/// Turns events into a report.
pub trait Sink: Send {
    /// Takes one event.
    fn take(&mut self, event: &Event);

    /// Called once before [`Event::RunEnd`], for reports that are written as a whole.
    fn close(&mut self, _end: End) -> Result<()> {
        Ok(())
    }
}

/// How a run ended, before its reports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The exit code that the process would have.
    pub exit: Exit,
    /// How long it took.
    pub millis: u64,
}

/// The sinks of a run and the thread that feeds them.
pub struct Reporter {
    sender: Sender<Event>,
    thread: JoinHandle<Vec<Box<dyn Sink>>>,
    started: Instant,
}

impl Reporter {
    /// Starts reporting to the sinks that the flags ask for.
    pub fn start(global: &Global, verb: &Verb) -> Self {
        let mut sinks: Vec<Box<dyn Sink>> = match global.message_format {
            MessageFormat::Json if !verb.answers_in_json() => vec![Box::new(json::Json::new(std::io::stdout()))],
            _ => {
                let terminal = std::io::stderr().is_terminal();
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                vec![Box::new(human::Human::new(
                    std::io::stderr(),
                    human::Style {
                        verbosity: if global.quiet { human::Verbosity::Quiet } else { global.verbose.into() },
                        color: colored(global.color, terminal, no_color),
                        progress: terminal && !global.quiet,
                    },
                ))]
            }
        };
        if on_github() {
            // Before the human output, whose lines its groups fold.
            sinks.insert(0, Box::new(github::Github::new(std::io::stderr())));
        }
        if let Some(reports) = verb.reports() {
            let summary = summary();
            let again = verb.selection().map(|selection| again(selection, verb.accel())).unwrap_or_default();
            let run = Run::new(command(std::env::args().skip(1)), again);
            if let Some(sink) = report::Report::new(reports, summary, run) {
                sinks.push(Box::new(sink));
            }
        }
        Reporter::with_sinks(sinks, verb.word())
    }

    fn with_sinks(mut sinks: Vec<Box<dyn Sink>>, verb: &str) -> Self {
        let (sender, receiver) = mpsc::channel();
        Events::to(sender.clone()).emit(Event::RunBegin { schema: SCHEMA, verb: verb.into() });
        let thread = std::thread::spawn(move || {
            // Engine threads may outlive the run, so the end is an event and not a closed channel.
            for event in receiver {
                if matches!(event, Event::RunEnd { .. }) {
                    break;
                }
                sinks.iter_mut().for_each(|sink| sink.take(&event));
            }
            sinks
        });
        Reporter { sender, thread, started: Instant::now() }
    }

    /// The sender for the engine's events.
    pub fn events(&self) -> Events {
        Events::to(self.sender.clone())
    }

    /// Ends the run: reports are written first, so that the last record has the process's real exit code. Returns that
    /// code.
    pub fn end(self, exit: Exit) -> Exit {
        let millis = millis(self.started.elapsed());
        let end = |exit: Exit| Event::RunEnd { exit: exit.code(), millis };
        self.events().emit(end(exit));
        let Ok(mut sinks) = self.thread.join() else { return Exit::Bug };
        let failures: Vec<Failure> =
            sinks.iter_mut().filter_map(|sink| sink.close(End { exit, millis }).err()).collect();
        for failure in &failures {
            let finding = Event::Finding(failure.finding().clone());
            sinks.iter_mut().for_each(|sink| sink.take(&finding));
        }
        let exit = failures.iter().fold(exit, |exit, failure| exit.worse(failure.exit()));
        let end = end(exit);
        sinks.iter_mut().for_each(|sink| sink.take(&end));
        exit
    }
}

fn on_github() -> bool {
    std::env::var(GITHUB_ACTIONS).is_ok_and(|value| value == "true")
}

/// The page of a CI job, to which every step appends.
pub(crate) fn summary() -> Option<Utf8PathBuf> {
    std::env::var("GITHUB_STEP_SUMMARY").ok().filter(|path| on_github() && !path.is_empty()).map(Into::into)
}

/// The command line, quoted for a shell.
pub(crate) fn command(words: impl Iterator<Item = String>) -> String {
    let words = words.map(|word| quoted(&word));
    ["cargo".into(), "xtask".into()].into_iter().chain(words).collect::<Vec<String>>().join(" ")
}

/// Flags that are needed to reproduce one scenario, if they differ from the defaults.
fn again(selection: &Selection, accel: WantedAccel) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(release) = &selection.openwrt.release {
        words.extend(["--release".into(), release.clone()]);
        words.extend(selection.openwrt.locked.then(|| "--locked".into()));
        words.extend(selection.openwrt.source.mirror.iter().flat_map(|mirror| ["--mirror".into(), mirror.clone()]));
        let keys = &selection.openwrt.source.release_keys;
        words.extend(keys.iter().flat_map(|key| ["--release-key".into(), key.to_string()]));
    }
    if let [only] = selection.formats[..] {
        words.extend(["--format".into(), value(only)]);
    }
    if let Some(mirror) = &selection.debian_mirror {
        words.extend(["--debian-mirror".into(), mirror.clone()]);
    }
    if accel != WantedAccel::Auto {
        words.extend(["--accel".into(), value(accel)]);
    }
    words
}

/// The spelling of a value on the command line.
fn value(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Whether to use colours: the flag overrides NO_COLOR, which overrides the terminal.
fn colored(flag: Color, terminal: bool, no_color: bool) -> bool {
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !no_color,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;
    use std::sync::{Arc, Mutex};

    /// A sink whose report cannot be written; notes the events that it got.
    struct Broken(Arc<Mutex<Vec<String>>>);

    impl Sink for Broken {
        fn take(&mut self, event: &Event) {
            self.0.lock().unwrap().push(serde_json::to_string(event).unwrap());
        }

        fn close(&mut self, _end: End) -> Result<()> {
            Err(Failure::io("write the report", "r.xml", &std::io::ErrorKind::StorageFull.into()))
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_is_told_before_the_last_record_and_decides_the_code() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::with_sinks(vec![Box::new(Broken(told.clone()))], "test");
        let outlives_the_run = reporter.events();
        reporter.events().line("x", "y");
        assert_eq!(reporter.end(Exit::Done), Exit::Host);
        outlives_the_run.line("x", "late");
        let told = told.lock().unwrap();
        for (record, part) in told.iter().zip(["run-begin", "\"line\"", "IO002", "\"exit\":3"]) {
            assert!(record.contains(part), "{record}");
        }
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn a_repetition_has_the_flags_that_are_not_the_default() {
        let selection = |words: &[&str]| {
            let words = ["xtask", "test"].iter().chain(words);
            let Verb::Test(args) = Cli::try_parse_from(words).unwrap().verb else { panic!("not test") };
            again(&args.selection, args.machine.accel).join(" ")
        };
        assert_eq!(selection(&[]), "");
        assert_eq!(
            selection(&["--format", "apk", "--debian-mirror", "/m", "--accel", "tcg"]),
            "--format apk --debian-mirror /m --accel tcg"
        );
        let release = "--release 24.10 --locked --mirror /m --release-key /k";
        assert_eq!(selection(&release.split(' ').collect::<Vec<_>>()), release);
        let words = ["test", "a b"].map(str::to_owned).into_iter();
        assert_eq!(command(words), "cargo xtask test 'a b'");
    }

    #[test]
    fn the_flag_wins_over_no_color_which_wins_over_the_terminal() {
        for (flag, terminal, no_color, expected) in [
            (Color::Auto, true, false, true),
            (Color::Auto, true, true, false),
            (Color::Auto, false, false, false),
            (Color::Always, false, true, true),
            (Color::Never, true, false, false),
        ] {
            assert_eq!(colored(flag, terminal, no_color), expected);
        }
    }
}
