//! What a command must answer: its exit code, and what it says.

use model::Format;
use serde::Deserialize;

use crate::scenario::manager::Says;

/// What a command or `nft` must answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The exit code: `0`, another number, `nonzero`, or `any`. A ruleset that must be refused must also leave the rules
    /// as they were.
    pub exit: ExpectedExit,
    /// Texts that its output must contain.
    pub says: Vec<String>,
    /// Texts that its output must not contain.
    pub says_not: Vec<String>,
    /// Texts that its output must contain, where the managers speak differently.
    pub each_says: Says,
}

impl Answer {
    /// The texts that this package manager's answer must contain.
    pub fn texts(&self, manager: Format) -> impl Iterator<Item = &str> {
        let own = match manager {
            Format::Ipk => &self.each_says.opkg,
            Format::Apk => &self.each_says.apk,
        };
        self.says.iter().chain(own).map(String::as_str)
    }
}

/// The exit code a command must end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ExitText")]
pub enum ExpectedExit {
    /// Exactly this one.
    Code(u8),
    /// Any but 0.
    NonZero,
    /// Whichever: what it says tells.
    Any,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExitText {
    Code(u8),
    Word(String),
}

impl TryFrom<ExitText> for ExpectedExit {
    type Error = String;

    fn try_from(text: ExitText) -> Result<Self, String> {
        match text {
            ExitText::Code(code) => Ok(ExpectedExit::Code(code)),
            ExitText::Word(word) if word == "nonzero" => Ok(ExpectedExit::NonZero),
            ExitText::Word(word) if word == "any" => Ok(ExpectedExit::Any),
            ExitText::Word(word) => Err(format!("exit: `{word}` is neither a number, `nonzero` nor `any`")),
        }
    }
}

impl Default for ExpectedExit {
    fn default() -> Self {
        ExpectedExit::Code(0)
    }
}

impl std::fmt::Display for ExpectedExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpectedExit::Code(code) => write!(f, "{code}"),
            ExpectedExit::NonZero => f.write_str("anything but 0"),
            ExpectedExit::Any => f.write_str("anything"),
        }
    }
}

impl ExpectedExit {
    /// Whether `code` is what was expected.
    pub fn accepts(self, code: i32) -> bool {
        match self {
            ExpectedExit::Code(wanted) => i32::from(wanted) == code,
            ExpectedExit::NonZero => code != 0,
            ExpectedExit::Any => true,
        }
    }
}
