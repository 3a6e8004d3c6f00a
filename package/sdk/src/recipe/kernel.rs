//! What recipes say about kernels: version lines and options.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A kernel's line, the first two numbers of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Line {
    major: u32,
    minor: u32,
}

/// Kernel lines from `since` on, up to but not including `before`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The first line.
    pub since: Option<Line>,
    /// The first line that no longer counts.
    pub before: Option<Line>,
}

impl Bounds {
    /// Whether a kernel line is in the range.
    pub fn hold(self, line: Line) -> bool {
        self.since.is_none_or(|since| line >= since) && self.before.is_none_or(|before| line < before)
    }
}

/// A kernel option without `CONFIG_`: `SYMBOL` (built in or a module) or `SYMBOL=y` (built in).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KernelOption {
    /// Its name, such as `NF_FLOW_TABLE`.
    pub symbol: String,
    /// Whether it must be built in.
    pub builtin: bool,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split(|character: char| !character.is_ascii_digit());
        let mut next = || numbers.next().and_then(|digits| digits.parse().ok());
        match (next(), next()) {
            (Some(major), Some(minor)) => Ok(Line { major, minor }),
            _ => Err(format!("`{text}` is not a kernel version such as \"6.12\"")),
        }
    }
}

impl TryFrom<String> for Line {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl TryFrom<String> for KernelOption {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (symbol, builtin) = match text.split_once('=') {
            None => (text.as_str(), false),
            Some((symbol, "y")) => (symbol, true),
            Some(_) => return Err(format!("`{text}`: a kernel option may only be followed by `=y`")),
        };
        let plain = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
        if symbol.is_empty() || symbol.starts_with("CONFIG_") || !symbol.chars().all(plain) {
            return Err(format!("`{text}` is not a kernel option, written without CONFIG_"));
        }
        Ok(KernelOption { symbol: symbol.into(), builtin })
    }
}
