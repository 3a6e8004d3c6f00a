//! Words that stand beside a deed's own.

use super::answer::{Answer, ExpectedExit};
use crate::scenario::manager::Says;
use crate::scenario::topology::Seconds;

/// What stands beside the word of a deed, until the deed takes it.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) packages: Option<Vec<String>>,
    pub(super) with: Option<Vec<String>>,
    pub(super) within: Option<Seconds>,
    pub(super) exit: Option<ExpectedExit>,
    pub(super) says: Option<Vec<String>>,
    pub(super) says_not: Option<Vec<String>>,
    pub(super) each_says: Option<Says>,
}

impl Beside {
    /// Takes what a command must answer.
    pub(super) fn answer(&mut self) -> Answer {
        Answer {
            exit: self.exit.take().unwrap_or_default(),
            says: self.says.take().unwrap_or_default(),
            says_not: self.says_not.take().unwrap_or_default(),
            each_says: self.each_says.take().unwrap_or_default(),
        }
    }

    /// Why a word that no deed took is wrong.
    pub(super) fn left(&self) -> Option<String> {
        const ANSWERS: &str = "`run`, `manager`, `ruleset` or `ruleset-add`";
        let words = [
            ("packages", self.packages.is_some(), "`manager`"),
            ("with", self.with.is_some(), "`load` or `reload`"),
            ("within", self.within.is_some(), "`run`, `unload` or `reload`"),
            ("exit", self.exit.is_some(), ANSWERS),
            ("says", self.says.is_some(), ANSWERS),
            ("says-not", self.says_not.is_some(), ANSWERS),
            ("each-says", self.each_says.is_some(), ANSWERS),
        ];
        let (word, _, deeds) = words.into_iter().find(|(_, is_left, _)| *is_left)?;
        Some(format!("`{word}` belongs to {deeds}, which the step does not have"))
    }
}
