//! Checked packages, and the files of a folder of them.

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Failure, Result};

use crate::lint::Allowed;

/// Checked packages.
pub(super) struct Packages {
    /// The stage's directory.
    pub(super) folder: Utf8PathBuf,
    /// The stage that they were made from: the stand-in's kernel, or OpenWrt's SDK.
    pub(super) kernel: Utf8PathBuf,
    /// The version of the package `kernel` that they depend on.
    pub(super) kernel_version: String,
    /// What they are for.
    pub(super) arch: Arch,
    /// Breaches of the lint's rules that nobody here can mend.
    pub(super) allowed: Vec<Allowed>,
    /// What the user brought beside them.
    pub(super) brought: Option<Copies>,
}

impl Packages {
    /// The package files of every format.
    pub(super) fn files(&self) -> Result<Vec<Utf8PathBuf>> {
        let brought = self.brought.iter().flat_map(|brought| &brought.files).map(|(copy, _origin)| copy.clone());
        Ok(package_files(&self.folder)?.into_iter().chain(brought).collect())
    }

    /// Where a file of theirs comes from, as people know it.
    pub(super) fn origin<'a>(&'a self, file: &'a Utf8Path) -> &'a Utf8Path {
        let brought = self.brought.iter().flat_map(|brought| &brought.files);
        brought.filter(|(copy, _origin)| copy == file).map(|(_copy, origin)| origin.as_path()).next().unwrap_or(file)
    }
}

/// Packages from elsewhere, as they go into the feed.
#[derive(Debug, Clone)]
pub(super) struct Copies {
    /// The stage's directory.
    pub(super) folder: Utf8PathBuf,
    /// Each file there, and where it comes from.
    pub(super) files: Vec<(Utf8PathBuf, Utf8PathBuf)>,
}

/// The package files of a folder, of any format: sorted within each.
pub(super) fn package_files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let files = Format::ALL.map(|format| files(folder, &format!(".{format}")));
    Ok(files.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Files of a folder with an ending, sorted.
pub(super) fn files(folder: &Utf8Path, ending: &str) -> Result<Vec<Utf8PathBuf>> {
    let io = |error: std::io::Error| Failure::io("list the folder", folder, &error);
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(io)? {
        let path = entry.map_err(io)?.into_path();
        if path.as_str().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
