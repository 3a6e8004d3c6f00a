//! Makes all checks of a package that are possible before a transaction writes its first file.
//!
//! Each package is fetched to a scratch directory, compared with the signed index, read to its last checksum, and
//! checked against the root. Only a transaction that passes as a whole goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use formats::control::Control;
use formats::ipk::Metadata;
use formats::md5::Md5;
use formats::tar::Member;
use formats::{Limits, ipk};
use tempfile::TempDir;

use super::lists::Offer;
use super::status::{Status, read_paths};
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::fetch;
use crate::place::{self, Bundle, Item, Items, Sort};
use crate::root::Root;

/// The largest package file that may be given by path; those of a feed may have the size that the index says.
const MAX_FILE: u64 = 512 << 20;

/// A package whose file was read completely and is valid.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) metadata: Metadata,
    /// The files that it installs.
    pub(crate) members: Members,
    /// Our own copy of the package file: nobody can change it between check and use.
    file: File,
}

impl Prepared {
    pub(crate) fn control(&self) -> &Control {
        &self.metadata.control
    }

    pub(crate) fn name(&self) -> &str {
        &self.metadata.control.package
    }

    /// The package file, at its start.
    pub(crate) fn open(&mut self) -> Result<&mut File> {
        self.file.seek(SeekFrom::Start(0)).map_err(Error::io("read the copy of", self.name()))?;
        Ok(&mut self.file)
    }

    /// Absolute paths of all entries except directories, as opkg lists them.
    pub(crate) fn files(&self) -> impl Iterator<Item = Utf8PathBuf> {
        self.members.iter().filter(|item| item.sort != Sort::Folder).map(|item| item.path)
    }
}

/// The entries of a package, in its order. There can be very many, so all paths lie in one string.
#[derive(Debug, Default)]
pub(crate) struct Members {
    paths: String,
    /// For each entry: the end of its path in that string, its kind, and its size in bytes.
    items: Vec<(usize, Sort, u64)>,
    /// Targets of links, by the position of the entry.
    targets: BTreeMap<usize, String>,
}

impl Members {
    fn push(&mut self, member: &Member) {
        if let Some(target) = place::target_of(&member.entry) {
            self.targets.insert(self.items.len(), target);
        }
        self.paths.push_str(&member.entry.path);
        self.items.push((self.paths.len(), Sort::of(&member.entry), member.length));
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Item> {
        let mut start = 0;
        self.items.iter().enumerate().map(move |(index, &(end, sort, length))| {
            let path = Utf8Path::new("/").join(&self.paths[std::mem::replace(&mut start, end)..end]);
            Item { path, sort, length, target: self.targets.get(&index).cloned() }
        })
    }
}

/// Path of an entry, seen from the root.
pub(crate) fn path_of(member: &Member) -> Utf8PathBuf {
    place::path_of(&member.entry)
}

/// Reads a package from a path or an address that the user gave.
pub(crate) fn from_file(url: &str, scratch: &TempDir) -> Result<Prepared> {
    let mut file = scratch_file(scratch)?;
    let fetched = fetch::fetch(url, MAX_FILE, &mut file)?;
    let name = url.rsplit('/').next().unwrap_or(url);
    if fetched.size > MAX_FILE {
        let problem = format!("it has more than {MAX_FILE} bytes");
        return Err(Error::Package { file: name.into(), problem });
    }
    inspect(file, name)
}

/// Fetches a package of a feed and checks that it is the one that the signed index describes.
pub(crate) fn from_feed(offer: &Offer, scratch: &TempDir, on: &mut dyn FnMut(Progress)) -> Result<Prepared> {
    let package = || offer.listed.control.package.clone();
    let mut file = scratch_file(scratch)?;
    fetch_offer(offer, &mut file, on)?;
    let prepared = inspect(file, &offer.listed.filename)?;
    let foreign = |error: formats::Error| Error::Foreign { package: package(), problem: error.to_string() };
    offer.listed.check_control(prepared.control()).map_err(foreign)?;
    Ok(prepared)
}

/// Downloads a package of a feed into a folder, under the feed's file name.
pub(crate) fn download(offer: &Offer, folder: &Utf8Path, on: &mut dyn FnMut(Progress)) -> Result<Utf8PathBuf> {
    let name = offer.listed.filename.rsplit('/').next().unwrap_or_default();
    let path = folder.join(name);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("make a file in", folder))?;
    fetch_offer(offer, file.as_file_mut(), on)?;
    // Temporary files are private (0600), but a downloaded package should be readable by all.
    let all = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(all).map_err(Error::io("write", &path))?;
    file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
    Ok(path)
}

