//! Plans a transaction that satisfies world: selected, fetched, and checked as a whole.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::apk::Info;
use tempfile::TempDir;

use super::candidate::Candidate;
use super::commit::is_protected;
use super::config::Config;
use super::database::Database;
use super::indexes::{self, Offer};
use super::installed::{Installed, identity_in_index};
use super::prepare::{self, Prepared};
use super::replaces;
use super::select::{Asks, Problem, dependencies_first, select};
use super::world::World;
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::place;
use crate::root::Root;

/// A transaction that passed all checks that can be made before the first change.
pub(super) struct Plan {
    /// Packages to install, each after those that it needs.
    pub(super) install: Vec<Prepared>,
    /// Packages to remove, dependents first.
    pub(super) remove: Vec<String>,
    /// Installed packages whose script still has to run.
    pub(super) configure: Vec<String>,
    /// All packages that will be installed in the end.
    pub(super) chosen: Vec<Info>,
}

/// What a command asks for besides world.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Packages that the user gave as files.
    pub(super) files: Vec<Prepared>,
    /// Names that the command is about, and the preference among their packages.
    pub(super) given: BTreeSet<String>,
    pub(super) asks: Asks,
    /// The preference among all that those packages depend on.
    pub(super) passed_on: Asks,
    /// The preference among all that world leads to.
    pub(super) everywhere: Asks,
    /// Names whose installed packages are installed again.
    pub(super) reinstall: BTreeSet<String>,
}

/// The inputs of a plan.
pub(super) struct Planner<'a> {
    pub(super) root: &'a Root,
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    pub(super) scratch: &'a TempDir,
}

/// Where a package comes from.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Installed,
    /// A file that the user gave; its position among them.
    File(usize),
    Index(&'a Offer),
}

