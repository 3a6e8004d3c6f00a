//! A package that the solver may choose, and which others it excludes.

use std::collections::BTreeSet;

use formats::apk::Info;

/// A package that may be part of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) info: &'a Info,
    pub(super) installed: bool,
    /// Whether a repository has it, or the user gave it as a file.
    pub(super) available: bool,
    /// The position of the first repository that has it, from 1; 0 when none has it.
    pub(super) repository: usize,
}

impl Candidate<'_> {
    /// `NAME-VERSION`.
    pub(super) fn title(&self) -> String {
        format!("{}-{}", self.info.name, self.info.version)
    }

    /// Its own name and those that it provides, each with its version under that name.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let provided = self.info.provides.iter().map(|provide| (provide.name.as_str(), provide.version.as_deref()));
        std::iter::once((self.info.name.as_str(), Some(self.info.version.as_str()))).chain(provided)
    }

    /// A name that it has twice, at least once with a version: the package excludes itself, and nobody can install it.
    pub(super) fn excludes_itself(&self) -> Option<&str> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let is_versioned = |name: &str| self.names().any(|(other, version)| other == name && version.is_some());
        self.names().map(|(name, _)| name).find(|name| !seen.insert(name) && is_versioned(name))
    }

    /// Whether a requirement for `name` may choose it without the user naming it.
    pub(super) fn is_automatic(&self, name: &str) -> bool {
        self.info.provider_priority.is_some_and(|priority| priority > 0)
            || self.names().any(|(own, version)| own == name && version.is_some())
    }

    /// Whether both have a name that only one package can have.
    pub(super) fn excludes(&self, other: &Candidate<'_>) -> bool {
        self.names().any(|(name, version)| {
            other.names().any(|(known, its)| known == name && (version.is_some() || its.is_some()))
        })
    }
}
