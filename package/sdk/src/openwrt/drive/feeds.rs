//! Our own packages as a feed of the SDK: a folder in the tree, which `scripts/feeds` links.
//!
//! The feed is copied into the tree, for three reasons: otherwise a path of this machine would be in the packages'
//! `Source`, their date would be that of the last commit, and all work trees share one SDK. `scripts/feeds` exits with
//! 0 in nearly every case, so its results are checked instead. Sources: OpenWrt's `scripts/feeds` and
//! `scripts/get_source_date_epoch.sh`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;
use host::{aside, files};
use model::{Failure, Result};

use super::linked::{Item, call, check_link, not_indexed, put, remove_dangling};
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
