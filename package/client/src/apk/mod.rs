//! apk's view of a root: its configuration, indexes, world, database and commands.
//!
//! Use [`Client`]. Nothing here prints: a callback receives what happens as [`Progress`], which displays as apk's own
//! output.
//!
//! Deliberate differences from apk: untrusted packages and indexes are never used, and no option allows them; an
//! `update` whose signature check fails is an error; a package must be the one that its index entry describes; lists
//! that are unsorted or have duplicates are refused; a refused transaction leaves the root unchanged; the package
//! `kernel` is never installed, replaced or removed. Not supported: cached packages, tags and variables in
//! repositories, indexes and packages of version 2, extended attributes.

mod candidate;
mod commit;
mod config;
mod database;
mod explain;
mod indexes;
mod installed;
mod owners;
mod plan;
mod prepare;
mod progress;
mod replaces;
mod scripts;
mod select;
mod sidecars;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::apk::{Dependency, Info};
use tempfile::TempDir;

use self::commit::Commit;
pub use self::config::Config;
use self::database::Database;
pub use self::installed::Installed;
use self::owners::Owners;
use self::plan::{Orders, Plan, Planner};
pub use self::progress::{Progress, Step};
use self::select::Asks;
use self::world::{Wish, World};
use crate::error::{Error, Result};
use crate::failures::Failures;
use crate::lock::Lock;
use crate::pattern::matches;
pub use crate::root::Root;

/// The package that stands for the running kernel.
const KERNEL: &str = "kernel";
/// Path of apk's lock.
const LOCK: &str = "/lib/apk/db/lock";

