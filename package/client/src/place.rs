//! Checks that the files of a transaction may be written to their paths, and writes them.
//!
//! The check comes before the first change and covers all packages at once: who owns a path, what is there, what lies
//! on the way to it, how much space is left.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Entry, Kind as Content};

use crate::error::{Error, Result};
use crate::root::{Access, Kind, Root};

/// The kind of an item, as far as its path is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Folder,
    /// A symbolic link, which can lead elsewhere.
    Link,
    File,
}

impl Sort {
    pub(crate) fn of(entry: &Entry) -> Sort {
        match entry.kind {
            Content::Dir => Sort::Folder,
            Content::Symlink(_) => Sort::Link,
            _ => Sort::File,
        }
    }
}

/// A file, link or directory of a package.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Seen from the root.
    pub(crate) path: Utf8PathBuf,
    pub(crate) sort: Sort,
    /// Its size in bytes.
    pub(crate) length: u64,
    /// The target of a symbolic link.
    pub(crate) target: Option<String>,
}

/// The items one after the other; there can be very many, so they are not collected.
pub(crate) type Items<'a> = Box<dyn Iterator<Item = Item> + 'a>;

/// The items of one package.
pub(crate) struct Bundle<'a> {
    /// Name of the package.
    pub(crate) name: &'a str,
    /// Iterates over its items from the start.
    pub(crate) items: Box<dyn Fn() -> Items<'a> + 'a>,
    /// Files and links of the version that it replaces.
    pub(crate) replaced: BTreeSet<Utf8PathBuf>,
    /// Those of them that a folder of the new version may replace: files that the user does not edit.
    pub(crate) yields: BTreeSet<Utf8PathBuf>,
}

impl Bundle<'_> {
    /// Whether a folder may replace what is at this path, because it is the package's own.
    fn makes_way(&self, root: &Root, path: &Utf8Path) -> bool {
        self.yields.contains(path) && !root.is_folder(path)
    }
}

/// Path of an entry, seen from the root.
pub(crate) fn path_of(entry: &Entry) -> Utf8PathBuf {
    Utf8Path::new("/").join(&entry.path)
}

/// The target of a symbolic link; `None` for other entries.
pub(crate) fn target_of(entry: &Entry) -> Option<String> {
    match &entry.kind {
        Content::Symlink(target) => Some(target.clone()),
        _ => None,
    }
}

