//! What we build for: OpenWrt's `target/subtarget` and its package architecture.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An OpenWrt package architecture (`CONFIG_TARGET_ARCH_PACKAGES`), such as `x86_64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arch(pub String);

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An OpenWrt target and subtarget, such as `x86/64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The target, such as `x86`.
    pub board: String,
    /// The subtarget, such as `64`.
    pub subtarget: String,
}

impl Target {
    /// For file names: `x86-64`.
    pub fn slug(&self) -> String {
        format!("{}-{}", self.board, self.subtarget)
    }
}

/// A text that is not a `target/subtarget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTarget(pub String);

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not of the form target/subtarget, such as x86/64", self.0)
    }
}

impl std::error::Error for UnknownTarget {}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        match text.split_once('/') {
            Some((board, subtarget)) if word(board) && word(subtarget) => {
                Ok(Target { board: board.into(), subtarget: subtarget.into() })
            }
            _ => Err(UnknownTarget(text.into())),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = UnknownTarget;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.board, self.subtarget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_two_words_and_a_slash() {
        let target: Target = "armsr/armv8".parse().unwrap();
        assert_eq!((target.to_string(), target.slug()), ("armsr/armv8".into(), "armsr-armv8".into()));
        for bad in ["", "x86", "x86/", "/64", "x86/../64", "x86/64/1", "x86 /64"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
