//! Packages of files: scripts, settings, lists. They fit every architecture.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Audience;

/// Marks a recipe of this kind: `kind: files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesKind {
    /// The only value.
    Files,
}

/// A package of files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Files {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "kind")]
    _kind: FilesKind,
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
    #[serde(default = "utilities")]
    pub section: String,
    /// Version of the content.
    pub package_version: String,
    /// Raised when only the packaging changes.
    #[serde(default = "first_release")]
    pub release: u32,
    /// Packages that it needs, as `name` or `name (>= 1.0)`.
    #[serde(default)]
    pub depends: Vec<String>,
    /// Packages that it conflicts with.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Other names that it provides.
    #[serde(default)]
    pub provides: Vec<String>,
    /// apk installs it automatically once all of these are installed; opkg has no such thing.
    #[serde(default)]
    pub install_if: Vec<String>,
    /// Users and groups that it needs, `name=number:group=number`.
    #[serde(default)]
    pub users: Vec<String>,
    /// Alternatives, `number:/path:/target`: of several packages with the same link, the highest number wins.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// Absolute paths of settings, which upgrades keep.
    #[serde(default)]
    pub conffiles: Vec<String>,
    /// Maintainer scripts.
    #[serde(default)]
    pub scripts: ScriptTexts,
    /// Its content.
    pub files: Vec<Item>,
}

/// Bodies of maintainer scripts, each starting with the line `#!/bin/sh`. Services are enabled, started and stopped,
/// modules loaded and `uci-defaults` applied without any script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptTexts {
    /// Runs before its files are installed.
    pub preinst: Option<String>,
    /// Runs after its files are installed.
    pub postinst: Option<String>,
    /// Runs before its files are removed.
    pub prerm: Option<String>,
    /// Runs after its files are removed.
    pub postrm: Option<String>,
}

/// One item of the payload; exactly one of `text`, `from`, `folder`, `link` and `directory` gives its content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Path on the router, without leading slash.
    pub path: String,
    /// A file with this content.
    pub text: Option<String>,
    /// A file with the content of this file, relative to the recipe.
    pub from: Option<Utf8PathBuf>,
    /// Everything in this folder, relative to the recipe.
    pub folder: Option<Utf8PathBuf>,
    /// A symbolic link with this target.
    pub link: Option<String>,
    /// An empty folder.
    #[serde(default)]
    pub directory: bool,
    /// Permissions in octal digits; by default 0755 for folders and for files that begin with `#!`, otherwise 0644.
    pub mode: Option<String>,
    /// Its owner: root, or one of `users`.
    pub owner: Option<String>,
}

fn utilities() -> String {
    "utils".into()
}

fn first_release() -> u32 {
    1
}

impl Files {
    /// Resolves paths relative to the recipe.
    pub(super) fn found_from(&mut self, folder: &Utf8Path) {
        let paths = self.files.iter_mut().flat_map(|item| [&mut item.from, &mut item.folder]);
        for path in paths.flatten() {
            *path = folder.join(&path);
        }
    }

    /// Paths of the files and folders that it takes content from.
    pub fn sources(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.files.iter().flat_map(|item| [&item.from, &item.folder]).flatten()
    }

    /// What is wrong with the recipe, as the end of a sentence.
    pub(super) fn wrong(&self) -> Option<String> {
        for item in &self.files {
            let said =
                [item.text.is_some(), item.from.is_some(), item.folder.is_some(), item.link.is_some(), item.directory];
            if said.iter().filter(|said| **said).count() != 1 {
                return Some(format!("{} needs exactly one of text, from, folder, link and directory", item.path));
            }
            let is_octal =
                |mode: &String| mode.len() <= 5 && u32::from_str_radix(mode, 8).is_ok_and(|mode| mode <= 0o7777);
            if item.mode.as_ref().is_some_and(|mode| !is_octal(mode)) {
                return Some(format!("the mode of {} is not in octal digits, such as \"0755\"", item.path));
            }
            if item.owner.as_ref().is_some_and(|owner| owner != "root" && self.owner(owner).is_none()) {
                return Some(format!("the owner of {} is not one of `users`", item.path));
            }
        }
        if let Some(missing) = self.sources().find(|path| !path.exists()) {
            return Some(format!("{missing} does not exist"));
        }
        let scripts = [&self.scripts.preinst, &self.scripts.postinst, &self.scripts.prerm, &self.scripts.postrm];
        if scripts.into_iter().flatten().any(|script| !script.starts_with("#!")) {
            return Some("a script does not begin with `#!/bin/sh`".into());
        }
        self.files.is_empty().then(|| "there are no files".into())
    }

    /// The user and group numbers of a user of the package, and the group's name.
    pub(crate) fn owner(&self, name: &str) -> Option<(u32, u32, &str)> {
        self.users.iter().find_map(|spec| {
            let (user, group) = spec.split_once(':')?;
            let (user, number) = user.split_once('=')?;
            let (group, group_number) = group.split_once('=')?;
            (user == name).then_some((number.parse().ok()?, group_number.parse().ok()?, group))
        })
    }
}