/// Downloads a file and checks it against the signed index.
fn fetch_offer(offer: &Offer, into: &mut File, on: &mut dyn FnMut(Progress)) -> Result<()> {
    on(Step::Downloading { url: offer.url.clone() }.into());
    let fetched = fetch::fetch(&offer.url, offer.listed.size, into)?;
    let package = offer.listed.control.package.clone();
    let mismatch = |error: formats::Error| Error::Mismatch { package, problem: error.to_string() };
    let md5 = || {
        into.seek(SeekFrom::Start(0))?;
        Md5::of_reader(&*into)
    };
    offer.listed.check_file(fetched.size, fetched.sha256, md5).map_err(mismatch)
}

fn scratch_file(scratch: &TempDir) -> Result<File> {
    tempfile::tempfile_in(scratch).map_err(Error::io("make a file in", scratch.path().to_string_lossy().as_ref()))
}

/// Reads the whole package once and keeps everything but the content of files.
fn inspect(mut file: File, name: &str) -> Result<Prepared> {
    file.seek(SeekFrom::Start(0)).map_err(Error::io("read the copy of", name))?;
    let mut members = Members::default();
    let metadata = ipk::visit(&file, &Limits::default(), &mut |member, _content| {
        members.push(member);
        Ok(())
    });
    match metadata {
        Ok(metadata) => Ok(Prepared { metadata, members, file }),
        Err(error) => Err(refused(name, &error)),
    }
}

/// Refusals that indicate an attack have ids of their own.
fn refused(file: &str, error: &formats::Error) -> Error {
    let package = file.to_owned();
    let problem = format!("{error} ({})", error.id());
    match error {
        formats::Error::TarDevice { path } => Error::Special { package, path: path.into() },
        formats::Error::TarPath { path, .. }
        | formats::Error::TarThroughLink { path, .. }
        | formats::Error::TarHardLink { path, .. } => Error::Escape { package, path: path.into(), problem },
        _ => Error::Package { file: package, problem },
    }
}

/// Checks all packages of a transaction against the root and against each other; packages in `leaving` make room. With
/// `overwrite` two packages may have the same file: the later one gets it.
pub(crate) fn check_against<'a>(
    root: &Root,
    status: &'a Status,
    packages: &'a [Prepared],
    leaving: &BTreeSet<String>,
    overwrite: bool,
) -> Result<()> {
    let replaced: BTreeSet<&str> = packages.iter().map(Prepared::name).collect();
    let (mut owned, mut going) = (Vec::new(), BTreeSet::new());
    for name in status.0.keys().filter(|name| !replaced.contains(name.as_str())) {
        let files = read_paths(root, name, "list")?;
        match leaving.contains(name) {
            true => going.extend(files),
            false => owned.extend(files.into_iter().map(|path| (path, name.as_str()))),
        }
    }
    let mut bundles = Vec::new();
    for package in packages {
        let replaced = match status.0.contains_key(package.name()) {
            true => read_paths(root, package.name(), "list")?,
            false => BTreeSet::new(),
        };
        let items = Box::new(|| -> Items<'a> { Box::new(package.members.iter()) });
        let yields = yielding(status, package.name(), &replaced);
        bundles.push(Bundle { name: package.name(), items, replaced, yields });
    }
    place::check(root, owned, going, &bundles, overwrite)
}

/// Files of an installed package that a folder may replace; not its conffiles, which are the user's.
pub(crate) fn yielding(status: &Status, name: &str, files: &BTreeSet<Utf8PathBuf>) -> BTreeSet<Utf8PathBuf> {
    let conffiles = status.0.get(name).map(|package| &package.conffiles);
    files.iter().filter(|path| conffiles.is_none_or(|known| !known.contains_key(*path))).cloned().collect()
}
