//! A request, resolved once, and its provider: stages take these, and nothing looks at the command line again.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Digest, Event, Exit, Failure, Finding, Problem, Result, Severity, Target};
use sdk::Recipes;
use sdk::openwrt::FeedFolder;
use vm::machine::Machine;

use super::bootable::Bootable;
use super::brought::{self, Brought};
use super::packages::Packages;
use super::release::Release;
use crate::doctor::{self, Need, Purpose};
use crate::feed_config::FeedConfig;
use crate::stage::Inputs;
use crate::{Ctx, Outcome, upstream};

pub(super) use vm::guest::Origin;

/// What to build and run.
#[derive(Clone)]
pub struct Job {
    files: Files,
    /// Formats of packages, each once and always in the same order.
    pub(super) formats: Vec<Format>,
    /// Provides the kernel, packages and image.
    pub(super) provider: Arc<dyn Provider>,
    brought: Vec<Brought>,
    /// The user's own feed, which a release's SDK builds.
    own_feed: Option<Arc<FeedFolder>>,
    /// What its routers prove besides: packages for a target that QEMU has no board of.
    proves: Option<Arc<Job>>,
}

/// What all jobs of a run share.
#[derive(Clone)]
pub(super) struct Files {
    target: Target,
    recipes: Arc<Recipes>,
    brought: Arc<Vec<Brought>>,
    /// Includes the recipes for tests.
    all_recipes: Arc<Recipes>,
    feed: Arc<FeedConfig>,
    machine: Utf8PathBuf,
    /// The target on whose routers packages are proven, if there is no machine.
    proven_on: Option<Target>,
    /// Read on first use, because building packages does not need it.
    read_machine: Arc<OnceLock<Machine>>,
}

/// Provides the kernel, packages and image, and answers questions about them: the stand-in, made of Debian's packages,
/// or a release of OpenWrt.
pub(super) trait Provider: Send + Sync {
    /// Whether its routers are a stand-in or a release.
    fn origin(&self) -> Origin;

    /// Whether an offloading card is available for its routers: only where its driver compiles and was tried.
    fn has_card(&self) -> bool {
        false
    }

    /// Its needs on this host.
    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>>;

    /// The same routers with the kernel line before, if there is one.
    fn before(&self) -> Option<Arc<dyn Provider>> {
        None
    }

    /// The release, if it is one: it publishes more packages than its image has.
    fn release(&self) -> Option<&Release> {
        None
    }

    /// The routers' package architecture.
    fn arch(&self) -> Arch;

    /// The routers' kernel line: as on the command line, or the release's.
    fn kernel_line(&self) -> String;

    /// Names of the packages that every router has, if known beforehand.
    fn image_packages(&self) -> Result<Option<BTreeSet<String>>>;

    /// Builds and checks a package for every recipe.
    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages>;

    /// Adds everything that affects the packages, without building them; the caller adds the recipes.
    fn goes_in(&self, ctx: &Ctx, inputs: Inputs) -> Result<Inputs>;

    /// What its packages are published as: line, target and release.
    fn row(&self, job: &Job) -> [String; 3];

    /// The inputs of the packages: the origin of each file, and its digest.
    fn materials(&self, ctx: &Ctx) -> Result<Vec<(String, Digest)>>;

    /// The image to boot.
    fn image(&self, ctx: &Ctx, job: &Job) -> Result<Bootable>;

    /// Compares packages with the published ones, file by file.
    fn compare(&self, ctx: &Ctx, packages: &Packages) -> Result<Outcome>;

    /// Reports earlier figures for the cost of forwarding.
    fn tell_costs(&self, ctx: &Ctx, job: &Job) -> Result<()>;
}

impl Job {
    /// Checks that this host can do the job.
    ///
    /// # Errors
    /// `HOST…` with the command that installs what is missing.
    pub fn require(&self, ctx: &Ctx, purpose: Purpose) -> Result<()> {
        if let Some(other) = self.proves() {
            other.require(ctx, Purpose::Build)?;
        }
        doctor::require_all(ctx, &self.provider.needs(self, purpose)?)
    }

    /// The same job, including the packages for tests.
    pub(super) fn with_test_packages(&self) -> Job {
        let files = Files { recipes: self.files.all_recipes.clone(), ..self.files.clone() };
        let (formats, provider) = (self.formats.clone(), self.provider.clone());
        Job { files, formats, provider, ..self.clone() }
    }

    /// The same job for the kernel line before, if there is one; what the user gave is for this one.
    pub(super) fn before(&self) -> Result<Option<Job>> {
        let files = Files { brought: Arc::default(), ..self.files.clone() };
        self.provider.before().map(|provider| files.job(self.formats.clone(), provider)).transpose()
    }

    /// The same job, without these kmods or folders of the user's feed.
    pub(super) fn without(&self, names: &BTreeSet<String>) -> Job {
        let (recipes, all) = (self.files.recipes.without(names), self.files.all_recipes.without(names));
        let files = Files { recipes: Arc::new(recipes), all_recipes: Arc::new(all), ..self.files.clone() };
        let own_feed = self.own_feed.as_ref().map(|feed| Arc::new(feed.without(names)));
        Job { files, own_feed, ..self.clone() }
    }

    /// The same job, with the user's feed.
    pub(super) fn with_feed(self, own_feed: Option<FeedFolder>) -> Job {
        Job { own_feed: own_feed.map(Arc::new), ..self }
    }

    /// The same, whose routers stand for those of another target.
    pub(super) fn proving(self, other: Job) -> Job {
        Job { proves: Some(Arc::new(other)), ..self }
    }

