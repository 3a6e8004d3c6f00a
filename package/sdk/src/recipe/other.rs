//! Programs from elsewhere: from any cargo workspace, or from another build.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Audience;

/// A program that is not part of this workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherProgram {
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
    /// Maintainer, to whom users report defects.
    pub maintainer: Option<String>,
    /// Home page.
    #[serde(default)]
    pub url: String,
    /// Menu section.
    #[serde(default = "network")]
    pub section: String,
    /// Version of a program from another build; with cargo it is the cargo package's.
    pub package_version: Option<String>,
    /// Raised when only the packaging changes.
    #[serde(default = "first_release")]
    pub release: u32,
    /// The cargo package to build it from.
    pub cargo: Option<OtherCargo>,
    /// Path of the program for each of OpenWrt's architectures, relative to the recipe.
    #[serde(default)]
    pub file: BTreeMap<String, Utf8PathBuf>,
    /// Path on the router, without leading slash.
    pub install: String,
    /// The largest size, in bytes.
    pub max_installed_size: Option<u64>,
    /// Packages that it needs, as `name` or `name (>= 1.0)`.
    #[serde(default)]
    pub depends: Vec<String>,
}

/// A binary of a cargo workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherCargo {
    /// The workspace's `Cargo.toml`, relative to the recipe.
    pub manifest: Utf8PathBuf,
    /// Name of the cargo package.
    pub package: String,
    /// Name of its binary.
    pub binary: String,
}

fn network() -> String {
    "net".into()
}

fn first_release() -> u32 {
    1
}

impl OtherProgram {
    /// Resolves paths relative to the recipe.
    pub(super) fn found_from(&mut self, folder: &Utf8Path) {
        let manifest = self.cargo.iter_mut().map(|cargo| &mut cargo.manifest);
        for path in manifest.chain(self.file.values_mut()) {
            *path = folder.join(&path);
        }
    }

    /// What is wrong with the recipe, as the end of a sentence.
    pub(super) fn wrong(&self) -> Option<String> {
        match (&self.cargo, self.file.is_empty()) {
            (Some(_), false) | (None, true) => {
                Some("exactly one of `cargo` and `file` must say where it comes from".into())
            }
            (Some(cargo), true) if !cargo.manifest.is_file() => Some(format!("{} does not exist", cargo.manifest)),
            (Some(_), true) if self.package_version.is_some() => {
                Some("`package-version` must not be given: it is that of the cargo package".into())
            }
            (None, false) if self.package_version.is_none() => Some("`package-version` is missing".into()),
            _ => None,
        }
    }
}
