//! Dependencies, conflicts and provides, in the syntax of opkg's control fields.
//!
//! `a, b (>= 1), c | d`: a list of [`Dependency`], each with one or more alternative [`Term`]s, each
//! of them a name and at most one [`Constraint`].

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::version::{Operator, opkg};

/// One item of `Depends`: any of the alternatives satisfies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dependency {
    /// At least one term; in order of preference.
    pub alternatives: Vec<Term>,
}

/// A package name with an optional version constraint, as in `kernel (=6.12.94~abc-r1)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    /// A package name, or a name that packages provide.
    pub name: String,
    /// What the version must satisfy; `None` for any version.
    pub constraint: Option<Constraint>,
}

/// What a version must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Constraint {
    /// The comparison.
    pub operator: Operator,
    /// The right-hand side.
    pub version: String,
}

/// Another name that a package provides. opkg knows only names, apk also versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provide {
    /// The name.
    pub name: String,
    /// The version under which it is provided (apk only).
    pub version: Option<String>,
}

impl Dependency {
    /// A dependency on a name, in any version.
    pub fn on(name: impl Into<String>) -> Self {
        Dependency { alternatives: vec![Term { name: name.into(), constraint: None }] }
    }

    /// A dependency on exactly one version.
    pub fn exactly(name: impl Into<String>, version: impl Into<String>) -> Self {
        let constraint = Some(Constraint { operator: Operator::Equal, version: version.into() });
        Dependency { alternatives: vec![Term { name: name.into(), constraint }] }
    }
}

impl Provide {
    /// A name without version.
    pub fn name(name: impl Into<String>) -> Self {
        Provide { name: name.into(), version: None }
    }
}

impl Constraint {
    /// Whether opkg lets a package of this version satisfy the constraint.
    pub fn accepts(&self, version: &str) -> bool {
        opkg::satisfies(version, self.operator, &self.version)
    }
}

impl Term {
    /// Whether a package of this name and version satisfies the term, without looking at provides.
    pub fn accepts(&self, name: &str, version: &str) -> bool {
        self.name == name && self.constraint.as_ref().is_none_or(|constraint| constraint.accepts(version))
    }
}

impl FromStr for Term {
    type Err = Error;

    /// Parses `name` or `name (operator version)`. Refuses a trailing `*`, opkg's mark for a greedy dependency, and
    /// operators that opkg would ignore.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why| Error::Dependency { text: text.chars().take(80).collect(), why };
        let (name, rest) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest)),
            None => (text.trim(), None),
        };
        if !is_name(name) {
            return Err(refuse("the name is empty or has characters that names do not have"));
        }
        let Some(rest) = rest else { return Ok(Term { name: name.to_owned(), constraint: None }) };
        let inner =
            rest.trim_end().strip_suffix(')').ok_or_else(|| refuse("the closing parenthesis is missing"))?.trim();
        let end = inner.find(|c| !"<>=~!".contains(c)).unwrap_or(inner.len());
        let (operator, version) = (inner[..end].trim(), inner[end..].trim());
        let operator = Operator::from_opkg(operator).ok_or_else(|| refuse("the operator is none of << <= = >= >>"))?;
        if !is_version(version) {
            return Err(refuse("the version is empty or has characters that versions do not have"));
        }
        Ok(Term { name: name.to_owned(), constraint: Some(Constraint { operator, version: version.to_owned() }) })
    }
}

impl FromStr for Dependency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Dependency { alternatives: text.split('|').map(str::parse).collect::<Result<_, _>>()? })
    }
}

impl FromStr for Provide {
    type Err = Error;

    /// Parses `name`, or `name=version` as apk writes it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, version) = match text.trim().split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text.trim(), None),
        };
        if !is_name(name) || version.is_some_and(|version| !is_version(version)) {
            return Err(Error::Dependency {
                text: text.chars().take(80).collect(),
                why: "not a name, or name=version",
            });
        }
        Ok(Provide { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

/// Parses a comma-separated list; an empty text is an empty list.
pub fn list<T: FromStr<Err = Error>>(text: &str) -> Result<Vec<T>, Error> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|item| item.trim().parse()).collect()
}

/// Parses a list of provided names as opkg does: a comma or a blank ends a name, and versions in parentheses are
/// ignored.
pub fn provides(text: &str) -> Result<Vec<Provide>, Error> {
    let mut plain = String::new();
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty()).map(str::parse).collect()
}

/// Prints a list as OpenWrt does: with `, ` between the items.
pub fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a text has only characters of versions, so that no part is taken for an operator.
pub(crate) fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+~_:-".contains(c))
}

/// Whether a text has only characters of names in either format, including provided names with `:`, `/` and brackets.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+._-:/[]".contains(c))
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, term) in self.alternatives.iter().enumerate() {
            write!(f, "{}{term}", if position == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.constraint {
            Some(constraint) => write!(f, " ({constraint})"),
            None => Ok(()),
        }
    }
}

/// `=` stands next to the version, as OpenWrt writes the kernel dependency; the others keep a blank.
impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.operator == Operator::Equal { "" } else { " " };
        write!(f, "{}{blank}{}", self.operator.opkg(), self.version)
    }
}

impl fmt::Display for Provide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_read() {
        for text in ["libfoo3, ubus (>= 2024.01-r1), jshn (<< 2), libc", "kernel (=6.6.93~0123-r1)", "a | b (>> 1) | c"]
        {
            assert_eq!(join(&list::<Dependency>(text).unwrap()), text);
        }
        assert_eq!(list::<Dependency>(" ").unwrap(), []);
        assert_eq!("a(>=1)".parse::<Term>().unwrap().to_string(), "a (>= 1)");
        assert_eq!("kernel ( = 6 )".parse::<Term>().unwrap().to_string(), "kernel (=6)");
        assert_eq!("greeting=1.2".parse::<Provide>().unwrap().version.as_deref(), Some("1.2"));
    }

    #[test]
    fn what_opkg_would_read_as_no_constraint_at_all_is_refused() {
        for text in [
            "a (~ 1)",
            "a (== 1)",
            "a (1)",
            "a (>=)",
            "a (>= 1",
            "a (>= 1 2)",
            "a (= ~1)",
            "a (= 1\u{e9})",
            "",
            "a b",
            "a *",
            "../x",
            "a,",
        ] {
            assert_eq!(list::<Dependency>(&format!("x, {text}")).unwrap_err().id(), "DEP001", "{text:?}");
        }
        for text in ["a=", "=1", "a b"] {
            assert_eq!(text.parse::<Provide>().unwrap_err().id(), "DEP001", "{text:?}");
        }
    }

    #[test]
    fn provided_names_are_read_as_opkg_reads_them() {
        for (text, names) in [
            ("a, b", "a, b"),
            ("a b,c", "a, b, c"),
            ("iptool (= 1.0), x", "iptool, x"),
            ("x=1.0 y", "x=1.0, y"),
            ("", ""),
            ("a,", "a"),
        ] {
            assert_eq!(join(&provides(text).unwrap()), names, "{text:?}");
        }
        assert_eq!(provides("a, \u{e9}").unwrap_err().id(), "DEP001");
    }

    #[test]
    fn a_term_accepts_name_and_version() {
        let term: Term = "kernel (=6.12~aa-r1)".parse().unwrap();
        assert!(term.accepts("kernel", "6.12~aa-r1"));
        assert!(!term.accepts("kernel", "6.12~bb-r1"));
        assert!(!term.accepts("colonel", "6.12~aa-r1"));
    }
}
