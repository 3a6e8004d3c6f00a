//! What both programs' command lines share: options with and without a value, help, and output.

use std::fmt::Display;
use std::io::Write;

use client::{Error, Progress, Result};

/// One of the two programs.
pub(crate) struct Front {
    /// Its name.
    pub(crate) program: &'static str,
    /// The text of `--help`.
    pub(crate) help: &'static str,
    /// The prefix of an error message.
    pub(crate) mark: &'static str,
    /// The names of all commands.
    pub(crate) commands: &'static [&'static str],
}

impl Front {
    /// Reads a command line; returns its words, or `None` after it printed the help. `option` handles an option, with a
    /// function that fetches its value, and returns whether it knows the option; `is_word` says whether an unknown
    /// option counts as a word after the words before it.
    pub(crate) fn words(
        &self,
        arguments: Vec<String>,
        is_word: impl Fn(&[String], &str) -> bool,
        mut option: impl FnMut(&str, &mut dyn FnMut() -> Result<String>) -> Result<bool>,
    ) -> Result<Option<Vec<String>>> {
        let (mut words, mut help) = (Vec::new(), false);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let missing = || self.usage(format!("{name} needs a value"));
            let mut value = || attached.clone().or_else(|| arguments.next()).ok_or_else(missing);
            if ["-h", "--help"].contains(&name) {
                help = true;
            } else if !option(name, &mut value)? {
                if argument.starts_with('-') && !is_word(&words, name) {
                    return Err(self.usage(format!("unknown option {argument}")));
                }
                words.push(argument);
            }
        }
        if help {
            say(self.help.trim_end());
        }
        Ok((!help).then_some(words))
    }

    /// An invalid command line.
    pub(crate) fn usage(&self, problem: String) -> Error {
        Error::Usage { program: self.program, problem }
    }

    /// Why these words are not a valid command.
    pub(crate) fn misused(&self, words: &[&str]) -> Error {
        self.usage(match words.first() {
            None => "a command is missing".into(),
            Some(command) if self.commands.contains(command) => {
                format!("the command `{command}` needs other arguments")
            }
            Some(command) => format!("unknown command `{command}`"),
        })
    }

    /// Reports progress: steps go to stdout, everything else to stderr.
    pub(crate) fn tell<Step: Display>(&self) -> impl FnMut(Progress<Step>) {
        let mark = self.mark;
        move |progress| match &progress {
            Progress::Note { text } => eprintln!("{text}"),
            Progress::Failed { line } => eprintln!("{mark}{line}"),
            _ => say(&progress.to_string()),
        }
    }
}

/// Prints a line; a closed pipe, as in `opkg list | head`, is no error.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}
