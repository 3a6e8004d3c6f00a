//! Where packages lie in a feed: **one address, one kernel**.
//!
//! ```text
//! opkg/kmods/6.12.94-1-HASH/      the kmods of this kernel, the programs beside them, and opkg's index
//! apk/kmods/6.12.94-1-HASH/       likewise for apk
//! ```
//!
//! An index must never list kmods of a kernel that its routers do not run: apk would end every `upgrade` with exit code
//! 2, and both managers would refuse to install what fits. So a router's line names its kernel, and the folder at that
//! address has everything that the router needs.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Failure, Result};
use serde::{Deserialize, Serialize};

/// The folder that holds one folder for each kernel, below that of the manager.
const KMODS: &str = "kmods";

/// A kernel as its folder is named, also on OpenWrt's own site: `6.12.94-1-HASH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kernel(String);

impl Kernel {
    /// From the version of the package `kernel`: `6.12.94~HASH-r1`; before 24.10 that version is spelled as the folder
    /// is.
    pub fn of_package(version: &str) -> Self {
        let parts = version.split_once('~').and_then(|(version, rest)| Some((version, rest.rsplit_once("-r")?)));
        Kernel(match parts {
            Some((version, (hash, release))) => format!("{version}-{release}-{hash}"),
            None => version.to_owned(),
        })
    }

    /// From the name of a folder.
    pub fn of_folder(name: &str) -> Self {
        Kernel(name.to_owned())
    }

    /// The name of the folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder that a package manager reads on routers with this kernel. Works for addresses as for paths.
pub fn folder(feed: &Utf8Path, format: Format, kernel: &Kernel) -> Utf8PathBuf {
    feed.join(format.manager()).join(KMODS).join(&kernel.0)
}

/// A folder with an index, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) format: Format,
    pub(crate) kernel: Kernel,
    pub(crate) folder: Utf8PathBuf,
}

/// All such folders of a feed, sorted by manager and name.
pub(crate) fn places(feed: &Utf8Path) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for format in Format::ALL {
        let kmods = feed.join(format.manager()).join(KMODS);
        if !kmods.is_dir() {
            continue;
        }
        let io = |error: std::io::Error| Failure::io("look into the feed", &kmods, &error);
        let mut folders = Vec::new();
        for entry in kmods.read_dir_utf8().map_err(io)? {
            folders.push(entry.map_err(io)?.into_path());
        }
        folders.sort();
        let place = |folder: Utf8PathBuf| {
            let kernel = Kernel::of_folder(folder.file_name().unwrap_or_default());
            Place { format, kernel, folder }
        };
        places.extend(folders.into_iter().filter(|folder| folder.is_dir()).map(place));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_openwrt_names_them() {
        for (version, name) in [
            ("6.12.94~0123abcd-r1", "6.12.94-1-0123abcd"),
            ("5.15.167-1-0123abcd", "5.15.167-1-0123abcd"),
            ("5.4", "5.4"),
        ] {
            let kernel = Kernel::of_package(version);
            assert_eq!((kernel.as_str(), &kernel), (name, &Kernel::of_folder(name)));
        }
        let folder = folder("feed".into(), Format::Apk, &Kernel::of_package("6.12.94~0123abcd-r1"));
        assert_eq!(folder, "feed/apk/kmods/6.12.94-1-0123abcd");
    }
}
