//! opkg's view of a root: its configuration, lists, status and commands.
//!
//! Use [`Client`]. Nothing here prints: a callback receives what happens as [`Progress`], which displays as opkg's own
//! output.
//!
//! Deliberate differences from opkg: an `update` whose signature check fails is an error; checksums are mandatory; a
//! package must be the one that its index entry describes; a refused transaction leaves the root unchanged; no
//! dependency installs the package `kernel`; a `download` that does not find everything is an error; an upgrade that
//! would break an installed package's dependencies is refused; with `--noaction`, `--download-only` fetches nothing.

mod alternatives;
mod config;
mod lists;
mod prepare;
mod progress;
mod remove;
mod resolve;
mod scripts;
mod status;
mod switches;
mod unpack;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::control::Control;
use formats::version::opkg::compare;

pub use self::config::{Config, Source};
pub use self::lists::encoded;
use self::prepare::Prepared;
pub use self::progress::{Progress, Step};
use self::resolve::{Reading, Request, best, resolve};
use self::status::Status;
pub use self::status::{Installed, State};
pub use self::switches::Switches;
use self::unpack::Unpacker;
use crate::error::{Error, Result};
use crate::failures::Failures;
use crate::lock::Lock;
use crate::pattern::matches;
pub use crate::root::Root;

/// Path of opkg's lock.
const LOCK: &str = "/var/lock/opkg.lock";

/// opkg's commands on one root, with one configuration.
pub type Client = crate::Client<Config>;

impl Client {
    /// Fetches and verifies the list of every feed. All are tried; the first failure is returned.
    pub fn update(&self, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        if self.config.sources.is_empty() {
            on(Progress::Note { text: "No feed is configured: /etc/opkg has no `src/gz` line.".into() });
        }
        let mut failures = Failures::default();
        for source in &self.config.sources {
            let updated = lists::update(&self.root, &self.config, source, on);
            failures.add(updated, on);
        }
        failures.end()
    }

    /// Installs packages with everything that they need. Names are looked up in the lists; an argument with a slash, or
    /// one that ends in `.ipk`, is a file. Refusals come before the first change.
    pub fn install(&self, wanted: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let again = if self.config.switches.force_reinstall { wanted } else { &[] };
        self.bring(wanted, true, again, on)
    }

    /// As [`Client::install`], but installs the named packages again even if they are installed. opkg removes them
    /// first; here they are replaced as in an upgrade, so a refusal keeps them.
    pub fn reinstall(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        self.bring(names, true, names, on)
    }

    /// Installs newer versions of installed packages that are not on hold. Packages that were installed as dependencies
    /// still count as such; as with opkg, those that are not installed yet are installed.
    pub fn upgrade(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let status = Status::load(&self.root)?;
        let is_held = |name: &&String| status.0.get(*name).is_some_and(Installed::is_held);
        for name in names.iter().filter(is_held) {
            on(Progress::Note { text: format!("Not upgrading package {name} which is marked hold.") });
        }
        let names: Vec<String> = names.iter().filter(|name| !is_held(name)).cloned().collect();
        self.bring(&names, false, &[], on)
    }

