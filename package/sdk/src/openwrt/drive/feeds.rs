//! Our own packages as a feed of the SDK: a folder in the tree, which `scripts/feeds` links.
//!
//! The feed is copied into the tree, for three reasons: otherwise a path of this machine would be in the packages'
//! `Source`, their date would be that of the last commit, and all work trees share one SDK. `scripts/feeds` exits with
//! 0 in nearly every case, so its results are checked instead. Sources: OpenWrt's `scripts/feeds` and
//! `scripts/get_source_date_epoch.sh`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::{aside, files};
use model::{Exit, Failure, Problem, Result};

use super::make::Maker;
use super::makefile;
use super::own_feed::{self, Listed};
use super::tree::Tree;
use crate::openwrt::feed_folder::FeedFolder;
use crate::recipe::{Kmod, Line, Recipes, TextFile};

/// Name of the feed; `scripts/feeds` accepts only letters, digits and underscores.
pub(in crate::openwrt) const NAME: &str = "offload";

/// Path of the feed in the tree.
const FOLDER: &str = "offload-feed";

/// A program that is built outside the SDK and packed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name of the package, and of its folder.
    pub package: String,
    /// The program's version, without the package's release number.
    pub version: String,
    /// The package's release number.
    pub release: u32,
    /// The folder with the package's Makefile.
    pub recipe: Utf8PathBuf,
    /// The built program.
    pub binary: Utf8PathBuf,
    /// Its path on the router, without leading slash.
    pub install: String,
}

/// Copies packages into the tree as a feed, and has the SDK index that feed and, if there is one, the user's own.
/// Returns the packages of the latter.
///
/// # Errors
/// `SDK050` a Makefile that the SDK does not understand, `SDK051` a package that it did not link, `SDK049` a program of
/// the SDK that failed; those of [`own_feed::install`].
pub(super) fn prepare(
    maker: &Maker<'_>,
    programs: &[Program],
    modules: &Modules<'_>,
    arch: &str,
    own: Option<&FeedFolder>,
) -> Result<Vec<Listed>> {
    let tree = maker.tree;
    let folder = tree.path(FOLDER);
    let mut items = contents(programs, arch, maker.epoch)?;
    modules.put(maker.epoch, &mut items)?;
    put(&folder, &items)?;
    let names: Vec<&str> = programs.iter().map(|program| program.package.as_str()).chain(modules.names()).collect();
    let ours = if names.is_empty() { String::new() } else { format!("src-link {NAME} {folder}\n") };
    let own_lines = own.map(|own| own_feed::lines(tree, own)).unwrap_or_default();
    write_conf(tree, &format!("{ours}{own_lines}"))?;
    if let Some(own) = own {
        own_feed::copy(tree, own, maker.epoch)?;
    }
    remove_dangling(&tree.path("package/feeds").join(NAME))?;
    if !names.is_empty() {
        install(maker, &names)?;
    }
    own.map_or_else(|| Ok(Vec::new()), |own| own_feed::install(maker, own))
}

/// Writes `feeds.conf`, and removes links to feeds that are no longer in it.
fn write_conf(tree: &Tree, lines: &str) -> Result<()> {
    let text = format!("# The feeds of this SDK are written by its driver.\n{lines}");
    let names: BTreeSet<&str> = lines.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    for links in files::entries(&tree.path("package/feeds"))? {
        // The SDK has a feed of its own, `base`.
        if links.file_name().is_some_and(|name| name != "base" && !names.contains(name)) {
            files::remove(&links)?;
        }
    }
    let file = tree.path("feeds.conf");
    if std::fs::read_to_string(&file).ok().as_ref() == Some(&text) {
        return Ok(());
    }
    aside::write(&file, text.as_bytes())
}

/// Has the SDK index our feed and link its packages.
fn install(maker: &Maker<'_>, names: &[&str]) -> Result<()> {
    let tree = maker.tree;
    call(maker, &["./scripts/feeds", "update", NAME])?;
    let index = std::fs::read_to_string(tree.path("feeds").join(format!("{NAME}.index"))).unwrap_or_default();
    for package in names {
        let line = format!("Package: {package}");
        if !index.lines().any(|known| known == line) {
            let dump = tree.path("logs/feeds").join(NAME).join(package).join("dump.txt");
            let fix =
                format!("correct package/feed/{package}/Makefile, or the one that the recipe of a compiled kmod names");
            return Err(not_indexed(&dump, package, fix));
        }
    }
    let words = ["./scripts/feeds", "install", "-p", NAME];
    call(maker, &words.into_iter().chain(names.iter().copied()).collect::<Vec<_>>())?;
    names.iter().try_for_each(|name| check_link(tree, NAME, name))
}

