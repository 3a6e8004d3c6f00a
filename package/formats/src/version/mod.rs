//! Versions as the package managers order them; the two do not agree.
//!
//! Opkg and apk read `1.0` and `1.00`, `1.0~x` and epochs differently, so there is no common version
//! type: a version stays a string, and the module names the reader.

pub mod apk;
pub mod opkg;

/// The comparison of a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// Strictly older.
    Less,
    /// Older or equal.
    LessOrEqual,
    /// Equal.
    Equal,
    /// Newer or equal.
    GreaterOrEqual,
    /// Strictly newer.
    Greater,
}

impl Operator {
    /// Opkg's spelling in control files.
    pub fn opkg(self) -> &'static str {
        match self {
            Operator::Less => "<<",
            Operator::LessOrEqual => "<=",
            Operator::Equal => "=",
            Operator::GreaterOrEqual => ">=",
            Operator::Greater => ">>",
        }
    }

    /// Reads opkg's spelling; a bare `<` or `>` means `<=` or `>=` there.
    pub fn from_opkg(text: &str) -> Option<Self> {
        Some(match text {
            "<<" => Operator::Less,
            "<=" | "<" => Operator::LessOrEqual,
            "=" => Operator::Equal,
            ">=" | ">" => Operator::GreaterOrEqual,
            ">>" => Operator::Greater,
            _ => return None,
        })
    }
}
