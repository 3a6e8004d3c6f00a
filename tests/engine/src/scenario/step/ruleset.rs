//! Rules for nft, loaded in one transaction.

use std::fmt;

use super::Deed;
use super::answer::Answer;
use super::beside::Beside;

/// Rules that are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// For nft.
    pub text: String,
    /// What becomes of the rules that are there.
    pub others: Others,
    /// What nft must answer.
    pub answer: Answer,
}

/// What becomes of the rules that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// All their tables go.
    Go,
    /// They stay.
    Stay,
}

impl Ruleset {
    pub(super) fn written(text: String, others: Others, beside: &mut Beside) -> Deed {
        Deed::Ruleset(Ruleset { text, others, answer: beside.answer() })
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.others {
            Others::Go => "the ruleset is replaced",
            Others::Stay => "rules are added",
        })
    }
}
