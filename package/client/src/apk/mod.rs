//! apk's view of a root: its configuration, indexes, world, database and commands.
//!
//! [`Client`] is the whole of it. Nothing here prints: what happens is told to a callback as
//! [`Progress`], whose text is worded as apk words it.
//!
//! What differs from apk, on purpose: nothing untrusted is ever installed, and there is no way to ask for
//! it; an `update` whose signature check fails is an error; a package must be the one that its index
//! entry describes; lists that are unsorted or name something twice are refused; a transaction that is
//! refused leaves the root as it was; the package `kernel` is never brought in, replaced or taken away.
//! What apk has and this has not: cached packages, tags and variables in repositories, indexes and
//! packages of version 2, extended attributes.

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
pub use crate::root::Root;

/// The package that stands for the running kernel.
const KERNEL: &str = "kernel";
/// Where apk keeps its lock.
const LOCK: &str = "/lib/apk/db/lock";

/// The files, as path and text, by which an image says that it runs a kernel and takes packages of an
/// architecture: apk's database with the package `kernel` in it, the wish to keep it, and the architecture.
///
/// An image that lists further packages in the database has to wish for them in `/etc/apk/world`: as with
/// apk, what nothing wishes for or needs goes with the next change.
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

/// As [`image_state`], for an image that has more than a kernel: names and versions of packages, without files.
pub fn image_state_with(kernel_version: &str, others: &[(&str, &str)], arch: &str) -> [(&'static str, String); 3] {
    let mut packages = vec![Installed::kernel(kernel_version, arch)];
    packages.extend(others.iter().map(|(name, version)| Installed::part_of_image(name, version, arch)));
    let world = World(packages.iter().map(|package| Wish::Package(Dependency::on(&package.info.name))).collect());
    let database = Database(packages.into_iter().map(|package| (package.info.name.clone(), package)).collect());
    [(database::INSTALLED, database.text()), ("/etc/apk/world", world.text()), ("/etc/apk/arch", format!("{arch}\n"))]
}

/// Installs into one root, as one configuration says.
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

    /// Adds wishes, such as `name`, `name=1.0-r1` or `name<2`, and makes them true. Anything with a slash in
    /// it or ending in `.apk` is a file. What is refused is refused before the first change.
    pub fn add(&self, wanted: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
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
        let Some(plan) =
            self.planner(&database, &scratch).plan(&world, Orders { files, given, ..Orders::default() }, on)?
        else {
            return Ok(());
        };
        self.commit(&world, database, plan, &scratch, on)
    }

    /// Takes wishes away, and every package that nothing needs any more. One that others need stays, and
    /// that is told.
    pub fn del(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let mut world = World::load(&self.root)?;
        let database = Database::load(&self.root)?;
        for name in names {
            if name == KERNEL && database.0.contains_key(KERNEL) {
                let dependents = "the system itself, which runs it".into();
                return Err(Error::Needed { package: name.clone(), dependents });
            }
            let is_known = |info: &Info| info.name == *name || info.provides.iter().any(|own| own.name == *name);
            if !world.remove(name) && !database.0.contains_key(name) && !self.available()?.iter().any(is_known) {
                return Err(Error::NoSuchPackage { name: name.clone() });
            }
        }
        let scratch = scratch()?;
        let given = names.iter().filter(|name| database.0.contains_key(*name)).cloned().collect();
        let asks = Asks { remove: true, ..Asks::default() };
        let Some(plan) =
            self.planner(&database, &scratch).plan(&world, Orders { given, asks, ..Orders::default() }, on)?
        else {
            return Ok(());
        };
        for name in names {
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

    /// Replaces packages by the newest version that fits: the named ones, or without a name all. Wishes stay as they
    /// are, so one that names a version holds its package there.
    pub fn upgrade(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.upgrade_with(names, false, on)
    }

    /// As [`Client::upgrade`], and what a repository offers is preferred to another build of the same version that is
    /// installed: `upgrade --available`.
    pub fn upgrade_to_available(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.upgrade_with(names, true, on)
    }

    fn upgrade_with(&self, names: &[String], available: bool, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let asks = Asks { upgrade: true, ..Asks::default() };
        let everywhere = Asks { upgrade: names.is_empty(), available, ..Asks::default() };
        self.again(names, Orders { asks, everywhere, ..Orders::default() }, on)
    }

    /// Puts the files of the named packages in place once more, in the version that is installed. Without a name it
    /// completes what an interrupted run has left, which every change does too.
    pub fn fix(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.again(names, Orders { reinstall: names.iter().cloned().collect(), ..Orders::default() }, on)
    }

    /// Makes the wishes true as they are, with orders about packages that are installed.
    fn again(&self, names: &[String], orders: Orders, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let (mut world, database, scratch) = (World::load(&self.root)?, Database::load(&self.root)?, scratch()?);
        if orders.everywhere.available {
            world.release();
        }
        if let Some(name) = names.iter().find(|name| !database.0.contains_key(*name)) {
            return Err(Error::NoSuchPackage { name: name.clone() });
        }
        let orders = Orders { given: names.iter().cloned().collect(), ..orders };
        let Some(plan) = self.planner(&database, &scratch).plan(&world, orders, on)? else { return Ok(()) };
        self.commit(&world, database, plan, &scratch, on)
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

    /// Takes the lock and says what a user must not overlook.
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

    /// Makes the changes. The wishes come first: whatever happens then, the next run works towards them.
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
                // Those after one that cannot be put in place may need it; its own last script is another matter.
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

/// Whether a word is a file and not a name: names can have slashes, as `/bin/sh` has.
fn is_file(word: &str) -> bool {
    word.ends_with(".apk") || word.contains("://") || word.starts_with("./") || word.starts_with("../")
}

fn scratch() -> Result<TempDir> {
    tempfile::tempdir().map_err(Error::io("make a scratch directory in", "/tmp"))
}
