//! The package managers of OpenWrt, and the words by which each does what a scenario asks for.

use serde::Deserialize;

/// A package manager of OpenWrt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// Up to 24.10.
    Opkg,
    /// From 25.12 on.
    Apk,
}

impl Manager {
    /// Both.
    pub const ALL: [Manager; 2] = [Manager::Opkg, Manager::Apk];

    /// The program's name.
    pub fn word(self) -> &'static str {
        match self {
            Manager::Opkg => "opkg",
            Manager::Apk => "apk",
        }
    }

    /// The format that it installs, by the ending of its files.
    pub fn format(self) -> &'static str {
        match self {
            Manager::Opkg => "ipk",
            Manager::Apk => "apk",
        }
    }

    /// The words by which this manager does what a scenario asks for.
    pub fn words(self, action: Action) -> &'static [&'static str] {
        match (self, action) {
            (Manager::Opkg, Action::Update) => &["opkg", "update"],
            (Manager::Opkg, Action::Install) => &["opkg", "install"],
            (Manager::Opkg, Action::Replace) => &["opkg", "install", "--force-reinstall"],
            (Manager::Opkg, Action::Remove) => &["opkg", "remove"],
            (Manager::Opkg, Action::Files) => &["opkg", "files"],
            (Manager::Opkg, Action::List) => &["opkg", "list-installed"],
            (Manager::Apk, Action::Update) => &["apk", "update"],
            (Manager::Apk, Action::Install) => &["apk", "add"],
            (Manager::Apk, Action::Replace) => &["apk", "upgrade", "--available"],
            (Manager::Apk, Action::Remove) => &["apk", "del"],
            (Manager::Apk, Action::Files) => &["apk", "info", "-L"],
            (Manager::Apk, Action::List) => &["apk", "list", "-I"],
        }
    }
}

/// What every package manager can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Fetch and verify the indexes.
    Update,
    /// Install packages by name.
    Install,
    /// Put the feed's packages in the place of installed ones, also of the same version, whoever needs them.
    Replace,
    /// Remove packages.
    Remove,
    /// List the files of a package.
    Files,
    /// List the installed packages.
    List,
}

/// Texts that an answer must contain, by package manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// What opkg must say.
    #[serde(default)]
    pub opkg: Vec<String>,
    /// What apk must say.
    #[serde(default)]
    pub apk: Vec<String>,
}
