//! Everything that can be refused about a package before the first file of a transaction is written.
//!
//! Each package is fetched to a scratch directory, compared with the signed index, read through to its
//! last checksum, and held against the root: who owns its paths, what is there already, how much
//! space is left. Only a transaction that passes as a whole goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Seek, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use formats::control::Control;
use formats::ipk::Metadata;
use formats::tar::Member;
use formats::{Kind as Content, Limits, ipk};
use tempfile::TempDir;

use super::Progress;
use super::lists::Offer;
use super::status::{Status, read_paths};
use crate::error::{Error, Result};
use crate::fetch;
use crate::root::{Kind, Root};

/// Largest package file that is given by path; those of a feed have the size their index says.
const MAX_FILE: u64 = 512 << 20;

/// A package that was read through and found good.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) metadata: Metadata,
    /// The payload, in its order, without content.
    pub(crate) members: Vec<Member>,
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

    /// The package file, from its start.
    pub(crate) fn open(&mut self) -> Result<&mut File> {
        self.file.seek(SeekFrom::Start(0)).map_err(Error::io("read the copy of", self.name()))?;
        Ok(&mut self.file)
    }

    /// Absolute paths of everything but directories, as opkg lists them.
    pub(crate) fn files(&self) -> impl Iterator<Item = Utf8PathBuf> {
        self.members.iter().filter(|member| member.entry.kind != Content::Dir).map(path_of)
    }
}

/// Where a member goes, seen from the root.
pub(crate) fn path_of(member: &Member) -> Utf8PathBuf {
    Utf8Path::new("/").join(&member.entry.path)
}

/// Takes a package from a path or an address that the user named.
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
    on(Progress::Downloading { url: offer.url.clone() });
    let mut file = scratch_file(scratch)?;
    let fetched = fetch::fetch(&offer.url, offer.listed.size, &mut file)?;
    let mismatch = |error: formats::Error| Error::Mismatch { package: package(), problem: error.to_string() };
    offer.listed.check_file(fetched.size, fetched.sha256).map_err(mismatch)?;
    let prepared = inspect(file, &offer.listed.filename)?;
    let foreign = |error: formats::Error| Error::Foreign { package: package(), problem: error.to_string() };
    offer.listed.check_control(prepared.control()).map_err(foreign)?;
    Ok(prepared)
}

fn scratch_file(scratch: &TempDir) -> Result<File> {
    tempfile::tempfile_in(scratch).map_err(Error::io("make a file in", scratch.path().to_string_lossy().as_ref()))
}

/// Reads the whole package once and keeps everything but the content.
fn inspect(mut file: File, name: &str) -> Result<Prepared> {
    file.seek(SeekFrom::Start(0)).map_err(Error::io("read the copy of", name))?;
    let mut members = Vec::new();
    let metadata = ipk::visit(&file, &Limits::default(), &mut |member, _content| {
        members.push(member.clone());
        Ok(())
    });
    match metadata {
        Ok(metadata) => Ok(Prepared { metadata, members, file }),
        Err(error) => Err(refused(name, &error)),
    }
}

/// The refusals that mean an attack have ids of their own.
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

/// Holds all packages of a transaction against the root and against each other.
pub(crate) fn check_against(root: &Root, status: &Status, packages: &[Prepared]) -> Result<()> {
    let replaced: BTreeSet<&str> = packages.iter().map(Prepared::name).collect();
    let mut places = Places { root, known: HashMap::new() };
    let mut owners: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
    for name in status.0.keys().filter(|name| !replaced.contains(name.as_str())) {
        for path in read_paths(root, name, "list")? {
            owners.insert(places.canonical(&path), name.clone());
        }
    }
    let mut ways = Ways { root, passed: BTreeSet::new(), changing: changing(root, status, packages)? };
    let mut needed: u64 = 0;
    for package in packages {
        for member in &package.members {
            ways.check(package, &path_of(member))?;
        }
        for member in &package.members {
            let path = path_of(member);
            check_place(root, package, member, &path)?;
            if member.entry.kind != Content::Dir {
                let holder = owners.insert(places.canonical(&path), package.name().to_owned());
                if let Some(holder) = holder {
                    let holder = format!("that file is already provided by package {holder}");
                    return Err(Error::Clash { package: package.name().into(), path, holder });
                }
            }
            needed = needed.saturating_add(member.length);
        }
    }
    check_space(needed, root.free())
}

