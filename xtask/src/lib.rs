//! The project's command line: verbs, reports and the cache of finished stages.
//!
//! `main.rs` only starts what is here. A verb is in `cmd/<verb>.rs`, its flags in [`cli`]; [`stage`] caches work, which
//! is reported through events, and only the [`sink`]s print.

pub mod cli;
pub mod cmd;
pub mod code;
pub mod ctx;
pub mod doctor;
pub mod facts;
pub mod feed_config;
pub mod interrupt;
pub mod lint;
pub mod newer;
pub mod outcome;
pub mod pipeline;
pub mod process;
pub mod report;
pub mod scratch;
pub mod sink;
pub mod stage;
pub mod upstream;
pub mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{Cancel, Event, Exit, Failure, Problem};

pub use ctx::Ctx;
pub use outcome::Outcome;

use cli::{Cli, MessageFormat};
use sink::Reporter;
use usage::Request;

/// Runs a command line, which starts with the program's name, and returns the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    match usage::parse(words) {
        Ok(Request::Run(cli)) => run(&cli),
        Ok(Request::Show(text)) => {
            print(text.trim_end());
            Exit::Done
        }
        Err(failure) => {
            let _gone = writeln!(std::io::stderr(), "{failure}");
            failure.exit()
        }
    }
}

fn run(cli: &Cli) -> Exit {
    let reporter = Reporter::start(&cli.global, &cli.verb);
    let events = reporter.events();
    // A panic is our bug; the user still gets a report, an id and exit code 70.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let cancel = Cancel::default();
        interrupt::listen(&cancel)?;
        let ctx = Ctx::new(&cli.global, events.clone(), cancel)?;
        cmd::run(&ctx, &cli.verb)
    }))
    .unwrap_or_else(|_panic| Err(defect()));
    let Outcome { exit, data } = outcome.unwrap_or_else(|failure| {
        events.emit(Event::Finding(failure.finding().clone()));
        Outcome { exit: failure.exit(), data: String::new() }
    });
    let exit = reporter.end(exit);
    let events_only = cli.global.message_format == MessageFormat::Json && !cli.verb.answers_in_json();
    if !events_only && !data.is_empty() {
        print(&data);
    }
    exit
}

/// Prints to stdout; a closed pipe is no failure.
fn print(text: &str) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

fn defect() -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "BUG001",
        what: "the program ended in an unexpected way",
        why: "this is a defect of the program, not of your use of it; the lines above say where",
        fix: "report it with the command and these lines; `cargo xtask clean` gives a fresh start",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_has_its_own_code() {
        assert_eq!((defect().id(), defect().exit()), ("BUG001", Exit::Bug));
    }
}