impl Planner<'_> {
    /// `None` in a simulation, which only reports the changes.
    pub(super) fn plan(&self, world: &World, orders: Orders, on: &mut dyn FnMut(Progress)) -> Result<Option<Plan>> {
        let Orders { files, given, asks, passed_on, everywhere, reinstall } = orders;
        let offers = indexes::load(self.root, self.config)?;
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for offer in offers.iter().rev() {
            let own = self.database.0.get(&offer.listed.info.name);
            if own.is_some_and(|own| is_same(&own.info, offer)) {
                known.insert(&offer.listed.info.name, offer.repository);
            }
        }
        // An incomplete package has to be installed again.
        let usable = || self.database.0.values().filter(|package| package.is_complete());
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        let mut sources: Vec<Source<'_>> = Vec::new();
        let mut add = |info, source, repository: usize| {
            let installed = matches!(source, Source::Installed);
            let available = repository > 0 || matches!(source, Source::File(_));
            candidates.push(Candidate { info, installed, available, repository });
            sources.push(source);
        };
        for package in usable() {
            add(&package.info, Source::Installed, known.get(package.info.name.as_str()).copied().unwrap_or(0));
        }
        for (place, file) in files.iter().enumerate() {
            add(&file.metadata.info, Source::File(place), 0);
        }
        let is_installed = |offer: &Offer| {
            let own = self.database.0.get(&offer.listed.info.name);
            own.is_some_and(|own| own.is_complete() && is_same(&own.info, offer))
        };
        for offer in offers.iter().filter(|offer| !is_installed(offer)) {
            add(&offer.listed.info, Source::Index(offer), offer.repository);
        }
        let accepts = |arch: &str| self.config.accepts(arch);
        let problem = Problem {
            candidates: &candidates,
            wishes: &world.0,
            given: &given,
            asks,
            passed_on,
            everywhere,
            accepts: &accepts,
        };
        let selected = select(&problem)?;
        for &index in &selected {
            let is_named = || candidates[index].names().any(|(name, _)| reinstall.contains(name));
            if candidates[index].installed && is_named() {
                sources[index] = Source::Index(same(candidates[index].info, &offers)?);
            }
        }

        let chosen: Vec<Info> = selected.iter().map(|&index| candidates[index].info.clone()).collect();
        let names: BTreeSet<&str> = chosen.iter().map(|info| info.name.as_str()).collect();
        let stays = |package: &&Installed| names.contains(package.info.name.as_str());
        let name = |package: &Installed| package.info.name.clone();
        let configure = usable().filter(|package| !package.is_configured()).filter(stays).map(name).collect();
        let going: Vec<&Info> =
            self.database.0.values().filter(|package| !stays(package)).map(|package| &package.info).collect();
        let remove: Vec<String> =
            dependencies_first(&going).into_iter().rev().map(|place| going[place].name.clone()).collect();

        if self.config.simulate {
            let comes = |place: &usize| !matches!(sources[*place], Source::Installed);
            let install = selected.into_iter().filter(comes).map(|place| candidates[place].info);
            self.tell(remove, install.collect(), on);
            return Ok(None);
        }

        let mut files: Vec<Option<Prepared>> = files.into_iter().map(Some).collect();
        let mut install = Vec::new();
        for index in selected {
            match sources[index] {
                Source::Installed => {}
                Source::File(place) => install.extend(files[place].take()),
                Source::Index(offer) => install.push(prepare::from_feed(offer, self.scratch, on)?),
            }
        }
        let mut plan = Plan { install, remove, configure, chosen };
        self.check(&mut plan)?;
        Ok(Some(plan))
    }

    fn tell(&self, remove: Vec<String>, install: Vec<&Info>, on: &mut dyn FnMut(Progress)) {
        let total = remove.len() + install.len();
        let coming = install.into_iter().map(|info| (info.name.clone(), Some(info.version.clone())));
        for (place, (name, to)) in remove.into_iter().map(|name| (name, None)).chain(coming).enumerate() {
            let from = self.database.0.get(&name).map(|package| package.info.version.clone());
            on(Step::Change { number: place + 1, total, name, from, to }.into());
        }
    }

    /// Checks the new packages against the root and against the packages that stay.
    fn check(&self, plan: &mut Plan) -> Result<()> {
        if plan.install.is_empty() {
            return Ok(());
        }
        let coming: BTreeSet<String> = plan.install.iter().map(|package| package.name().to_owned()).collect();
        let going: BTreeSet<&str> = plan.remove.iter().map(String::as_str).collect();
        let leaves = |name: &str| coming.contains(name) || going.contains(name);
        let stay = self.database.0.values().filter(|package| !leaves(&package.info.name));
        let taken: BTreeSet<Utf8PathBuf> = replaces::settle(stay, &mut plan.install);
        let owned = self.database.files_of_others(leaves).filter(|(path, _)| !taken.contains(path));
        let old_files =
            |name: &str| self.database.0.get(name).into_iter().flat_map(Installed::files).map(|(path, _)| path);
        let mut bundles: Vec<_> = plan.install.iter().map(Prepared::bundle).collect();
        for bundle in &mut bundles {
            bundle.replaced = old_files(bundle.name).collect();
            bundle.yields = bundle.replaced.iter().filter(|path| !is_protected(path)).cloned().collect();
        }
        let going = going.iter().flat_map(|name| old_files(name)).collect();
        place::check(self.root, owned, going, &bundles, self.config.force_overwrite)
    }
}

/// Whether an offer is exactly the installed package: another build of the same version is another package.
fn is_same(installed: &Info, offer: &Offer) -> bool {
    offer.listed.info.name == installed.name && Some(identity_in_index(&offer.listed.sha256)) == installed.unique_id
}

/// The offer that is exactly the installed package.
fn same<'a>(installed: &Info, offers: &'a [Offer]) -> Result<&'a Offer> {
    let missing = || Error::NotOffered { package: format!("{}-{}", installed.name, installed.version) };
    offers.iter().find(|offer| is_same(installed, offer)).ok_or_else(missing)
}
