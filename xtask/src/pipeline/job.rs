//! What was asked for, resolved once, and the provider that it comes from: stages take it, and nobody asks the command
//! line again.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Digest, Event, Exit, Failure, Finding, Problem, Result, Severity, Target};
use sdk::Recipes;
use vm::machine::Machine;

use super::bootable::Bootable;
use super::brought::{self, Brought};
use super::packages::Packages;
use crate::doctor::{self, Need, Purpose};
use crate::feed_config::FeedConfig;
use crate::stage::Inputs;
use crate::{Ctx, Outcome, upstream};

pub(super) use vm::guest::Origin;

/// What is built and run.
#[derive(Clone)]
pub struct Job {
    files: Files,
    /// Formats of packages, each once and always in the same order.
    pub(super) formats: Vec<Format>,
    /// Where kernel, packages and image come from.
    pub(super) provider: Arc<dyn Provider>,
    brought: Vec<Brought>,
}

/// What every job of a run reads.
#[derive(Clone)]
pub(super) struct Files {
    target: Target,
    recipes: Arc<Recipes>,
    brought: Arc<Vec<Brought>>,
    /// Those for tests among them.
    all_recipes: Arc<Recipes>,
    feed: Arc<FeedConfig>,
    machine: Utf8PathBuf,
    /// Where packages are proven, if there is no machine.
    proven_on: Option<Target>,
    /// Read when it is first asked for: packages need none.
    read_machine: Arc<OnceLock<Machine>>,
}

/// Where kernel, packages and image come from, one answer for each question: the stand-in, made of Debian's packages, or a release of OpenWrt.
pub(super) trait Provider: Send + Sync {
    /// What routers of it are.
    fn origin(&self) -> Origin;

    /// Whether there is a card that offloads for its routers: the driver was tried on their kernels, and is compiled there.
    fn has_card(&self) -> bool {
        false
    }

    /// What it needs on this host.
    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>>;

    /// What its routers are.
    fn arch(&self) -> Arch;

    /// The kernel line that they run: as on the command line, or the release's.
    fn kernel_line(&self) -> String;

    /// Names of the packages that every router of it has, as far as they are known beforehand.
    fn image_packages(&self) -> Result<Option<BTreeSet<String>>>;

    /// Every recipe as a checked package.
    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages>;

    /// Everything that goes into the packages, told without making them; the recipes are the caller's.
    fn goes_in(&self, ctx: &Ctx, inputs: Inputs) -> Result<Inputs>;

    /// What its packages are published as: line, target and release.
    fn row(&self, job: &Job) -> [String; 3];

    /// What the packages were made from: where it is from, and the digest of its file.
    fn materials(&self, ctx: &Ctx) -> Result<Vec<(String, Digest)>>;

    /// What is booted.
    fn image(&self, ctx: &Ctx, job: &Job) -> Result<Bootable>;

    /// Compares packages with what is published of it; differences are listed by file.
    fn compare(&self, ctx: &Ctx, packages: &Packages) -> Result<Outcome>;

    /// Tells what is known about the cost of forwarding from earlier runs.
    fn tell_costs(&self, ctx: &Ctx, job: &Job) -> Result<()>;
}

impl Job {
    /// Makes sure that this host can do the job.
    ///
    /// # Errors
    /// `HOST…` with the command that installs what is missing.
    pub fn require(&self, ctx: &Ctx, purpose: Purpose) -> Result<()> {
        doctor::require_all(ctx, &self.provider.needs(self, purpose)?)
    }

    /// The same with packages that are for tests only.
    pub(super) fn with_test_packages(&self) -> Job {
        let files = Files { recipes: self.files.all_recipes.clone(), ..self.files.clone() };
        let (formats, provider) = (self.formats.clone(), self.provider.clone());
        Job { files, formats, provider, brought: self.brought.clone() }
    }

    /// The same without these kmods.
    pub(super) fn without(&self, kmods: &BTreeSet<String>) -> Job {
        let (recipes, all) = (self.files.recipes.without(kmods), self.files.all_recipes.without(kmods));
        let files = Files { recipes: Arc::new(recipes), all_recipes: Arc::new(all), ..self.files.clone() };
        Job { files, ..self.clone() }
    }

    /// What for.
    pub(super) fn target(&self) -> &Target {
        &self.files.target
    }

    /// What the user brought, as far as its routers take it.
    pub(super) fn brought(&self) -> &[Brought] {
        &self.brought
    }

    /// What is built.
    pub(super) fn recipes(&self) -> &Recipes {
        &self.files.recipes
    }

    /// The feed as it is described.
    pub(super) fn feed(&self) -> &FeedConfig {
        &self.files.feed
    }

    /// What it is published as.
    pub fn row(&self) -> feeds::dist::Row {
        let [line, target, release] = self.provider.row(self);
        feeds::dist::Row { line, target, release }
    }

    /// The packages of this workspace that the recipes' programs are.
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

    /// The emulator of the machine, if `doctor` knows it; whoever starts an unknown one asks for it by name.
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
        Ok(Job { files: self.clone(), formats, provider, brought })
    }
}

/// The file that describes a target's machine.
fn machine_file(ctx: &Ctx, target: &Target) -> Utf8PathBuf {
    ctx.root.join("qemu/machines").join(format!("{}.yaml", target.slug()))
}

/// The emulator of a target's machine, as [`Job::emulator`]; none where there is no machine.
pub fn emulator(ctx: &Ctx, target: &Target) -> Result<Option<Need>> {
    let file = machine_file(ctx, target);
    if !file.exists() {
        return Ok(None);
    }
    Ok(doctor::emulator(&Machine::load(&file)?.qemu.binary))
}

/// A target whose routers run on boards that QEMU has not.
fn no_machine(target: &Target, proven_on: Option<&Target>) -> Failure {
    let on = proven_on.map_or("x86/64".to_owned(), ToString::to_string);
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE008",
        what: format!("there is no router of {target} to boot"),
        why: "QEMU has no board that its images run on; `build`, `lint` and `feed` need none",
        fix: format!("prove the packages on routers of the same instruction set: --target {on}"),
    })
}

/// Warns of OpenWrt packages beside the user's recipes: a recipe is a YAML file, and nothing is built but what one names.
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
                    why: "a folder of recipes is read for its `*.yaml` files: modules, programs and files".into(),
                    fix: "build it with the release's SDK itself, and give what comes of it with `--packages`".into(),
                }));
            }
        }
    }
    Ok(())
}