    /// The job whose packages are made and verified as well.
    pub(super) fn proves(&self) -> Option<&Job> {
        self.proves.as_deref()
    }

    /// The user's own feed.
    pub(super) fn own_feed(&self) -> Option<&FeedFolder> {
        self.own_feed.as_deref()
    }

    /// The target.
    pub(super) fn target(&self) -> &Target {
        &self.files.target
    }

    /// The packages that the user gave and that fit the routers.
    pub(super) fn brought(&self) -> &[Brought] {
        &self.brought
    }

    /// The recipes to build.
    pub(super) fn recipes(&self) -> &Recipes {
        &self.files.recipes
    }

    /// The feed's configuration.
    pub(super) fn feed(&self) -> &FeedConfig {
        &self.files.feed
    }

    /// The row as which it is published.
    pub fn row(&self) -> feeds::dist::Row {
        let [line, target, release] = self.provider.row(self);
        feeds::dist::Row { line, target, release }
    }

    /// The packages of this workspace that recipes build as programs.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.files.recipes.programs.values().map(|program| program.cargo.package.as_str())
    }

    /// The machine of the target.
    pub(super) fn machine(&self) -> Result<&Machine> {
        self.files.machine()
    }

    /// The file that describes the machine.
    pub(super) fn machine_file(&self) -> &Utf8Path {
        &self.files.machine
    }

    /// The machine's emulator, if `doctor` has a row for it; for any other, QEMU's own start reports that it is
    /// missing.
    pub(super) fn emulator(&self) -> Result<Option<Need>> {
        Ok(doctor::emulator(&self.machine()?.qemu.binary))
    }
}

impl Files {
    pub(super) fn read(ctx: &Ctx, target: &Target, purpose: Purpose) -> Result<Files> {
        let recipes = Recipes::load(&ctx.recipes)?;
        tell_of_makefiles(ctx, &recipes)?;
        let files = Files {
            target: target.clone(),
            brought: Arc::new(brought::open(ctx)?),
            recipes: Arc::new(recipes.published()),
            all_recipes: Arc::new(recipes),
            feed: Arc::new(FeedConfig::load(ctx)?),
            machine: machine_file(ctx, target),
            proven_on: upstream::matrix(ctx)?.proven_on(target).cloned(),
            read_machine: Arc::default(),
        };
        if purpose >= Purpose::Test {
            files.machine()?;
        }
        if purpose == Purpose::Ci {
            let files = scenarios::scenario::load_all(&ctx.scenarios)?;
            files.into_iter().try_for_each(|file| file.scenario.map(drop))?;
        }
        Ok(files)
    }

    fn machine(&self) -> Result<&Machine> {
        match self.read_machine.get() {
            Some(machine) => Ok(machine),
            None if !self.machine.exists() => Err(no_machine(&self.target, self.proven_on.as_ref())),
            None => Machine::load(&self.machine).map(|machine| self.read_machine.get_or_init(|| machine)),
        }
    }

    pub(super) fn job(&self, formats: Vec<Format>, provider: Arc<dyn Provider>) -> Result<Job> {
        let brought = brought::fitting(&self.brought, &formats, &provider.arch())?;
        Ok(Job { files: self.clone(), formats, provider, brought, own_feed: None, proves: None })
    }
}

/// The path of the file that describes a target's machine.
fn machine_file(ctx: &Ctx, target: &Target) -> Utf8PathBuf {
    ctx.root.join("qemu/machines").join(format!("{}.yaml", target.slug()))
}

/// The emulator of a target's machine, as [`Job::emulator`]; `None` when the target has no machine.
pub fn emulator(ctx: &Ctx, target: &Target) -> Result<Option<Need>> {
    let file = machine_file(ctx, target);
    if !file.exists() {
        return Ok(None);
    }
    Ok(doctor::emulator(&Machine::load(&file)?.qemu.binary))
}

/// The failure for a target whose routers' boards QEMU does not have.
fn no_machine(target: &Target, proven_on: Option<&Target>) -> Failure {
    let on = proven_on.map_or("x86/64".to_owned(), ToString::to_string);
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE008",
        what: format!("there is no router of {target} to boot"),
        why: "QEMU has no board that can run its images; `build`, `lint` and `feed` need none",
        fix: format!("prove the packages on routers of the same instruction set: --target {on}"),
    })
}

/// Warns about OpenWrt packages among the user's recipes: only YAML files are recipes, and only what they name is
/// built.
fn tell_of_makefiles(ctx: &Ctx, recipes: &Recipes) -> Result<()> {
    let sources = recipes.kmods.values().filter_map(|kmod| kmod.source.as_ref()?.path.canonicalize_utf8().ok());
    let sources: Vec<Utf8PathBuf> = sources.collect();
    let is_source = |folder: &Utf8Path| folder.canonicalize_utf8().is_ok_and(|folder| sources.contains(&folder));
    for folder in ctx.recipes.iter().skip(1) {
        for entry in host::files::entries(folder)? {
            let makefile = entry.join("Makefile");
            if makefile.is_file() && !is_source(&entry) {
                ctx.events.emit(Event::Finding(Finding {
                    id: "RCP006",
                    severity: Severity::Warning,
                    place: Some(makefile.to_string()),
                    what: "this OpenWrt package is not built".into(),
                    why: "in a folder of recipes, only `*.yaml` files are read: modules, programs and files".into(),
                    fix: "give the folder with `--feed` instead of `--recipes`, and a --release whose SDK builds it"
                        .into(),
                }));
            }
        }
    }
    Ok(())
}