/// A file system that does not say how much is free, such as the one of an initramfs, is believed to do.
fn check_space(needed: u64, free: Option<u64>) -> Result<()> {
    match free {
        Some(free) if free < needed => Err(Error::Space { needed, free }),
        _ => Ok(()),
    }
}

/// Paths that are, or may be, links before the transaction and something else after it: those the
/// packages bring, and those of the versions they replace.
fn changing(root: &Root, status: &Status, packages: &[Prepared]) -> Result<BTreeSet<Utf8PathBuf>> {
    let mut paths = BTreeSet::new();
    for package in packages {
        if status.0.contains_key(package.name()) {
            paths.extend(read_paths(root, package.name(), "list")?);
        }
        let links = package.members.iter().filter(|member| matches!(member.entry.kind, Content::Symlink(_)));
        paths.extend(links.map(path_of));
    }
    Ok(paths)
}

/// The directories that files of the transaction go through.
struct Ways<'a> {
    root: &'a Root,
    passed: BTreeSet<Utf8PathBuf>,
    changing: BTreeSet<Utf8PathBuf>,
}

impl Ways<'_> {
    /// Every directory on the way must be one, or be missing, and stay what it is.
    fn check(&mut self, package: &Prepared, path: &Utf8Path) -> Result<()> {
        for folder in path.ancestors().skip(1).filter(|folder| *folder != "/") {
            if self.passed.contains(folder) {
                continue;
            }
            let problem = match self.root.kind(folder)? {
                _ if self.changing.contains(folder) => {
                    format!(
                        "its way leads through {folder}, a link or file that the same transaction brings or replaces"
                    )
                }
                Some(Kind::Link) if !self.root.is_folder(folder) => {
                    format!("the link {folder} on its way leads to no folder")
                }
                Some(Kind::File | Kind::Other) => format!("{folder} on its way is no folder"),
                _ => {
                    self.passed.insert(folder.to_owned());
                    continue;
                }
            };
            return Err(Error::Escape { package: package.name().into(), path: path.to_owned(), problem });
        }
        Ok(())
    }
}

/// A folder is not replaced by a file, nor the other way round.
fn check_place(root: &Root, package: &Prepared, member: &Member, path: &Utf8Path) -> Result<()> {
    let holder = match (&member.entry.kind, root.kind(path)?) {
        (Content::Dir, None | Some(Kind::Folder)) => return Ok(()),
        (Content::Dir, Some(_)) if root.is_folder(path) => return Ok(()),
        (Content::Dir, Some(_)) => "something that is no folder is there",
        (_, Some(Kind::Folder)) => "a folder is there",
        (_, Some(Kind::Other)) => "a special file is there",
        (_, _) => return Ok(()),
    };
    Err(Error::Clash { package: package.name().into(), path: path.to_owned(), holder: holder.into() })
}

/// Paths with the links on their way followed, so that one file has one name; remembers folders.
struct Places<'a> {
    root: &'a Root,
    known: HashMap<Utf8PathBuf, Utf8PathBuf>,
}

impl Places<'_> {
    fn canonical(&mut self, path: &Utf8Path) -> Utf8PathBuf {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
        if let Some(place) = self.known.get(folder) {
            return place.join(name);
        }
        let real = self.root.canonical(path);
        if let Some(place) = real.parent() {
            self.known.insert(folder.to_owned(), place.to_owned());
        }
        real
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_known_before_the_first_file() {
        assert!(check_space(10, Some(10)).is_ok() && check_space(10, None).is_ok());
        let error = check_space(11, Some(10)).unwrap_err();
        assert!(error.id() == "OPKG025" && error.line().contains("11 bytes are needed and 10 are free"));
    }
}
