//! Whether the files of a transaction may go where they want to, and putting them there.
//!
//! The check comes before the first change and covers all packages at once: who owns a path, what is
//! there already, what lies on the way to it, how much space is left.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// Those of them that a folder of the new version may take the place of: nobody's changes are in them.
    pub(crate) yields: BTreeSet<Utf8PathBuf>,
}

impl Bundle<'_> {
    /// Whether a folder may be made where something else is now: it is this package's own.
    fn makes_way(&self, root: &Root, path: &Utf8Path) -> bool {
        self.yields.contains(path) && !root.is_folder(path)
    }
}

/// Where an entry goes, seen from the root.
pub(crate) fn path_of(entry: &Entry) -> Utf8PathBuf {
    Utf8Path::new("/").join(&entry.path)
}

/// Holds all packages of a transaction against the root and against each other. `owned` are the files of
/// packages that stay as they are, with their names; `going` are the files of those that are taken away. With `overwrite`
/// it is no matter that a file has an owner.
pub(crate) fn check<'a>(
    root: &Root,
    owned: impl IntoIterator<Item = (Utf8PathBuf, &'a str)>,
    going: BTreeSet<Utf8PathBuf>,
    bundles: &'a [Bundle<'a>],
    overwrite: bool,
) -> Result<()> {
    let root = &root.remembering();
    let mut places = Places { root, known: HashMap::new() };
    let mut owners: HashMap<Utf8PathBuf, &str> =
        owned.into_iter().map(|(path, name)| (places.canonical(&path), name)).collect();
    let changing = changing(going, bundles);
    let folders = folders(&mut places, bundles);
    let mut needed: u64 = 0;
    for bundle in bundles {
        let mut ways = Ways { root, bundle, changing: &changing, passed: HashSet::new() };
        for item in &bundle.items {
            ways.check(&path_of(item.entry))?;
        }
    }
    for bundle in bundles {
        for item in &bundle.items {
            let path = path_of(item.entry);
            check_place(root, bundle, item.entry, &path)?;
            if item.entry.kind != Content::Dir {
                let place = places.canonical(&path);
                if folders.contains(&place) {
                    let holder = "a folder comes to the same place".to_owned();
                    return Err(Error::Clash { package: bundle.name.into(), path, holder });
                }
                let holder = owners.insert(place, bundle.name);
                if let Some(holder) = holder.filter(|_| !overwrite) {
                    let holder = format!("that file is already provided by package {holder}");
                    return Err(Error::Clash { package: bundle.name.into(), path, holder });
                }
            }
            needed = needed.saturating_add(item.length);
        }
    }
    check_space(needed, root.free())
}

/// Where the folders of the packages will be: those that they bring, and those above all that they bring.
fn folders(places: &mut Places<'_>, bundles: &[Bundle<'_>]) -> HashSet<Utf8PathBuf> {
    let mut seen: HashSet<Utf8PathBuf> = HashSet::new();
    let mut folders = HashSet::new();
    for item in bundles.iter().flat_map(|bundle| &bundle.items) {
        let path = path_of(item.entry);
        let is_folder = item.entry.kind == Content::Dir;
        for folder in path.ancestors().skip(usize::from(!is_folder)).take_while(|folder| *folder != "/") {
            if seen.contains(folder) {
                break;
            }
            seen.insert(folder.to_owned());
            folders.insert(places.canonical(folder));
        }
    }
    folders
}

/// Takes away the package's own files and links where the new version has folders. `paths` is what it brings.
pub(crate) fn make_way<'a>(
    root: &Root,
    yields: &BTreeSet<Utf8PathBuf>,
    paths: impl IntoIterator<Item = (&'a Utf8Path, bool)>,
) -> Result<()> {
    for (path, is_folder) in paths {
        for folder in path.ancestors().skip(usize::from(!is_folder)) {
            if yields.contains(folder) && !root.is_folder(folder) {
                root.remove(folder)?;
            }
        }
    }
    Ok(())
}