/// The files, as path and text, that tell apk which kernel and architecture an image has: apk's database with the
/// package `kernel`, the world that keeps it, and the architecture.
///
/// If an image adds packages to the database, it must also add them to `/etc/apk/world`: as with apk, a package that
/// nothing wants or needs is removed by the next change.
///
/// ```
/// let [(path, database), (_, world), (_, arch)] = client::apk::image_state("6.12.1~0123abcd-r1", "x86_64");
/// assert_eq!(path, "/lib/apk/db/installed");
/// assert!(database.contains("\nP:kernel\nV:6.12.1~0123abcd-r1\nA:x86_64\n"));
/// assert_eq!((world.as_str(), arch.as_str()), ("kernel\n", "x86_64\n"));
/// ```
pub fn image_state(kernel_version: &str, arch: &str) -> [(&'static str, String); 3] {
    image_state_with(kernel_version, &[], arch)
}

/// As [`image_state`], for an image with more packages: `others` has their names and versions; they list no files.
pub fn image_state_with(kernel_version: &str, others: &[(&str, &str)], arch: &str) -> [(&'static str, String); 3] {
    let mut packages = vec![Installed::kernel(kernel_version, arch)];
    packages.extend(others.iter().map(|(name, version)| Installed::part_of_image(name, version, arch)));
    let world = World(packages.iter().map(|package| Wish::Package(Dependency::on(&package.info.name))).collect());
    let database = Database(packages.into_iter().map(|package| (package.info.name.clone(), package)).collect());
    [(database::INSTALLED, database.text()), ("/etc/apk/world", world.text()), ("/etc/apk/arch", format!("{arch}\n"))]
}

/// apk's commands on one root, with one configuration.
pub type Client = crate::Client<Config>;

impl Client {
    /// Fetches and verifies the index of every repository. All are tried; the first failure is returned.
    pub fn update(&self, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        if self.config.repositories.is_empty() {
            on(Progress::Note { text: "No repository is configured in /etc/apk.".into() });
        }
        let mut failures = Failures::default();
        let mut packages = 0;
        for url in &self.config.repositories {
            match indexes::update(&self.root, &self.config, url, on) {
                Ok(count) => packages += count,
                Err(error) => failures.add(Err(error), on),
            }
        }
        failures.end()?;
        on(Step::Available { packages }.into());
        Ok(())
    }

    /// Adds entries to world, such as `name`, `name=1.0-r1` or `name<2`, and installs what they need. An argument that ends
    /// in `.apk`, begins with `./` or `../`, or is an address is a file; other names may have slashes, as `/bin/sh`.
    /// Refusals come before the first change.
    pub fn add(&self, wanted: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.add_with(wanted, Asks::default(), on)
    }

    /// As [`Client::add`], but replaces the named packages and all that they need by the newest version: `add
    /// --upgrade`.
    pub fn add_newest(&self, wanted: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.add_with(wanted, Asks { upgrade: true, ..Asks::default() }, on)
    }

    fn add_with(&self, wanted: &[String], asks: Asks, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let mut world = World::load(&self.root)?;
        let scratch = scratch()?;
        let mut files = Vec::new();
        let mut given = BTreeSet::new();
        for word in wanted {
            if is_file(word) {
                let file = prepare::from_file(word, &self.config, &scratch)?;
                let identity = file.metadata.info.unique_id.unwrap_or_default();
                given.insert(file.name().to_owned());
                world.set(Wish::Pinned { name: file.name().to_owned(), identity });
                files.push(file);
            } else {
                let problem = |error: formats::Error| Error::Usage { program: "apk", problem: error.to_string() };
                let wish: Wish = word.parse().map_err(problem)?;
                given.insert(wish.name().to_owned());
                world.set(wish);
            }
        }
        let database = Database::load(&self.root)?;
        let orders = Orders { files, given, asks, passed_on: asks, ..Orders::default() };
        let Some(plan) = self.planner(&database, &scratch).plan(&world, orders, on)? else {
            return Ok(());
        };
        self.commit(&world, database, plan, &scratch, on)
    }

    /// Removes entries from world, and every package that nothing needs any more. A package that others need stays, and
    /// the callback is told. A pattern stands for all names that it matches.
    pub fn del(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.del_with(names, false, on)
    }

    /// As [`Client::del`], but also removes all packages that need the named ones: `del --rdepends`.
    pub fn del_with_dependents(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.del_with(names, true, on)
    }

    fn del_with(&self, words: &[String], dependents: bool, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let mut world = World::load(&self.root)?;
        let database = Database::load(&self.root)?;
        let named = self.named(words, &world, &database)?;
        let mut going: BTreeSet<String> = named.iter().filter(|name| database.0.contains_key(*name)).cloned().collect();
        if going.contains(KERNEL) {
            let dependents = "the system itself, which runs it".into();
            return Err(Error::Needed { package: KERNEL.into(), dependents });
        }
        if dependents {
            database.add_dependents(&mut going);
        }
        for name in named.iter().chain(&going) {
            world.remove(name);
            let provided = database.0.get(name).filter(|_| dependents).into_iter().flat_map(|own| &own.info.provides);
            provided.for_each(|provided| _ = world.remove(&provided.name));
        }
        let scratch = scratch()?;
        let asks = Asks { remove: true, ..Asks::default() };
        let orders = Orders { given: going, asks, ..Orders::default() };
        let Some(plan) = self.planner(&database, &scratch).plan(&world, orders, on)? else { return Ok(()) };
        for name in &named {
            if let Some(kept) = plan.chosen.iter().find(|info| info.name == *name) {
                let needs = |info: &&Info| {
                    info.name != *name && info.depends.iter().any(|need| !need.is_conflict() && kept.satisfies(need))
                };
                let by = plan.chosen.iter().filter(needs).map(|info| info.name.clone()).collect();
                on(Step::Kept { name: name.clone(), by }.into());
            }
        }
        self.commit(&world, database, plan, &scratch, on)
    }

    /// Replaces packages by the newest version that fits: the named ones, or all when none is named. World is not
    /// changed, so an entry with a version keeps its package at that version.
    pub fn upgrade(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.upgrade_with(names, false, on)
    }

    /// As [`Client::upgrade`], but prefers a repository's build to another build of the same version that is installed:
    /// `upgrade --available`.
    pub fn upgrade_to_available(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.upgrade_with(names, true, on)
    }

    fn upgrade_with(&self, names: &[String], available: bool, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let asks = Asks { upgrade: true, ..Asks::default() };
        let everywhere = Asks { upgrade: names.is_empty(), available, ..Asks::default() };
        self.again(names, Orders { asks, everywhere, ..Orders::default() }, on)
    }

    /// Installs the files of the named packages again, in the installed version. Without a name it completes an
    /// interrupted run, as every change does.
    pub fn fix(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.again(names, Orders { reinstall: names.iter().cloned().collect(), ..Orders::default() }, on)
    }

    /// Solves world again as it is, with special orders for the named packages.
    fn again(&self, words: &[String], orders: Orders, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let (mut world, database, scratch) = (World::load(&self.root)?, Database::load(&self.root)?, scratch()?);
        let given = self.named(words, &world, &database)?;
        if orders.everywhere.available {
            world.release();
        }
        let reinstall = if orders.reinstall.is_empty() { BTreeSet::new() } else { given.clone() };
        let orders = Orders { given, reinstall, ..orders };
        let Some(plan) = self.planner(&database, &scratch).plan(&world, orders, on)? else { return Ok(()) };
        self.commit(&world, database, plan, &scratch, on)
    }

    /// The package names that the words stand for. A name must be known: as a package that is installed or offered, as
    /// a name in one's metadata, or as an entry of world. If one of the words is a pattern, each word stands for the
    /// known names that it matches, if any.
    fn named(&self, words: &[String], world: &World, database: &Database) -> Result<BTreeSet<String>> {
        if words.is_empty() {
            return Ok(BTreeSet::new());
        }
        let offers = indexes::load(&self.root, &self.config)?;
        let infos =
            database.0.values().map(|package| &package.info).chain(offers.iter().map(|offer| &offer.listed.info));
        let mut known: BTreeSet<&str> = world.0.iter().map(Wish::name).collect();
        for info in infos {
            let lists = [&info.provides, &info.depends, &info.replaces, &info.install_if];
            known.insert(&info.name);
            known.extend(lists.into_iter().flatten().map(|item| item.name.as_str()));
        }
        if words.iter().any(|word| word.contains('*')) {
            let fits = |name: &&str| words.iter().any(|word| matches(word, name));
            return Ok(known.into_iter().filter(fits).map(str::to_owned).collect());
        }
        match words.iter().find(|word| !known.contains(word.as_str())) {
            Some(name) => Err(Error::NoSuchPackage { name: name.clone() }),
            None => Ok(words.iter().cloned().collect()),
        }
    }

    /// Every package of the database, by name.
    pub fn installed(&self) -> Result<Vec<Installed>> {
        Ok(Database::load(&self.root)?.0.into_values().collect())
    }

    /// Every package that the kept indexes offer.
    pub fn available(&self) -> Result<Vec<Info>> {
        let offers = indexes::load(&self.root, &self.config)?;
        Ok(offers.into_iter().map(|offer| offer.listed.info).collect())
    }

    /// An installed package.
    pub fn package(&self, name: &str) -> Result<Installed> {
        let found = Database::load(&self.root)?.0.remove(name);
        found.ok_or_else(|| Error::NoSuchPackage { name: name.to_owned() })
    }

    /// The files of an installed package, sorted.
    pub fn files(&self, name: &str) -> Result<Vec<Utf8PathBuf>> {
        let paths: BTreeSet<Utf8PathBuf> = self.package(name)?.files().map(|(path, _)| path).collect();
        Ok(paths.into_iter().collect())
    }

    /// Takes the lock and reports what the user must not overlook.
    fn begin(&self, on: &mut dyn FnMut(Progress)) -> Result<Lock> {
        for note in &self.config.notes {
            on(Progress::Note { text: note.clone() });
        }
        let lock = Lock::take(&self.root, LOCK.into(), self.config.patience)?;
        for package in Database::load(&self.root)?.0.values().filter(|package| !package.is_complete()) {
            let text = format!("{} is incomplete: an earlier run was interrupted.", package.title());
            on(Progress::Note { text });
        }
        Ok(lock)
    }

    fn planner<'a>(&'a self, database: &'a Database, scratch: &'a TempDir) -> Planner<'a> {
        Planner { root: &self.root, config: &self.config, database, scratch }
    }

    /// Makes the changes. World is saved first, so that after an interruption the next run works towards it.
    fn commit(
        &self,
        world: &World,
        mut database: Database,
        plan: Plan,
        scratch: &TempDir,
        on: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let versions: BTreeMap<String, String> =
            database.0.values().map(|package| (package.info.name.clone(), package.info.version.clone())).collect();
        let total = plan.remove.len() + plan.install.len();
        let owners = Owners::load(&self.root)?;
        world.save(&self.root)?;
        let mut commit = Commit {
            root: &self.root,
            config: &self.config,
            owners: &owners,
            scratch,
            database: &mut database,
            touched: BTreeSet::new(),
            on,
        };
        let mut failures = Failures::default();
        for name in &plan.configure {
            let configured = commit.configure_again(name);
            failures.add(configured, commit.on);
        }
        let mut number = 0;
        let mut step = |on: &mut dyn FnMut(Progress), name: &str, to: Option<&str>| {
            number += 1;
            let (from, to) = (versions.get(name).cloned(), to.map(str::to_owned));
            on(Step::Change { number, total, name: name.to_owned(), from, to }.into());
        };
        let changes = || -> Result<()> {
            for name in &plan.remove {
                step(commit.on, name, None);
                commit.remove(name)?;
            }
            for package in plan.install {
                let info = &package.metadata.info;
                step(commit.on, &info.name, Some(&info.version));
                // A package after one that failed may need it, so the loop ends; a failed last script does not end it.
                let configured = commit.install(&package)?;
                failures.add(configured, commit.on);
            }
            Ok(())
        };
        let changed = changes();
        failures.add(changed, commit.on);
        let touched = std::mem::take(&mut commit.touched);
        for (package, folders) in scripts::triggered(commit.database, &touched) {
            let triggered = commit.trigger(&package, &folders);
            failures.add(triggered, commit.on);
        }
        failures.end()?;
        let bytes = database.0.values().map(|package| package.info.installed_size).sum();
        on(Step::Done { bytes, packages: database.0.len() }.into());
        Ok(())
    }
}

/// Whether an argument is a file and not a name: names can have slashes too, such as `/bin/sh`.
fn is_file(word: &str) -> bool {
    word.ends_with(".apk") || word.contains("://") || word.starts_with("./") || word.starts_with("../")
}

fn scratch() -> Result<TempDir> {
    tempfile::tempdir().map_err(Error::io("make a scratch directory in", "/tmp"))
}
