//! The words by which each package manager does what a scenario asks for.

use model::Format;
use serde::Deserialize;

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
    /// Put newer versions of the feed's in the place of installed packages.
    Upgrade,
    /// Put the feed's older versions in the place of installed packages.
    Downgrade,
    /// Remove packages.
    Remove,
    /// List the files of a package.
    Files,
    /// List the installed packages.
    List,
}

impl Action {
    /// The words by which the manager of packages of this format does it.
    pub fn words(self, manager: Format) -> &'static [&'static str] {
        match (manager, self) {
            (Format::Ipk, Action::Update) => &["opkg", "update"],
            (Format::Ipk, Action::Install) => &["opkg", "install"],
            (Format::Ipk, Action::Replace) => &["opkg", "install", "--force-reinstall"],
            (Format::Ipk, Action::Upgrade) => &["opkg", "upgrade"],
            (Format::Ipk, Action::Downgrade) => &["opkg", "install", "--force-reinstall", "--force-downgrade"],
            (Format::Ipk, Action::Remove) => &["opkg", "remove"],
            (Format::Ipk, Action::Files) => &["opkg", "files"],
            (Format::Ipk, Action::List) => &["opkg", "list-installed"],
            (Format::Apk, Action::Update) => &["apk", "update"],
            (Format::Apk, Action::Install) => &["apk", "add"],
            (Format::Apk, Action::Replace) => &["apk", "upgrade", "--available"],
            (Format::Apk, Action::Upgrade) => &["apk", "upgrade"],
            (Format::Apk, Action::Downgrade) => &["apk", "upgrade", "--available"],
            (Format::Apk, Action::Remove) => &["apk", "del"],
            (Format::Apk, Action::Files) => &["apk", "info", "-L"],
            (Format::Apk, Action::List) => &["apk", "list", "-I"],
        }
    }
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
