//! Parses the command line; errors look like all other failures.

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use model::{Exit, Failure, Problem, Result};

use crate::cli::Cli;

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Run a verb.
    Run(Box<Cli>),
    /// Print this text to stdout: help or version.
    Show(String),
}

/// Parses a command line, which starts with the program's name. Without arguments it asks for the short help.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if words.len() <= 1 {
        words.push("-h".into());
    }
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(Request::Run(Box::new(cli))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Request::Show(error.render().to_string()))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// Turns clap's message into a failure; it is "error: WHAT", then blocks of tips, usage and a pointer to the help.
fn refusal(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut blocks = text.split("\n\n").map(str::trim);
    let what = blocks.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut why = "the command line must match the verb's flags exactly".to_owned();
    let mut fix = Vec::new();
    for block in blocks {
        match block.split_once(':') {
            Some(("tip", tip)) => fix.extend(tip.split("\n  tip:").map(|tip| tip.trim().to_owned())),
            Some(("Usage", usage)) => why = format!("the usage is `{}`", usage.trim()),
            _ => {}
        }
    }
    fix.push("add --help to see the verb's flags with examples".into());
    Failure::of(Problem { exit: Exit::Usage, id: "USE001", what, why, fix: fix.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Verb;
    use clap::CommandFactory;

    fn read(line: &str) -> Result<Request> {
        parse(std::iter::once("xtask").chain(line.split_whitespace()).map(OsString::from))
    }

    fn refused(line: &str) -> Failure {
        read(line).unwrap_err()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_words_and_help_show_the_verbs_with_examples() {
        for line in ["", "--help"] {
            let Ok(Request::Show(text)) = read(line) else { panic!("{line:?}") };
            assert!(text.contains("cargo xtask test --install-deps") && text.contains("Exit codes"), "{text}");
        }
    }

    #[test]
    fn global_flags_may_follow_the_verb() {
        let Ok(Request::Run(cli)) = read("test -v --message-format json --junit r.xml --offline") else { panic!() };
        assert_eq!((cli.global.verbose, cli.verb.word()), (1, "test"));
        assert!(cli.global.offline);
        let reports = cli.verb.reports().unwrap();
        assert_eq!(reports.junit.as_ref().map(|path| path.as_str()), Some("r.xml"));
    }

    #[test]
    fn serve_takes_an_address_or_none() {
        for (line, address) in [("feed --serve", "127.0.0.1:8080"), ("feed --serve 127.0.0.1:0", "127.0.0.1:0")] {
            let Ok(Request::Run(cli)) = read(line) else { panic!("{line}") };
            let Verb::Feed(args) = cli.verb else { panic!("{line}") };
            assert_eq!(args.serve.map(|address| address.to_string()).as_deref(), Some(address));
        }
        assert!(matches!(read("feed verify"), Ok(Request::Run(_))));
    }

    #[test]
    fn wrong_usage_says_what_why_and_fix_and_ends_with_2() {
        for (line, what, fix) in [
            ("tset", "tset", "test"),
            ("build --ofline", "--ofline", "--offline"),
            ("build --kernel 5.4", "5.4", "--help"),
            ("test --offline --install-deps", "--install-deps", "--help"),
            ("--verbose", "", "--help"),
        ] {
            let failure = refused(line);
            assert_eq!((failure.id(), failure.exit()), ("USE001", Exit::Usage), "{line}");
            let finding = failure.finding();
            assert!(finding.what.contains(what) && finding.fix.contains(fix), "{line}: {failure}");
            assert!(!finding.why.is_empty() && !finding.what.is_empty(), "{line}: {failure}");
        }
    }

    #[test]
    fn flags_without_what_they_are_about_and_unknown_words_are_refused() {
        for line in ["build --locked", "build --compare", "build --format deb"] {
            assert_eq!((refused(line).id(), refused(line).exit()), ("USE001", Exit::Usage), "{line}");
        }
    }
}