/// Checks all packages of a transaction against the root and against each other. `owned` are the files of packages that
/// stay, with the package names; `going` are the files of removed packages. With `overwrite` a file's owner does not
/// matter.
pub(crate) fn check<'a>(
    root: &Root,
    owned: impl IntoIterator<Item = (Utf8PathBuf, &'a str)>,
    going: BTreeSet<Utf8PathBuf>,
    bundles: &[Bundle<'a>],
    overwrite: bool,
) -> Result<()> {
    let root = &root.remembering();
    let mut places = Places { root, known: HashMap::new() };
    let mut claims = Claims::default();
    // Folders of files that are reached through a link, each with a package that has a file there.
    let mut linked: BTreeMap<Utf8PathBuf, &str> = BTreeMap::new();
    for (path, name) in owned {
        let place = places.canonical(&path);
        if let (Some(folder), true) = (path.parent(), place.parent() != path.parent())
            && !linked.contains_key(folder)
        {
            linked.insert(folder.to_owned(), name);
        }
        claims.add(&place, name);
    }
    let staying = claims.len();
    let folders = folders(&mut places, bundles);
    let replaced = bundles.iter().flat_map(|bundle| bundle.replaced.iter().map(|path| (path, bundle.name)));
    let leaving = going.iter().map(|path| (path, "a package that is removed")).chain(replaced);
    check_turned_links(root, bundles, linked, leaving)?;
    let changing = changing(going, bundles);
    let mut needed: u64 = 0;
    for bundle in bundles {
        let mut ways = Ways { root, bundle, changing: &changing, passed: HashSet::new() };
        for item in (bundle.items)() {
            ways.check(&item.path)?;
        }
    }
    for bundle in bundles {
        for item in (bundle.items)() {
            let Item { path, sort, length, target: _ } = item;
            check_place(root, bundle, sort, &path)?;
            if sort != Sort::Folder {
                let place = places.canonical(&path);
                if folders.contains(&place) {
                    let holder = "a folder comes to the same place".to_owned();
                    return Err(Error::Clash { package: bundle.name.into(), path, holder });
                }
                claims.add(&place, bundle.name);
            }
            needed = needed.saturating_add(length);
        }
    }
    if let Some((path, holder, package)) = claims.clash(staying).filter(|_| !overwrite) {
        let holder = format!("that file is already provided by package {holder}");
        return Err(Error::Clash { package: package.into(), path, holder });
    }
    check_space(needed, root.free())
}

/// Refuses to replace a link to a folder, or to change its target, while packages' files are reached through it: they
/// would be lost, and removing them would delete files of the same name elsewhere. `linked` are folders of remaining
/// files that are reached through links; `leaving` are the files that the transaction removes.
fn check_turned_links<'p, 'a: 'p>(
    root: &Root,
    bundles: &'p [Bundle<'a>],
    mut linked: BTreeMap<Utf8PathBuf, &'p str>,
    leaving: impl Iterator<Item = (&'p Utf8PathBuf, &'p str)>,
) -> Result<()> {
    // The links that the transaction replaces, and those that lead elsewhere afterwards.
    let mut replaced = Vec::new();
    let mut turned: HashMap<Utf8PathBuf, (&str, Utf8PathBuf)> = HashMap::new();
    for bundle in bundles {
        for Item { path, target, .. } in (bundle.items)().filter(|item| item.sort != Sort::Folder) {
            if let Some(now) = root.folder_of(&path).filter(|_| root.is_link(&path)) {
                let target = target.and_then(|target| Some(path.parent()?.join(target)));
                replaced.push((root.canonical(&path), bundle.name, path, now, target));
            }
        }
    }
    loop {
        let known = turned.len();
        for (link, package, path, now, target) in &replaced {
            let stays = target.as_ref().is_some_and(|target| {
                let way = root.links_into(target);
                root.folder_of(target).as_ref() == Some(now)
                    && !way.iter().any(|passed| passed == link || turned.contains_key(passed))
            });
            if !stays {
                turned.insert(link.clone(), (package, path.clone()));
            }
        }
        if turned.len() == known {
            break;
        }
    }
    if turned.is_empty() {
        return Ok(());
    }
    for (path, name) in leaving {
        if let Some(folder) = path.parent() {
            linked.insert(folder.to_owned(), name);
        }
    }
    for (folder, owner) in linked {
        if let Some((package, path)) = root.links_into(&folder).iter().find_map(|link| turned.get(link)) {
            let holder = format!("it is a link through which files of {owner} are reached");
            return Err(Error::Clash { package: (*package).into(), path: path.clone(), holder });
        }
    }
    Ok(())
}

/// Which package has which file. There can be very many, so folders have numbers, and all names lie in one string.
#[derive(Default)]
struct Claims<'a> {
    folders: HashMap<Utf8PathBuf, u32>,
    owners: Vec<&'a str>,
    names: String,
    claims: Vec<Claim>,
}

/// A file in a folder.
struct Claim {
    folder: u32,
    owner: u32,
    /// Position of its name in that string.
    name: Range<u32>,
}

impl<'a> Claims<'a> {
    fn len(&self) -> usize {
        self.claims.len()
    }

