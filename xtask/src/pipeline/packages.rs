//! Checked packages, and the package files in a folder.

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Failure, Result};

use crate::lint::Allowed;

/// Checked packages.
pub(super) struct Packages {
    /// The stage's folder.
    pub(super) folder: Utf8PathBuf,
    /// The folder of the stage that they were built from: the stand-in's kernel, or OpenWrt's SDK.
    pub(super) kernel: Utf8PathBuf,
    /// The version of the package `kernel` that they depend on.
    pub(super) kernel_version: String,
    /// Their architecture.
    pub(super) arch: Arch,
    /// Accepted breaches of lint rules, which cannot be fixed here.
    pub(super) allowed: Vec<Allowed>,
    /// The packages that the user gave.
    pub(super) brought: Option<Copies>,
}

impl Packages {
    /// The package files of every format.
    pub(super) fn files(&self) -> Result<Vec<Utf8PathBuf>> {
        let brought = self.brought.iter().flat_map(|brought| &brought.files).map(|(copy, _origin)| copy.clone());
        Ok(package_files(&self.folder)?.into_iter().chain(brought).collect())
    }

    /// The origin of a package file, as the user knows it.
    pub(super) fn origin<'a>(&'a self, file: &'a Utf8Path) -> &'a Utf8Path {
        let brought = self.brought.iter().flat_map(|brought| &brought.files);
        brought.filter(|(copy, _origin)| copy == file).map(|(_copy, origin)| origin.as_path()).next().unwrap_or(file)
    }
}

/// Packages from elsewhere, as they are added to the feed.
#[derive(Debug, Clone)]
pub(super) struct Copies {
    /// The stage's folder.
    pub(super) folder: Utf8PathBuf,
    /// Each file there, with its origin.
    pub(super) files: Vec<(Utf8PathBuf, Utf8PathBuf)>,
}

/// The package files in a folder, of any format, sorted by format and name.
pub(super) fn package_files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let files = Format::ALL.map(|format| files(folder, &format!(".{format}")));
    Ok(files.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The files in a folder with an extension, sorted.
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