    /// `asked`: the user wants these packages themselves, not as dependencies. Packages in `again` count as not
    /// installed.
    fn bring(&self, wanted: &[String], asked: bool, again: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let scratch = tempfile::tempdir().map_err(Error::io("make a scratch directory in", "/tmp"))?;
        let mut status = Status::load(&self.root)?;
        let lists = lists::load(&self.root, &self.config)?;
        let offers = &lists.offers;

        let mut candidates: Vec<Control> = offers.iter().map(|offer| offer.listed.control.clone()).collect();
        let mut files = Vec::new();
        let mut requests = Vec::new();
        for name in wanted {
            if name.contains('/') || name.ends_with(".ipk") {
                let prepared = prepare::from_file(name, &scratch)?;
                requests.push(Request::Candidate(candidates.len()));
                candidates.push(prepared.control().clone());
                files.push(Some(prepared));
            } else {
                requests.push(Request::Name(name.clone()));
            }
        }
        let mut considered = status.clone();
        let given = |name: &str| files.iter().flatten().any(|file| file.name() == name);
        considered.0.retain(|name, _| !again.contains(name) && (again.is_empty() || !given(name)));
        let switches = self.config.switches;
        let reading = if asked { Reading::AsNeeded } else { Reading::Whole };
        let plan =
            resolve(&candidates, &considered, &self.config.arches, switches, &requests, reading).map_err(|error| {
                let missing = match &error {
                    Error::Unknown { name, .. } => name.as_str(),
                    Error::Dependency { dependency, .. } => dependency.split_whitespace().next().unwrap_or_default(),
                    _ => return error,
                };
                lists.refused(missing).map_or(error, lists::Refused::error)
            })?;
        for (name, version) in plan.up_to_date {
            on(Step::UpToDate { name, version }.into());
        }
        for &index in &plan.older {
            let Control { package: name, version: to, .. } = candidates[index].clone();
            let from = status.0.get(&name).map(|package| package.control.version.clone()).unwrap_or_default();
            on(Step::NotDowngrading { name, from, to }.into());
        }
        if self.config.simulate {
            for &index in &plan.install {
                let Control { package: name, version, .. } = candidates[index].clone();
                let from = status.usable(&name).map(|package| package.control.version.clone());
                on(Step::Installing { name, version, from }.into());
            }
            return Ok(());
        }

        if let Some(folder) = &self.config.download_only {
            for offer in plan.install.iter().filter_map(|&index| offers.get(index)) {
                prepare::download(offer, folder, on)?;
            }
            return Ok(());
        }

        let mut packages: Vec<Prepared> = Vec::new();
        for &index in &plan.install {
            match offers.get(index) {
                Some(offer) => packages.push(prepare::from_feed(offer, &scratch, on)?),
                None => packages.extend(files.get_mut(index - offers.len()).and_then(Option::take)),
            }
        }
        let installed = status.clone();
        let asked = |name: &str| {
            (asked || !installed.0.contains_key(name))
                && plan.named.iter().any(|&index| candidates[index].package == name)
        };
        let mut after = status.clone();
        let mut old = Vec::new();
        for package in &packages {
            let now = Installed::new(package.control(), asked(package.name()));
            old.extend(after.0.insert(package.name().to_owned(), now));
        }
        let leaving = remove::outdated(&after, &old, switches);
        prepare::check_against(&self.root, &status, &packages, &leaving, switches.force_overwrite)?;

        let mut unpacker =
            Unpacker { root: &self.root, config: &self.config, scratch: &scratch, status: &mut status, on };
        let mut failures = Failures::default();
        let mut unconfigured: Vec<(String, bool)> = plan.configure.iter().map(|name| (name.clone(), false)).collect();
        for mut package in packages {
            let name = package.name().to_owned();
            let upgrade = unpacker.status.usable(&name).is_some();
            let unpacked = unpacker.unpack(&mut package, asked(&name));
            if unpacked.is_err() {
                // The rest may need the failed package, so unpacking ends; the packages before it are complete and are
                // configured.
                failures.add(unpacked, unpacker.on);
                break;
            }
            unconfigured.push((name, upgrade));
        }
        if failures.is_empty() {
            for name in &leaving {
                (unpacker.on)(Step::Orphaned { name: name.clone() }.into());
                let removed = remove::remove(&self.root, &self.config, unpacker.status, name, unpacker.on);
                failures.add(removed, unpacker.on);
            }
        }
        for (name, upgrade) in unconfigured {
            let configured = unpacker.configure(&name, upgrade);
            failures.add(configured, unpacker.on);
        }
        failures.end()
    }

    /// Only downloads packages, into a folder. Packages that are found are downloaded even if others are not.
    pub fn download(&self, names: &[String], folder: &Utf8Path, on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let status = Status::load(&self.root)?;
        let lists = lists::load(&self.root, &self.config)?;
        let candidates: Vec<Control> = lists.offers.iter().map(|offer| offer.listed.control.clone()).collect();
        let mut failures = Failures::default();
        for name in names {
            let downloaded = best(&candidates, &status, &self.config.arches, name).and_then(|index| {
                let path = prepare::download(&lists.offers[index], folder, on)?;
                on(Step::Downloaded { name: candidates[index].package.clone(), path }.into());
                Ok(())
            });
            failures.add(downloaded, on);
        }
        failures.end()
    }

    /// Removes packages, by name or pattern; refuses if a package that stays needs one of them. As with opkg, removing
    /// a package that is not installed is no error.
    pub fn remove(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let mut status = Status::load(&self.root)?;
        let mut there = Vec::new();
        for pattern in names {
            let before = there.len();
            there.extend(status.0.keys().filter(|name| matches(pattern, name)).cloned());
            if there.len() == before {
                on(Progress::Note { text: format!("Package {pattern} is not installed.") });
            }
        }
        if there.is_empty() {
            on(Progress::Note { text: "No packages removed.".into() });
        }
        let plan = remove::plan(&status, &there, self.config.switches)?;
        for name in plan.order {
            if plan.orphans.contains(&name) {
                on(Step::Orphaned { name: name.clone() }.into());
            }
            if self.config.simulate {
                on(Step::Removing { name }.into());
                continue;
            }
            remove::remove(&self.root, &self.config, &mut status, &name, on)?;
        }
        Ok(())
    }

    /// Every package in the status file, by name, with its installation state.
    pub fn installed(&self) -> Result<Vec<Installed>> {
        Ok(Status::load(&self.root)?.0.into_values().collect())
    }

