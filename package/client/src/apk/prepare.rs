//! Fetches the packages of a transaction to a scratch directory and reads each to its last checksum, so that errors are
//! found before the first file is written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use formats::adb::Adb;
use formats::apk::{self, Member, Metadata};
use formats::{Kind, Limits};
use tempfile::TempDir;

use super::config::Config;
use super::indexes::Offer;
use super::installed::identity_in_index;
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::fetch;
use crate::place::{self, Bundle, Item, Items, Sort};

/// The largest package file that may be given by path; those in an index may have the size that it says.
const MAX_FILE: u64 = 512 << 20;

/// A package whose file was read completely and is valid.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) metadata: Metadata,
    /// Length of the package file.
    pub(super) size: u64,
    /// Files that it leaves to other packages, because of `replaces`.
    pub(super) left: BTreeSet<Utf8PathBuf>,
    /// Our own copy of the package file: nobody can change it between check and use.
    file: File,
}

impl Prepared {
    pub(super) fn name(&self) -> &str {
        &self.metadata.info.name
    }

    /// The package file, at its start.
    pub(super) fn open(&self) -> Result<&File> {
        rewind(&self.file, &self.metadata.info.name)?;
        Ok(&self.file)
    }

    /// Absolute paths of all entries except directories and files left to others.
    pub(super) fn files(&self) -> impl Iterator<Item = Utf8PathBuf> {
        self.metadata.files().map(|member| place::path_of(&member.entry)).filter(|path| !self.left.contains(path))
    }

    /// Whether it installs a file or link at this absolute path.
    pub(super) fn has_file(&self, path: &Utf8Path) -> bool {
        self.metadata.members.has_file(path.as_str().trim_start_matches('/')) && !self.left.contains(path)
    }

    /// Absolute paths of everything that it installs; `true` marks a directory.
    pub(super) fn paths(&self) -> impl Iterator<Item = (Utf8PathBuf, bool)> {
        let members = self.metadata.members.iter().filter(|member| !member.entry.path.is_empty());
        let paths = members.map(|member| (place::path_of(&member.entry), member.entry.kind == Kind::Dir));
        paths.filter(|(path, _)| !self.left.contains(path))
    }

    /// The items that it installs, and where.
    pub(super) fn bundle(&self) -> Bundle<'_> {
        // The entry for the root itself has no path; it is skipped.
        let here = |member: &Member| {
            !member.entry.path.is_empty()
                && (self.left.is_empty() || !self.left.contains(&place::path_of(&member.entry)))
        };
        let item = |member: Member| {
            let length = if matches!(member.entry.kind, Kind::File(_)) { member.length } else { 0 };
            let target = place::target_of(&member.entry);
            Item { path: place::path_of(&member.entry), sort: Sort::of(&member.entry), length, target }
        };
        let items = Box::new(move || -> Items<'_> { Box::new(self.metadata.members.iter().filter(here).map(item)) });
        Bundle { name: self.name(), items, replaced: BTreeSet::new(), yields: BTreeSet::new() }
    }
}

/// Reads a package from a path or an address that the user gave; one of the trusted keys must have signed it.
pub(super) fn from_file(url: &str, config: &Config, scratch: &TempDir) -> Result<Prepared> {
    let mut file = scratch_file(scratch)?;
    let size = fetch::fetch(url, MAX_FILE, &mut file)?.size;
    let name = url.rsplit('/').next().unwrap_or(url);
    if size > MAX_FILE {
        return Err(Error::Package { file: name.into(), problem: format!("it has more than {MAX_FILE} bytes") });
    }
    let trusted = |adb: &Adb| adb.verify(&config.keys).map(|_key| ());
    inspect(file, size, trusted, |error| refused(name, error))
}

/// Fetches a package of an index and checks that it is the one that the signed index describes.
pub(super) fn from_feed(offer: &Offer, scratch: &TempDir, on: &mut dyn FnMut(Progress)) -> Result<Prepared> {
    on(Step::Fetching { url: offer.url.clone() }.into());
    let mut file = scratch_file(scratch)?;
    let size = fetch::fetch(&offer.url, offer.listed.file_size, &mut file)?.size;
    let info = &offer.listed.info;
    let changed = |problem: String| Error::Integrity { package: format!("{}-{}", info.name, info.version), problem };
    if size != offer.listed.file_size {
        let more = if size > offer.listed.file_size { "at least " } else { "" };
        let problem = format!("the index says {} bytes, the file has {more}{size}", offer.listed.file_size);
        return Err(changed(problem));
    }
    let trusted = |adb: &Adb| offer.listed.check_file(adb, size, &Limits::default());
    let prepared = inspect(file, size, trusted, |error| match &error {
        formats::Error::IndexMismatch { field: "hashes", .. } => changed(error.to_string()),
        formats::Error::IndexMismatch { .. } => {
            Error::Foreign { package: info.name.clone(), problem: error.to_string() }
        }
        _ if is_damage(&error) => changed(format!("{error} ({})", error.id())),
        _ => refused(&info.file_name(), error),
    });
    prepared.map(|mut prepared| {
        prepared.metadata.info.unique_id = Some(identity_in_index(&offer.listed.sha256));
        prepared
    })
}

/// Whether the file is damaged as a whole. The index of a publisher who read the file would not list it.
fn is_damage(error: &formats::Error) -> bool {
    use formats::Error::{AdbBlock, AdbMagic, AdbTruncated, ApkContent, ApkData, GzipCorrupt, GzipTrailing};
    matches!(
        error,
        AdbMagic { .. }
            | AdbTruncated
            | AdbBlock { .. }
            | GzipCorrupt
            | GzipTrailing
            | ApkContent { .. }
            | ApkData { .. }
    )
}

fn scratch_file(scratch: &TempDir) -> Result<File> {
    tempfile::tempfile_in(scratch).map_err(Error::io("make a file in", scratch.path().to_string_lossy().as_ref()))
}

fn rewind(mut file: &File, name: &str) -> Result<()> {
    file.seek(SeekFrom::Start(0)).map(|_start| ()).map_err(Error::io("read the copy of", name))
}

/// Reads the whole package once and keeps everything but the content of files.
fn inspect(
    file: File,
    size: u64,
    trusted: impl FnOnce(&Adb) -> Result<(), formats::Error>,
    explain: impl FnOnce(formats::Error) -> Error,
) -> Result<Prepared> {
    rewind(&file, "the package")?;
    match apk::inspect(&file, &Limits::default(), trusted) {
        Ok(metadata) => Ok(Prepared { metadata, size, left: BTreeSet::new(), file }),
        Err(error) => Err(explain(error)),
    }
}

/// Refusals that indicate an attack have ids of their own.
fn refused(file: &str, error: formats::Error) -> Error {
    let package = file.to_owned();
    let problem = format!("{error} ({})", error.id());
    match error {
        formats::Error::AdbUntrusted { .. } => Error::UntrustedPackage { file: package, problem },
        formats::Error::ApkDevice { path } => Error::Special { package, path: path.into() },
        formats::Error::ApkPath { path, .. } => Error::Escape { package, path: path.into(), problem },
        _ => Error::Package { file: package, problem },
    }
}
