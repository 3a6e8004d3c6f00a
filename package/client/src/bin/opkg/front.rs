//! What the command lines of both programs have in common: options with and without a value, help, and who is told what.

use std::fmt::Display;
use std::io::Write;

use client::{Error, Progress, Result};

/// One of the programs.
pub(crate) struct Front {
    /// What it is called.
    pub(crate) program: &'static str,
    /// What `--help` prints.
    pub(crate) help: &'static str,
    /// What stands before a failure.
    pub(crate) mark: &'static str,
    /// The commands, whatever they are given.
    pub(crate) commands: &'static [&'static str],
}

impl Front {
    /// Reads a command line up to its words; nothing is left to do when they ask for help. `option` takes an option with
    /// what gets its value, and says whether it knows it; `is_word` whether one that it does not know is a word like any
    /// other after the words before it.
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

    /// A command line that means nothing.
    pub(crate) fn usage(&self, problem: String) -> Error {
        Error::Usage { program: self.program, problem }
    }

    /// Why the words are no command that can be run.
    pub(crate) fn misused(&self, words: &[&str]) -> Error {
        self.usage(match words.first() {
            None => "a command is missing".into(),
            Some(command) if self.commands.contains(command) => {
                format!("the command `{command}` needs other arguments")
            }
            Some(command) => format!("unknown command `{command}`"),
        })
    }

    /// Tells what happens: steps are what the program is asked for, the rest is beside it.
    pub(crate) fn tell<Step: Display>(&self) -> impl FnMut(Progress<Step>) {
        let mark = self.mark;
        move |progress| match &progress {
            Progress::Note { text } => eprintln!("{text}"),
            Progress::Failed { line } => eprintln!("{mark}{line}"),
            _ => say(&progress.to_string()),
        }
    }
}

/// Prints a line; a reader that is gone, as in `opkg list | head`, is no error.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}
