//! Recipes of this workspace's programs.

use serde::Deserialize;

use super::Audience;

/// A program of this workspace, linked statically.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    #[serde(rename = "version")]
    _version: u32,
    /// Name of the package, and of the recipe's file.
    pub package: String,
    /// Description in one line.
    pub title: String,
    /// Who gets the package.
    #[serde(default, rename = "for")]
    pub audience: Audience,
    /// More lines of description.
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Menu section.
    pub section: String,
    /// Raised when only the packaging changes.
    pub release: u32,
    /// Where the program comes from.
    pub cargo: CargoSource,
    /// Path on the router, without leading slash.
    pub install: String,
    /// The largest size of the installed files, in bytes.
    pub max_installed_size: Budget,
    /// Packages that it needs.
    #[serde(default)]
    pub depends: Vec<String>,
}

/// The largest size of a static program in bytes, for each C library that may be linked in: glibc alone takes about 900
/// kB, so what is published (musl) and what stands in for it need separate limits.
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
    /// Name of the cargo package.
    pub package: String,
    /// Name of its binary.
    pub binary: String,
}
