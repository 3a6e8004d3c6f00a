//! Whether the files of a transaction may go where they want to, and putting them there.
//!
//! The check comes before the first change and covers all packages at once: who owns a path, what is
//! there already, what lies on the way to it, how much space is left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Entry, Kind as Content};

use crate::error::{Error, Result};
use crate::root::{Access, Kind, Root};

/// A file, link or directory of a package.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) entry: &'a Entry,
    /// Bytes that it takes.
    pub(crate) length: u64,
}

/// What one package brings.
#[derive(Debug)]
pub(crate) struct Bundle<'a> {
    /// Name of the package.
    pub(crate) name: &'a str,
    pub(crate) items: Vec<Item<'a>>,
    /// Files and links of the version that it replaces.
    pub(crate) replaced: BTreeSet<Utf8PathBuf>,
}

/// Where an entry goes, seen from the root.
pub(crate) fn path_of(entry: &Entry) -> Utf8PathBuf {
    Utf8Path::new("/").join(&entry.path)
}

/// Holds all packages of a transaction against the root and against each other. `owned` are the files of
/// packages that stay as they are, with their names.
pub(crate) fn check(
    root: &Root,
    owned: impl IntoIterator<Item = (Utf8PathBuf, String)>,
    bundles: &[Bundle<'_>],
) -> Result<()> {
    let mut places = Places { root, known: HashMap::new() };
    let mut owners: BTreeMap<Utf8PathBuf, String> =
        owned.into_iter().map(|(path, name)| (places.canonical(&path), name)).collect();
    let mut ways = Ways { root, passed: BTreeSet::new(), changing: changing(bundles) };
    let mut needed: u64 = 0;
    for bundle in bundles {
        for item in &bundle.items {
            ways.check(bundle.name, &path_of(item.entry))?;
        }
        for item in &bundle.items {
            let path = path_of(item.entry);
            check_place(root, bundle.name, item.entry, &path)?;
            if item.entry.kind != Content::Dir {
                let holder = owners.insert(places.canonical(&path), bundle.name.to_owned());
                if let Some(holder) = holder {
                    let holder = format!("that file is already provided by package {holder}");
                    return Err(Error::Clash { package: bundle.name.into(), path, holder });
                }
            }
            needed = needed.saturating_add(item.length);
        }
    }
    check_space(needed, root.free())
}

/// Puts one entry in place, and the directories above it that are missing.
pub(crate) fn put(
    root: &Root,
    package: &str,
    entry: &Entry,
    path: &Utf8Path,
    access: Access,
    content: &mut dyn Read,
) -> Result<()> {
    root.make_parents(path)?;
    match &entry.kind {
        Content::Dir if root.is_folder(path) => Ok(()),
        Content::Dir => root.make_folder(path, access).map(|_made| ()),
        Content::File(_) => root.write(path, access, false, content),
        Content::Symlink(target) => root.link(path, target),
        Content::HardLink(target) => root.hard_link(path, &Utf8Path::new("/").join(target)),
        Content::Device(_) => Err(Error::Special { package: package.into(), path: path.to_owned() }),
    }
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
fn changing(bundles: &[Bundle<'_>]) -> BTreeSet<Utf8PathBuf> {
    let mut paths = BTreeSet::new();
    for bundle in bundles {
        paths.extend(bundle.replaced.iter().cloned());
        let links = bundle.items.iter().filter(|item| matches!(item.entry.kind, Content::Symlink(_)));
        paths.extend(links.map(|item| path_of(item.entry)));
    }
    paths
}

/// The directories that files of the transaction go through.
struct Ways<'a> {
    root: &'a Root,
    passed: BTreeSet<Utf8PathBuf>,
    changing: BTreeSet<Utf8PathBuf>,
}

impl Ways<'_> {
    /// Every directory on the way must be one, or be missing, and stay what it is.
    fn check(&mut self, package: &str, path: &Utf8Path) -> Result<()> {
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
            return Err(Error::Escape { package: package.into(), path: path.to_owned(), problem });
        }
        Ok(())
    }
}

/// A folder is not replaced by a file, nor the other way round.
fn check_place(root: &Root, package: &str, entry: &Entry, path: &Utf8Path) -> Result<()> {
    let holder = match (&entry.kind, root.kind(path)?) {
        (Content::Dir, None | Some(Kind::Folder)) => return Ok(()),
        (Content::Dir, Some(_)) if root.is_folder(path) => return Ok(()),
        (Content::Dir, Some(_)) => "something that is no folder is there",
        (_, Some(Kind::Folder)) => "a folder is there",
        (_, Some(Kind::Other)) => "a special file is there",
        (_, _) => return Ok(()),
    };
    Err(Error::Clash { package: package.into(), path: path.to_owned(), holder: holder.into() })
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
        assert!(error.id() == "INST025" && error.line().contains("11 bytes are needed and 10 are free"));
    }
}