    /// Notes that `owner` has the file at `place`, a path without links.
    fn add(&mut self, place: &Utf8Path, owner: &'a str) {
        let (folder, name) = (place.parent().unwrap_or("/".into()), place.file_name().unwrap_or_default());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let folder = match self.folders.get(folder) {
            Some(&known) => known,
            None => {
                let new = number(self.folders.len());
                self.folders.insert(folder.to_owned(), new);
                new
            }
        };
        if self.owners.last() != Some(&owner) {
            self.owners.push(owner);
        }
        let start = number(self.names.len());
        self.names.push_str(name);
        let name = start..number(self.names.len());
        self.claims.push(Claim { folder, owner: number(self.owners.len() - 1), name });
    }

    /// The first claim after `start` to a file that was claimed before: the path, its owner, and the claimant.
    fn clash(&self, start: usize) -> Option<(Utf8PathBuf, &'a str, &'a str)> {
        let place = |at: usize| {
            let claim = &self.claims[at];
            (claim.folder, &self.names[claim.name.start as usize..claim.name.end as usize])
        };
        let mut order: Vec<usize> = (0..self.claims.len()).collect();
        order.sort_by_key(|&at| place(at));
        let same = order.windows(2).filter(|pair| place(pair[0]) == place(pair[1]) && pair[1] >= start);
        let pair = same.min_by_key(|pair| pair[1])?;
        let owner = |at: usize| self.owners[self.claims[at].owner as usize];
        let (number, name) = place(pair[1]);
        let folder = self.folders.iter().find(|(_, known)| **known == number).map(|(folder, _)| folder.join(name))?;
        Some((folder, owner(pair[0]), owner(pair[1])))
    }
}

/// The real paths of all folders that the packages bring or that their items need.
fn folders(places: &mut Places<'_>, bundles: &[Bundle<'_>]) -> HashSet<Utf8PathBuf> {
    let mut seen: HashSet<Utf8PathBuf> = HashSet::new();
    let mut folders = HashSet::new();
    for item in bundles.iter().flat_map(|bundle| (bundle.items)()) {
        let is_folder = item.sort == Sort::Folder;
        for folder in item.path.ancestors().skip(usize::from(!is_folder)).take_while(|folder| *folder != "/") {
            if seen.contains(folder) {
                break;
            }
            seen.insert(folder.to_owned());
            folders.insert(places.canonical(folder));
        }
    }
    folders
}

/// Removes the package's own files and links where the new version has folders. `paths` is what it brings.
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

/// The paths of an old version that must stay once the new one is in place, because somebody still has them. Links can
/// make two paths lead to one file, so real paths are compared; a link stays if a kept file is reached through it.
/// `new` is what the new version brings, folders included, and `others` what other packages have.
pub(crate) fn kept<'a>(
    root: &Root,
    old: impl IntoIterator<Item = Utf8PathBuf>,
    new: impl IntoIterator<Item = &'a Utf8PathBuf>,
    others: impl IntoIterator<Item = Utf8PathBuf>,
) -> HashSet<Utf8PathBuf> {
    let mut old = old.into_iter().peekable();
    if old.peek().is_none() {
        return HashSet::new();
    }
    let root = &root.remembering();
    let mut places = Places { root, known: HashMap::new() };
    let mut seen: HashSet<&Utf8Path> = HashSet::new();
    let mut taken: HashSet<Utf8PathBuf> = HashSet::new();
    for path in new {
        // The folders above a visited one were already visited.
        for path in path.ancestors().take_while(|path| *path != "/" && seen.insert(path)) {
            let place = places.canonical(path);
            if place != path || root.is_link(path) {
                taken.extend(root.links_into(path));
            }
            taken.insert(place);
        }
    }
    for path in others {
        let place = places.canonical(&path);
        if let (Some(folder), true) = (path.parent(), place.parent() != path.parent()) {
            taken.extend(root.links_into(folder));
        }
        taken.insert(place);
    }
    if taken.is_empty() {
        return HashSet::new();
    }
    old.filter(|path| taken.contains(&places.canonical(path))).collect()
}

