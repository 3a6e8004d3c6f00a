//! Packages of files: scripts, settings, lists that the system reads. They fit every architecture.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Audience;

/// What tells this kind of recipe: `kind: files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesKind {
    /// The only word.
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
    #[serde(default = "utilities")]
    pub section: String,
    /// Version of what is in it.
    pub package_version: String,
    /// Raised when the packaging changes and what is in it does not.
    #[serde(default = "first_release")]
    pub release: u32,
    /// Packages that it needs, as `name` or `name (>= 1.0)`.
    #[serde(default)]
    pub depends: Vec<String>,
    /// Packages that it cannot live with.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Other names that it answers to.
    #[serde(default)]
    pub provides: Vec<String>,
    /// apk installs it by itself once all of these are there; opkg knows nothing of the kind.
    #[serde(default)]
    pub install_if: Vec<String>,
    /// Users and groups that it needs, `name=number:group=number`.
    #[serde(default)]
    pub users: Vec<String>,
    /// Links of which the package with the highest number has its own, `number:/path:/target`.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// Absolute paths of settings, which upgrades keep.
    #[serde(default)]
    pub conffiles: Vec<String>,
    /// What is run when it comes and goes.
    #[serde(default)]
    pub scripts: ScriptTexts,
    /// What is in it.
    pub files: Vec<Item>,
}

/// The bodies of maintainer scripts, each with `#!/bin/sh` in its first line. Services are enabled, started and stopped,
/// modules loaded and `uci-defaults` applied without any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptTexts {
    /// Before its files are there.
    pub preinst: Option<String>,
    /// Once they are.
    pub postinst: Option<String>,
    /// Before they go.
    pub prerm: Option<String>,
    /// Once they are gone.
    pub postrm: Option<String>,
}

/// One entry of the payload; exactly one of `text`, `from`, `folder`, `link` and `directory` says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Path on the router, without leading slash.
    pub path: String,
    /// A file with this content.
    pub text: Option<String>,
    /// A file with the content of this one, in a recipe relative to it.
    pub from: Option<Utf8PathBuf>,
    /// All that is in this folder, likewise.
    pub folder: Option<Utf8PathBuf>,
    /// A symbolic link with this text.
    pub link: Option<String>,
    /// An empty folder.
    #[serde(default)]
    pub directory: bool,
    /// Permissions in octal digits; unless given, 0755 for what begins with `#!` and for folders, else 0644.
    pub mode: Option<String>,
    /// Who owns it: root, or one of `users`.
    pub owner: Option<String>,
}

fn utilities() -> String {
    "utils".into()
}

fn first_release() -> u32 {
    1
}

impl Files {
    /// Paths that are relative to the recipe become what they lead to.
    pub(super) fn found_from(&mut self, folder: &Utf8Path) {
        let paths = self.files.iter_mut().flat_map(|item| [&mut item.from, &mut item.folder]);
        for path in paths.flatten() {
            *path = folder.join(&path);
        }
    }

    /// What of it lies in files of its own.
    pub fn sources(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.files.iter().flat_map(|item| [&item.from, &item.folder]).flatten()
    }

    /// What is wrong with it, as the end of a sentence.
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
                return Some(format!("the owner of {} is none of `users`", item.path));
            }
        }
        if let Some(missing) = self.sources().find(|path| !path.exists()) {
            return Some(format!("there is no {missing}"));
        }
        let scripts = [&self.scripts.preinst, &self.scripts.postinst, &self.scripts.prerm, &self.scripts.postrm];
        if scripts.into_iter().flatten().any(|script| !script.starts_with("#!")) {
            return Some("a script does not begin with `#!/bin/sh`".into());
        }
        self.files.is_empty().then(|| "there are no files".into())
    }

    /// The numbers of a user of the package, and the name of its group.
    pub(crate) fn owner(&self, name: &str) -> Option<(u32, u32, &str)> {
        self.users.iter().find_map(|spec| {
            let (user, group) = spec.split_once(':')?;
            let (user, number) = user.split_once('=')?;
            let (group, group_number) = group.split_once('=')?;
            (user == name).then_some((number.parse().ok()?, group_number.parse().ok()?, group))
        })
    }
}
