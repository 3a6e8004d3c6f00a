//! Programs of others: of any cargo workspace, or made by another build.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Audience;

/// A program that this workspace does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherProgram {
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
    /// Whom users tell about defects.
    pub maintainer: Option<String>,
    /// Home page.
    #[serde(default)]
    pub url: String,
    /// Menu section.
    #[serde(default = "network")]
    pub section: String,
    /// Version of a program that another build made; cargo's is that of the cargo package.
    pub package_version: Option<String>,
    /// Raised when the packaging changes and the program does not.
    #[serde(default = "first_release")]
    pub release: u32,
    /// The cargo package that it is made of.
    pub cargo: Option<OtherCargo>,
    /// The program by OpenWrt's name of the architecture, in a recipe relative to it.
    #[serde(default)]
    pub file: BTreeMap<String, Utf8PathBuf>,
    /// Path on the router, without leading slash.
    pub install: String,
    /// Bytes that it may have.
    pub max_installed_size: Option<u64>,
    /// Packages that it needs, as `name` or `name (>= 1.0)`.
    #[serde(default)]
    pub depends: Vec<String>,
}

/// A binary of a cargo workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherCargo {
    /// The workspace's `Cargo.toml`, in a recipe relative to it.
    pub manifest: Utf8PathBuf,
    /// The cargo package.
    pub package: String,
    /// Its binary.
    pub binary: String,
}

fn network() -> String {
    "net".into()
}

fn first_release() -> u32 {
    1
}

impl OtherProgram {
    /// Paths that are relative to the recipe become what they lead to.
    pub(super) fn found_from(&mut self, folder: &Utf8Path) {
        let manifest = self.cargo.iter_mut().map(|cargo| &mut cargo.manifest);
        for path in manifest.chain(self.file.values_mut()) {
            *path = folder.join(&path);
        }
    }

    /// What is wrong with it, as the end of a sentence.
    pub(super) fn wrong(&self) -> Option<String> {
        match (&self.cargo, self.file.is_empty()) {
            (Some(_), false) | (None, true) => {
                Some("exactly one of `cargo` and `file` says where it comes from".into())
            }
            (Some(cargo), true) if !cargo.manifest.is_file() => Some(format!("there is no {}", cargo.manifest)),
            (Some(_), true) if self.package_version.is_some() => {
                Some("`package-version` is that of the cargo package, and not given".into())
            }
            (None, false) if self.package_version.is_none() => Some("`package-version` is missing".into()),
            _ => None,
        }
    }
}