/// Which paths of an old version are nobody's any more once the new one is in place. Links on the way can lead two paths
/// to one file, so what counts is where a path leads; and a link that the new version uses as a folder stays. `new` is
/// what the new version brings, folders too, and `others` what other packages have.
pub(crate) fn obsolete<'a>(
    root: &Root,
    old: impl IntoIterator<Item = Utf8PathBuf>,
    new: impl IntoIterator<Item = &'a Utf8PathBuf>,
    others: impl IntoIterator<Item = &'a Utf8PathBuf>,
) -> Vec<Utf8PathBuf> {
    let old: Vec<Utf8PathBuf> = old.into_iter().collect();
    if old.is_empty() {
        return old;
    }
    let root = &root.remembering();
    let mut places = Places { root, known: HashMap::new() };
    let mut seen: HashSet<&Utf8Path> = HashSet::new();
    let mut kept: HashSet<Utf8PathBuf> = HashSet::new();
    for path in new {
        // The folders above one that was seen were seen with it.
        for path in path.ancestors().take_while(|path| *path != "/" && seen.insert(path)) {
            kept.insert(places.canonical(path));
        }
    }
    kept.extend(others.into_iter().map(|path| places.canonical(path)));
    old.into_iter().filter(|path| !kept.contains(&places.canonical(path))).collect()
}

/// Those of `paths` that lead to where one of `others` leads.
pub(crate) fn shared<'a>(
    root: &Root,
    paths: &'a BTreeSet<Utf8PathBuf>,
    others: &BTreeSet<Utf8PathBuf>,
) -> BTreeSet<&'a Utf8PathBuf> {
    let mut places = Places { root, known: HashMap::new() };
    let others: HashSet<Utf8PathBuf> = others.iter().map(|path| places.canonical(path)).collect();
    paths.iter().filter(|path| others.contains(&places.canonical(path))).collect()
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

/// Paths that are, or may be, links before the transaction and something else after it, each with the one package
/// that may go through it: a path of its own old version, which stays what it is or makes way for a folder. Links
/// that the transaction brings, and what goes with other packages, are nobody's to go through.
fn changing<'a>(going: BTreeSet<Utf8PathBuf>, bundles: &'a [Bundle<'a>]) -> BTreeMap<Utf8PathBuf, Option<&'a str>> {
    let mut paths = BTreeMap::new();
    for bundle in bundles {
        paths.extend(bundle.replaced.iter().cloned().map(|path| (path, Some(bundle.name))));
    }
    paths.extend(going.into_iter().map(|path| (path, None)));
    for item in bundles.iter().flat_map(|bundle| &bundle.items) {
        if matches!(item.entry.kind, Content::Symlink(_)) {
            paths.insert(path_of(item.entry), None);
        }
    }
    paths
}

/// The directories that files of one package go through.
struct Ways<'a> {
    root: &'a Root,
    bundle: &'a Bundle<'a>,
    changing: &'a BTreeMap<Utf8PathBuf, Option<&'a str>>,
    /// Those that were found good, and with each one those above it.
    passed: HashSet<Utf8PathBuf>,
}

impl Ways<'_> {
    /// Every directory on the way must be one, or be missing, and stay what it is.
    fn check(&mut self, path: &Utf8Path) -> Result<()> {
        let bundle = self.bundle;
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != "/") {
            if self.passed.contains(folder) {
                break;
            }
            let own = self.changing.get(folder).map(|owner| *owner == Some(bundle.name));
            let problem = match self.root.kind(folder)? {
                // A link that its old version had stays, as it is used as a folder.
                Some(Kind::Link) if own == Some(true) && self.root.is_folder(folder) => continue,
                Some(Kind::File | Kind::Link) if own == Some(true) && bundle.makes_way(self.root, folder) => continue,
                _ if own.is_some() => {
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
            return Err(Error::Escape { package: bundle.name.into(), path: path.to_owned(), problem });
        }
        Ok(())
    }
}

/// A folder is not replaced by a file, nor the other way round, unless the file is the package's own.
fn check_place(root: &Root, bundle: &Bundle<'_>, entry: &Entry, path: &Utf8Path) -> Result<()> {
    let holder = match (&entry.kind, root.kind(path)?) {
        (Content::Dir, None | Some(Kind::Folder)) => return Ok(()),
        (Content::Dir, Some(_)) if root.is_folder(path) => return Ok(()),
        (Content::Dir, Some(Kind::File | Kind::Link)) if bundle.makes_way(root, path) => return Ok(()),
        (Content::Dir, Some(_)) => "something that is no folder is there",
        (_, Some(Kind::Folder)) => "a folder is there",
        (_, Some(Kind::Other)) => "a special file is there",
        (_, _) => return Ok(()),
    };
    Err(Error::Clash { package: bundle.name.into(), path: path.to_owned(), holder: holder.into() })
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
