//! Commands: any, as words, and what package managers are asked to do.

use std::fmt;

use model::Format;

use super::Deed;
use super::answer::Answer;
use super::beside::Beside;
use crate::scenario::manager::Action;
use crate::scenario::topology::Seconds;

/// A command of the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its words; no shell looks at them.
    pub words: Vec<String>,
    /// What it must answer.
    pub answer: Answer,
    /// It is repeated until it answers as it must, so long at most.
    pub within: Option<Seconds>,
}

impl Run {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.words.is_empty() { Err("runs a command that has no words".into()) } else { Ok(()) }
    }

    pub(super) fn written(words: Vec<String>, beside: &mut Beside) -> Deed {
        Deed::Run(Run { words, answer: beside.answer(), within: beside.within.take() })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// What the package manager is to do, in the words of the one that the scenario runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manage {
    /// What it does.
    pub action: Action,
    /// The packages that it is to do it with.
    pub packages: Vec<String>,
    /// What it must answer.
    pub answer: Answer,
}

impl Manage {
    pub(super) fn written(action: Action, beside: &mut Beside) -> Deed {
        let packages = beside.packages.take().unwrap_or_default();
        Deed::Manage(Manage { action, packages, answer: beside.answer() })
    }

    /// The words to run with this package manager.
    pub fn words(&self, manager: Format) -> Vec<&str> {
        self.action.words(manager).iter().copied().chain(self.packages.iter().map(String::as_str)).collect()
    }
}

impl fmt::Display for Manage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.action, self.packages.join(" "))
    }
}