/// The make goal for a package of our feed.
pub(super) fn goal(package: &str) -> String {
    format!("package/feeds/{NAME}/{package}/compile")
}

/// Runs a program of the SDK that must succeed.
pub(super) fn call(maker: &Maker<'_>, words: &[&str]) -> Result<()> {
    let called = maker.call(words)?;
    if called.success {
        return Ok(());
    }
    Err(called.failure(format!("the SDK's `{}` failed", words.join(" "))))
}

/// The kmods that the SDK compiles from source, each after those that it depends on.
#[derive(Debug, Default)]
pub(super) struct Modules<'a> {
    /// Their recipes.
    pub(super) kmods: Vec<&'a Kmod>,
    /// Names of all kmods that apply to the kernel, and the kernel's line.
    pub(super) known: BTreeSet<&'a str>,
    pub(super) line: Option<Line>,
}

impl<'a> Modules<'a> {
    /// The compiled kmods among the recipes that apply to a kernel.
    pub(super) fn of(recipes: &'a Recipes, version: &str) -> Self {
        let Ok(line) = version.parse::<Line>() else { return Modules::default() };
        let known = recipes.kmods.values().filter(|kmod| kmod.kernel.hold(line)).map(|kmod| kmod.package.as_str());
        Modules { kmods: recipes.compiled(line), known: known.collect(), line: Some(line) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.kmods.iter().map(|kmod| kmod.package.as_str())
    }

    /// Adds their files: a Makefile, the source, and other files of the package.
    fn put(&self, epoch: u64, items: &mut BTreeMap<Utf8PathBuf, Item>) -> Result<()> {
        let Some(line) = self.line else { return Ok(()) };
        for kmod in &self.kmods {
            let Some(source) = &kmod.source else { continue };
            let folder = Utf8PathBuf::from(&kmod.package);
            let depends: Vec<&str> =
                kmod.depends.iter().map(String::as_str).filter(|name| self.known.contains(name)).collect();
            let text = match &source.openwrt_makefile {
                Some(file) => files::read(file)?,
                None => makefile::text(kmod, source, line, &depends).into_bytes(),
            };
            let mut add = |path: Utf8PathBuf, bytes: Vec<u8>, mode: u32| items.insert(path, Item { bytes, mode });
            add(folder.join("Makefile"), text, 0o644);
            add(folder.join("version.date"), format!("{epoch}\n").into_bytes(), 0o644);
            for file in source.files()? {
                let from = source.path.join(&file);
                let meta = std::fs::metadata(&from).map_err(|error| Failure::io("read the source", &from, &error))?;
                let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                add(folder.join("src").join(&file), files::read(&from)?, mode);
            }
            for TextFile { path, text } in &kmod.files {
                add(folder.join(makefile::FILES).join(path), text.clone().into_bytes(), 0o644);
            }
        }
        Ok(())
    }
}

/// A file in a feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// The feed's files by path. The SDK dates a package by the file `version.date` in its folder.
fn contents(programs: &[Program], arch: &str, epoch: u64) -> Result<BTreeMap<Utf8PathBuf, Item>> {
    let mut items = BTreeMap::new();
    for program in programs {
        let folder = Utf8PathBuf::from(&program.package);
        let makefile = program.recipe.join("Makefile");
        items.insert(folder.join("Makefile"), Item { bytes: files::read(&makefile)?, mode: 0o644 });
        let date = format!("{epoch}\n").into_bytes();
        items.insert(folder.join("version.date"), Item { bytes: date, mode: 0o644 });
        let name = program.install.rsplit('/').next().unwrap_or(&program.package);
        let place = folder.join("bin").join(arch).join(name);
        items.insert(place, Item { bytes: files::read(&program.binary)?, mode: 0o755 });
    }
    Ok(items)
}

/// Makes a folder contain exactly these files. Correct files are not touched, because the SDK rebuilds packages older
/// than their files; for the same reason a file with another mode is written anew.
pub(super) fn put(folder: &Utf8Path, items: &BTreeMap<Utf8PathBuf, Item>) -> Result<()> {
    files::create_folder(folder)?;
    remove_others(folder, folder, items)?;
    for (path, item) in items {
        let place = folder.join(path);
        let has_mode = |meta: std::fs::Metadata| meta.permissions().mode() & 0o7777 == item.mode;
        if std::fs::metadata(&place).is_ok_and(has_mode) && std::fs::read(&place).is_ok_and(|known| known == item.bytes)
        {
            continue;
        }
        files::create_folder(place.parent().unwrap_or(folder))?;
        aside::write(&place, &item.bytes)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(item.mode))
            .map_err(|error| Failure::io("set the file's mode", &place, &error))?;
    }
    Ok(())
}

