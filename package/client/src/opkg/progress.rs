//! What happens while a command runs, in opkg's words.

use std::fmt;

use camino::Utf8PathBuf;
use formats::version::opkg::compare;

/// What a command reports to its callback.
pub type Progress = crate::Progress<Step>;

/// Something that is done, or about to be. Displays as a line of opkg's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A file of a feed is being fetched.
    Downloading {
        /// Its address.
        url: String,
    },
    /// A new list is in place.
    Updated {
        /// Its path, seen from the root.
        path: Utf8PathBuf,
    },
    /// The signature of the new list is good.
    SignaturePassed,
    /// A package is being unpacked.
    Installing {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The version that it replaces.
        from: Option<String>,
    },
    /// A package's `postinst` is about to run.
    Configuring {
        /// Its name.
        name: String,
    },
    /// A package is being removed.
    Removing {
        /// Its name.
        name: String,
    },
    /// A package that was installed as a dependency is no longer needed.
    Orphaned {
        /// Its name.
        name: String,
    },
    /// A package file holds an older version than the one that is installed.
    NotDowngrading {
        /// Its name.
        name: String,
        /// The installed version.
        from: String,
        /// The version of the file.
        to: String,
    },
    /// A package was only downloaded.
    Downloaded {
        /// Its name.
        name: String,
        /// Path of the file.
        path: Utf8PathBuf,
    },
    /// A requested package is already installed.
    UpToDate {
        /// Its name.
        name: String,
        /// The installed version.
        version: String,
    },
    /// A conffile that the user changed stays; the new one is put beside it.
    ConffileKept {
        /// The changed one.
        path: Utf8PathBuf,
        /// The new one.
        new: Utf8PathBuf,
    },
    /// A conffile that the user changed is put aside, as something else has its place.
    ConffileSaved {
        /// Path of the conffile.
        path: Utf8PathBuf,
        /// Where it is now.
        aside: Utf8PathBuf,
    },
    /// A conffile that the user changed stays when its package is removed.
    ConffileNotRemoved {
        /// Path of the conffile.
        path: Utf8PathBuf,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Downloading { url } => write!(f, "Downloading {url}"),
            Step::Updated { path } => write!(f, "Updated list of available packages in {path}"),
            Step::SignaturePassed => write!(f, "Signature check passed."),
            Step::Installing { name, version, from: None } => {
                write!(f, "Installing {name} ({version}) to root...")
            }
            Step::Installing { name, version, from: Some(from) } => {
                let older = compare(version, from).is_lt();
                let word = if older { "Downgrading" } else { "Upgrading" };
                write!(f, "{word} {name} on root from {from} to {version}...")
            }
            Step::Configuring { name } => write!(f, "Configuring {name}."),
            Step::Removing { name } => write!(f, "Removing package {name} from root..."),
            Step::Orphaned { name } => write!(f, "{name} was autoinstalled and is now orphaned, removing."),
            Step::NotDowngrading { name, from, to } => {
                write!(f, "Not downgrading package {name} on root from {from} to {to}.")
            }
            Step::Downloaded { name, path } => write!(f, "Downloaded {name} as {path}."),
            Step::UpToDate { name, version } => {
                write!(f, "Package {name} ({version}) installed in root is up to date.")
            }
            Step::ConffileKept { path, new } => {
                write!(
                    f,
                    "Existing conffile {path} is different from the conffile in the new package. The new conffile will be placed at {new}."
                )
            }
            Step::ConffileSaved { path, aside } => {
                write!(f, "The new package has something else at {path}. The modified conffile is kept as {aside}.")
            }
            Step::ConffileNotRemoved { path } => write!(f, "Not deleting modified conffile {path}."),
        }
    }
}
