//! Programs.

use serde::Deserialize;

use super::Audience;

/// A program of this workspace, linked statically.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    #[serde(rename = "version")]
    _version: u32,
    /// Name of the package; also the file's name.
    pub package: String,
    /// What it is for, one line.
    pub title: String,
    /// Whom it is for.
    #[serde(default, rename = "for")]
    pub audience: Audience,
    /// More lines.
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Menu section.
    pub section: String,
    /// Raised when the packaging changes and the program's version does not.
    pub release: u32,
    /// Where the program comes from.
    pub cargo: CargoSource,
    /// Path on the router, without leading slash.
    pub install: String,
    /// Bytes that the installed files may have in all.
    pub max_installed_size: Budget,
    /// Packages that it needs.
    #[serde(default)]
    pub depends: Vec<String>,
}

/// Bytes that a static program may have, by the C library that is linked into it: glibc alone brings
/// some 900 kB, so what ships (musl) and what stands in for it cannot share one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// With Rust's musl target.
    pub musl: u64,
    /// On a host that has only the gnu target.
    pub glibc: u64,
}

/// A binary target of a cargo package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoSource {
    /// The cargo package.
    pub package: String,
    /// Its binary.
    pub binary: String,
}