fn remove_others(root: &Utf8Path, folder: &Utf8Path, items: &BTreeMap<Utf8PathBuf, Item>) -> Result<()> {
    let io = |error: std::io::Error| Failure::io("tidy the feed's folder", folder, &error);
    for entry in folder.read_dir_utf8().map_err(io)? {
        let entry = entry.map_err(io)?;
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        if entry.file_type().map_err(io)?.is_dir() {
            let is_folder = |path: &Utf8PathBuf| path.starts_with(&below) && *path != below;
            if items.keys().any(is_folder) {
                remove_others(root, entry.path(), items)?;
            } else {
                std::fs::remove_dir_all(entry.path()).map_err(io)?;
            }
        } else if !items.contains_key(&below) {
            std::fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// Removes links of packages that no longer exist; nothing else would remove them.
pub(super) fn remove_dangling(folder: &Utf8Path) -> Result<()> {
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        if !entry.path().exists() {
            std::fs::remove_file(entry.path())
                .map_err(|error| Failure::io("remove a dangling link", entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Checks that a package of a feed is linked, because `scripts/feeds` does not report it.
pub(super) fn check_link(tree: &Tree, feed: &str, package: &str) -> Result<()> {
    let link = tree.path("package/feeds").join(feed).join(package);
    if link.join("Makefile").is_file() {
        return Ok(());
    }
    Err(Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK051",
        what: format!("the SDK did not link {package} from the feed {feed}"),
        why: "`scripts/feeds install` printed nothing, or only a warning, but its link does not exist",
        fix: "run the same command again with -v; if the SDK or another feed has a package of this name, rename this one",
    })
    .at(link))
}

/// The failure of a Makefile with an error: the scan exits with 0 and leaves it out of the index; the reason is in a
/// log.
pub(super) fn not_indexed(dump: &Utf8Path, package: &str, fix: String) -> Failure {
    let reason = std::fs::read_to_string(dump).unwrap_or_default();
    let lines: Vec<&str> = reason.lines().filter(|line| !line.trim().is_empty()).collect();
    let why = match &lines[lines.len().saturating_sub(10)..] {
        [] => "its scan left no message".to_owned(),
        last => format!("its scan says:\n{}", last.join("\n")),
    };
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK050",
        what: format!("the SDK does not understand the Makefile of {package}"),
        why,
        fix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(paths: &[(&str, &str)]) -> BTreeMap<Utf8PathBuf, Item> {
        let item = |text: &str| Item { bytes: text.into(), mode: 0o755 };
        paths.iter().map(|(path, text)| (Utf8PathBuf::from(path), item(text))).collect()
    }

    #[test]
    fn the_folder_holds_what_is_asked_for_and_what_is_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        put(&root, &items(&[("a/Makefile", "one"), ("a/bin/x/a", "two"), ("b/Makefile", "three")])).unwrap();
        let mode = std::fs::metadata(root.join("a/bin/x/a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        let time = |path: &str| std::fs::metadata(root.join(path)).unwrap().modified().unwrap();
        let before = time("a/Makefile");
        std::fs::write(root.join("a/stray"), "").unwrap();
        put(&root, &items(&[("a/Makefile", "one"), ("a/bin/y/a", "four")])).unwrap();
        assert_eq!(time("a/Makefile"), before);
        assert!(!root.join("a/stray").exists() && !root.join("b").exists() && !root.join("a/bin/x").exists());
        assert_eq!(std::fs::read_to_string(root.join("a/bin/y/a")).unwrap(), "four");
    }

    #[test]
    fn a_mode_that_changed_makes_the_file_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        let with = |mode: u32| [("a/run".into(), Item { bytes: "one".into(), mode })].into();
        put(&root, &with(0o644)).unwrap();
        let file = root.join("a/run");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        put(&root, &with(0o755)).unwrap();
        let meta = std::fs::metadata(&file).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
        assert!(meta.modified().unwrap() > long_ago, "make must see it");
    }

    #[test]
    fn a_folder_becomes_a_file_and_a_file_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        for paths in [["a/x/y", "a/z"], ["a/x", "a/z/y"], ["a/x/y", "a/z"]] {
            put(&root, &items(&paths.map(|path| (path, path)))).unwrap();
            for path in paths {
                assert_eq!(std::fs::read_to_string(root.join(path)).unwrap(), path);
            }
        }
    }

    #[test]
    fn dangling_links_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("gone")).unwrap();
        std::os::unix::fs::symlink("..", root.join("there")).unwrap();
        remove_dangling(root).unwrap();
        assert!(!root.join("gone").is_symlink() && root.join("there").is_symlink());
        remove_dangling(&root.join("none")).unwrap();
    }
}
