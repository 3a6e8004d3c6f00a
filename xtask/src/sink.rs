//! Where events become text: the only part of the program that prints.
//!
//! The engine sends events over a channel; one thread hands each to every sink. A new kind of report
//! is a new file here and touches no engine.

pub mod human;
pub mod json;
pub mod junit;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use model::{Event, Events, Exit, Failure, Result, SCHEMA};

use crate::cli::{Color, Global, MessageFormat, Verb};
use crate::stage::millis;

/// Turns events into a report.
pub trait Sink: Send {
    /// Takes one event.
    fn take(&mut self, event: &Event);

    /// Called once before [`Event::RunEnd`], for reports that are written as a whole.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
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
        if let Some(file) = verb.reports().and_then(|reports| reports.junit.as_ref()) {
            sinks.push(Box::new(junit::Junit::new(file.clone())));
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

    /// For the engine.
    pub fn events(&self) -> Events {
        Events::to(self.sender.clone())
    }

    /// Ends the run: reports are closed first, so that the last record tells the code that the process
    /// really ends with. Returns that code.
    pub fn end(self, exit: Exit) -> Exit {
        let end = |exit: Exit| Event::RunEnd { exit: exit.code(), millis: millis(self.started.elapsed()) };
        self.events().emit(end(exit));
        let Ok(mut sinks) = self.thread.join() else { return Exit::Bug };
        let failures: Vec<Failure> = sinks.iter_mut().filter_map(|sink| sink.close().err()).collect();
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

/// Whether to colour: the flag wins over NO_COLOR, which wins over the terminal.
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
    use std::sync::{Arc, Mutex};

    /// Keeps what it was told; its report cannot be written.
    struct Broken(Arc<Mutex<Vec<String>>>);

    impl Sink for Broken {
        fn take(&mut self, event: &Event) {
            self.0.lock().unwrap().push(serde_json::to_string(event).unwrap());
        }

        fn close(&mut self) -> Result<()> {
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
