//! What it takes to make all wishes true: decided, fetched, and checked as a whole.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use formats::apk::Info;
use tempfile::TempDir;

use super::config::Config;
use super::database::{Database, Installed, identity_in_index};
use super::indexes::{self, Offer};
use super::prepare::{self, Prepared};
use super::replaces;
use super::select::{Candidate, Problem, dependencies_first, select};
use super::world::World;
use super::{KERNEL, Progress};
use crate::error::{Error, Result};
use crate::place;
use crate::root::Root;

/// A transaction that passed every check there is before the first change.
pub(super) struct Plan {
    /// Packages to put in place, each after what it needs.
    pub(super) install: Vec<Prepared>,
    /// Packages to take away, dependents before what they need.
    pub(super) remove: Vec<String>,
    /// Installed packages that only lack a script.
    pub(super) configure: Vec<String>,
    /// Everything that will be there.
    pub(super) chosen: Vec<Info>,
}

/// What is asked for beside the wishes.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Packages that the user gave as files.
    pub(super) files: Vec<Prepared>,
    /// Which names are to have their newest version.
    pub(super) upgrade: Upgrade,
    /// Names of packages whose files are put in place once more.
    pub(super) reinstall: BTreeSet<String>,
    /// Whether what a repository offers is preferred to an installed package of the same version.
    pub(super) available: bool,
}

/// Which packages are to have their newest version.
#[derive(Debug, Default)]
pub(super) enum Upgrade {
    #[default]
    None,
    Of(BTreeSet<String>),
    All,
}

impl Upgrade {
    fn of(&self, name: &str) -> bool {
        match self {
            Upgrade::None => false,
            Upgrade::Of(names) => names.contains(name),
            Upgrade::All => true,
        }
    }
}

/// What a plan is made from.
pub(super) struct Planner<'a> {
    pub(super) root: &'a Root,
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    pub(super) scratch: &'a TempDir,
}

/// Where a package would come from.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Installed,
    /// The user gave it; its place among such files.
    File(usize),
    Index(&'a Offer),
}

impl Planner<'_> {
    pub(super) fn plan(&self, world: &World, orders: Orders, on: &mut dyn FnMut(Progress)) -> Result<Plan> {
        let Orders { files, upgrade, reinstall, available } = orders;
        let offers = indexes::load(self.root, self.config)?;
        // What is incomplete has to be installed again.
        let usable = || self.database.0.values().filter(|package| package.is_complete());
        let installed = usable().map(|package| (&package.info, Source::Installed));
        let given = files.iter().enumerate().map(|(place, file)| (&file.metadata.info, Source::File(place)));
        let offered = offers.iter().map(|offer| (&offer.listed.info, Source::Index(offer)));
        let (candidates, mut sources): (Vec<Candidate<'_>>, Vec<Source<'_>>) = installed
            .chain(given)
            .chain(offered)
            .map(|(info, source)| (Candidate { info, installed: matches!(source, Source::Installed) }, source))
            .unzip();
        let accepts = |arch: &str| self.config.accepts(arch);
        let upgrades = |name: &str| upgrade.of(name);
        let problem = Problem { candidates: &candidates, wishes: &world.0, upgrades: &upgrades, accepts: &accepts };
        let selected = select(&problem)?;
        for &index in &selected {
            if candidates[index].installed && reinstall.contains(&candidates[index].info.name) {
                sources[index] = Source::Index(same(candidates[index].info, &offers)?);
            }
            if let Some(offer) = another_build(candidates[index], &offers).filter(|_| available) {
                sources[index] = Source::Index(offer);
            }
        }

        let chosen: Vec<Info> = selected.iter().map(|&index| candidates[index].info.clone()).collect();
        let names: BTreeSet<&str> = chosen.iter().map(|info| info.name.as_str()).collect();
        let stays = |package: &&Installed| names.contains(package.info.name.as_str());
        let name = |package: &Installed| package.info.name.clone();
        let configure = usable().filter(|package| !package.is_configured()).filter(stays).map(name).collect();
        let going: Vec<&Info> =
            self.database.0.values().filter(|package| !stays(package)).map(|package| &package.info).collect();
        let remove = dependencies_first(&going).into_iter().rev().map(|place| going[place].name.clone()).collect();

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
        Ok(plan)
    }

    /// Holds the packages that come against the root, and against those that stay.
    fn check(&self, plan: &mut Plan) -> Result<()> {
        let coming: BTreeSet<String> = plan.install.iter().map(|package| package.name().to_owned()).collect();
        let going: BTreeSet<&str> = plan.remove.iter().map(String::as_str).collect();
        let leaves = |name: &str| coming.contains(name) || going.contains(name);
        let stay = self.database.0.values().filter(|package| !leaves(&package.info.name));
        let taken: BTreeSet<Utf8PathBuf> = replaces::settle(stay, &mut plan.install);
        let owned = self.database.files_of_others(leaves).into_iter().filter(|(path, _)| !taken.contains(path));
        let old_files =
            |name: &str| self.database.0.get(name).into_iter().flat_map(Installed::files).map(|(path, _)| path);
        let mut bundles: Vec<_> = plan.install.iter().map(Prepared::bundle).collect();
        for bundle in &mut bundles {
            bundle.replaced = old_files(bundle.name).collect();
        }
        if let Some(first) = bundles.first_mut() {
            first.replaced.extend(going.iter().flat_map(|name| old_files(name)));
        }
        place::check(self.root, owned, &bundles)
    }
}

/// An offer of the version that is installed, but of another package. The kernel is nobody's to replace.
fn another_build<'a>(candidate: Candidate<'_>, offers: &'a [Offer]) -> Option<&'a Offer> {
    let info = candidate.info;
    let same_version =
        |offer: &&Offer| offer.listed.info.name == info.name && offer.listed.info.version == info.version;
    let offer = offers.iter().find(same_version).filter(|_| candidate.installed && info.name != KERNEL)?;
    (Some(identity_in_index(&offer.listed.sha256)) != info.unique_id).then_some(offer)
}

/// The offer of just the package that is installed: another build of the same version would be another package.
fn same<'a>(installed: &Info, offers: &'a [Offer]) -> Result<&'a Offer> {
    let identity = |offer: &&Offer| {
        offer.listed.info.name == installed.name && Some(identity_in_index(&offer.listed.sha256)) == installed.unique_id
    };
    let missing = || Error::NotOffered { package: format!("{}-{}", installed.name, installed.version) };
    offers.iter().find(identity).ok_or_else(missing)
}