    /// Runs the `postinst` scripts that have not run yet: of the named packages, or of all.
    pub fn configure(&self, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let scratch = tempfile::tempdir().map_err(Error::io("make a scratch directory in", "/tmp"))?;
        let mut status = Status::load(&self.root)?;
        let is_meant = |name: &str| names.is_empty() || names.iter().any(|pattern| matches(pattern, name));
        let unpacked = status.0.iter().filter(|(name, package)| package.state == State::Unpacked && is_meant(name));
        let unpacked: Vec<String> = unpacked.map(|(name, _)| name.clone()).collect();
        if self.config.simulate {
            unpacked.into_iter().for_each(|name| on(Step::Configuring { name }.into()));
            return Ok(());
        }
        let mut unpacker =
            Unpacker { root: &self.root, config: &self.config, scratch: &scratch, status: &mut status, on };
        let mut failures = Failures::default();
        for name in unpacked {
            let configured = unpacker.configure(&name, false);
            failures.add(configured, unpacker.on);
        }
        failures.end()
    }

    /// Sets a flag of installed packages: `hold`, `user` or `ok`; `installed` or `unpacked`.
    pub fn flag(&self, flag: &str, names: &[String], on: &mut dyn FnMut(Progress)) -> Result<()> {
        let _lock = self.begin(on)?;
        let mut status = Status::load(&self.root)?;
        for name in names {
            let Some(package) = status.0.get_mut(name) else {
                on(Progress::Note { text: format!("Package {name} is not installed.") });
                continue;
            };
            if !package.set_flag(flag) {
                let problem = format!("`{flag}` is no flag: they are hold, user, ok, installed and unpacked");
                return Err(Error::Usage { program: "opkg", problem });
            }
            on(Progress::Note { text: format!("Setting flags for package {name} to {flag}.") });
        }
        if self.config.simulate { Ok(()) } else { status.save(&self.root) }
    }

    /// Conffiles that differ from what their package installed.
    pub fn changed_conffiles(&self) -> Result<Vec<Utf8PathBuf>> {
        let mut changed = Vec::new();
        for package in Status::load(&self.root)?.0.values() {
            for (path, digest) in &package.conffiles {
                if self.root.sha256(path)?.is_some_and(|there| there != *digest) {
                    changed.push(path.clone());
                }
            }
        }
        Ok(changed)
    }

    /// As [`Client::available`], with the size of each package file.
    pub fn offered(&self) -> Result<Vec<(Control, u64)>> {
        let lists = lists::load(&self.root, &self.config)?;
        Ok(lists.offers.into_iter().map(|offer| (offer.listed.control, offer.listed.size)).collect())
    }

    /// Every package that the kept lists offer, in their order.
    pub fn available(&self) -> Result<Vec<Control>> {
        let lists = lists::load(&self.root, &self.config)?;
        Ok(lists.offers.into_iter().map(|offer| offer.listed.control).collect())
    }

    /// Installed packages for which the lists have a newer version for this system: name, installed and newest version.
    pub fn upgradable(&self) -> Result<Vec<(String, String, String)>> {
        let mut newest: BTreeMap<String, String> = BTreeMap::new();
        for offer in self.available()?.into_iter().filter(|offer| self.config.arches.contains_key(&offer.architecture))
        {
            let best = newest.entry(offer.package).or_insert_with(|| offer.version.clone());
            if compare(&offer.version, best).is_gt() {
                *best = offer.version;
            }
        }
        let newer = |(name, newest): (String, String), there: &Installed| {
            let there = there.control.version.clone();
            compare(&newest, &there).is_gt().then_some((name, there, newest))
        };
        let status = Status::load(&self.root)?;
        Ok(newest.into_iter().filter_map(|offer| newer(offer.clone(), status.0.get(&offer.0)?)).collect())
    }

    /// The files of an installed package, sorted.
    pub fn files(&self, name: &str) -> Result<Vec<Utf8PathBuf>> {
        match Status::load(&self.root)?.0.get(name) {
            Some(package) => self.files_of(package),
            None => Err(Error::Unknown { name: name.into(), problem: "it is not installed".into() }),
        }
    }

    /// The same for a package of [`Client::installed`].
    pub fn files_of(&self, package: &Installed) -> Result<Vec<Utf8PathBuf>> {
        Ok(status::read_paths(&self.root, &package.control.package, "list")?.into_iter().collect())
    }

    /// Takes the lock and reports what the user must not overlook.
    fn begin(&self, on: &mut dyn FnMut(Progress)) -> Result<Lock> {
        for note in &self.config.notes {
            on(Progress::Note { text: note.clone() });
        }
        if !self.config.check_signature {
            let text = "Signatures are NOT checked.".into();
            on(Progress::Note { text });
        }
        let lock = Lock::take(&self.root, LOCK.into(), self.config.patience)?;
        for package in Status::load(&self.root)?.0.into_values().filter(|package| !package.is_usable()) {
            let name = package.control.package;
            let text = format!(
                "Package {name} is half-installed: an earlier run was interrupted. Install or remove it again."
            );
            on(Progress::Note { text });
        }
        Ok(lock)
    }
}