/// Those of `paths` with the same real path as one of `others`.
pub(crate) fn shared<'a>(
    root: &Root,
    paths: &'a BTreeSet<Utf8PathBuf>,
    others: &BTreeSet<Utf8PathBuf>,
) -> BTreeSet<&'a Utf8PathBuf> {
    let mut places = Places { root, known: HashMap::new() };
    let others: HashSet<Utf8PathBuf> = others.iter().map(|path| places.canonical(path)).collect();
    paths.iter().filter(|path| others.contains(&places.canonical(path))).collect()
}

/// Creates one entry, and the missing directories above it.
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

/// A file system that does not report its free space, such as an initramfs, is assumed to have enough.
fn check_space(needed: u64, free: Option<u64>) -> Result<()> {
    match free {
        Some(free) if free < needed => Err(Error::Space { needed, free }),
        _ => Ok(()),
    }
}

/// Paths that are, or may be, links before the transaction and something else afterwards, each with the one package
/// whose files may pass through it: it is a path of that package's old version, which stays a link or makes way for a
/// folder. No file may pass through links that the transaction brings, or that are removed with other packages.
fn changing<'a>(going: BTreeSet<Utf8PathBuf>, bundles: &[Bundle<'a>]) -> BTreeMap<Utf8PathBuf, Option<&'a str>> {
    let mut paths = BTreeMap::new();
    for bundle in bundles {
        paths.extend(bundle.replaced.iter().cloned().map(|path| (path, Some(bundle.name))));
    }
    paths.extend(going.into_iter().map(|path| (path, None)));
    for item in bundles.iter().flat_map(|bundle| (bundle.items)()) {
        if item.sort == Sort::Link {
            paths.insert(item.path, None);
        }
    }
    paths
}

/// The directories that lead to the files of one package.
struct Ways<'w, 'a> {
    root: &'w Root,
    bundle: &'w Bundle<'a>,
    changing: &'w BTreeMap<Utf8PathBuf, Option<&'a str>>,
    /// Directories that were checked, together with all above them.
    passed: HashSet<Utf8PathBuf>,
}

impl Ways<'_, '_> {
    /// Checks that everything on the way is a directory, or missing, and stays what it is.
    fn check(&mut self, path: &Utf8Path) -> Result<()> {
        let bundle = self.bundle;
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != "/") {
            if self.passed.contains(folder) {
                break;
            }
            let own = self.changing.get(folder).map(|owner| *owner == Some(bundle.name));
            let problem = match self.root.kind(folder)? {
                // A link that the old version had, and that the new one uses as a folder, stays.
                Some(Kind::Link) if own == Some(true) && self.root.is_folder(folder) => continue,
                Some(Kind::File | Kind::Link) if own == Some(true) && bundle.makes_way(self.root, folder) => continue,
                _ if own.is_some() => {
                    format!(
                        "its path goes through {folder}, a link or file that the same transaction installs or replaces"
                    )
                }
                Some(Kind::Link) if !self.root.is_folder(folder) => {
                    format!("its path goes through the link {folder}, which leads to no folder")
                }
                Some(Kind::File | Kind::Other) => format!("its path goes through {folder}, which is not a folder"),
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

/// Refuses to replace a folder by a file or a file by a folder, unless the file is the package's own.
fn check_place(root: &Root, bundle: &Bundle<'_>, sort: Sort, path: &Utf8Path) -> Result<()> {
    let holder = match (sort, root.kind(path)?) {
        (Sort::Folder, None | Some(Kind::Folder)) => return Ok(()),
        (Sort::Folder, Some(_)) if root.is_folder(path) => return Ok(()),
        (Sort::Folder, Some(Kind::File | Kind::Link)) if bundle.makes_way(root, path) => return Ok(()),
        (Sort::Folder, Some(_)) => "there is something else than a folder",
        (_, Some(Kind::Folder)) => "there is a folder",
        (_, Some(Kind::Other)) => "there is a special file",
        (_, _) => return Ok(()),
    };
    Err(Error::Clash { package: bundle.name.into(), path: path.to_owned(), holder: holder.into() })
}

/// Resolves the links on the way to a path, so that each file has one name; caches folders.
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
