//! What was asked for, resolved once: stages take it, and nobody asks the command line again.

use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Event, Exit, Failure, Finding, Problem, Result, Severity, Target, UnknownTarget};
use sdk::Recipes;
use vm::machine::Machine;

use super::ports::{self, Port};
use super::provider::Provider;
use super::release::Release;
use super::stand_in::StandIn;
use crate::cli::{Kernel, Selection};
use crate::doctor::{self, Need, Purpose};
use crate::feed_config::FeedConfig;
use crate::{Ctx, upstream};

/// What is built and run.
pub struct Job {
    files: Files,
    /// Formats of packages, each once and always in the same order.
    pub(super) formats: Vec<Format>,
    /// Where kernel, packages and image come from.
    pub(super) provider: Arc<dyn Provider>,
}

/// What every job of a run reads.
#[derive(Clone)]
struct Files {
    target: Target,
    recipes: Arc<Recipes>,
    /// Those for tests among them.
    all_recipes: Arc<Recipes>,
    feed: Arc<FeedConfig>,
    machine: Utf8PathBuf,
    /// Where packages are proven, if there is no machine.
    proven_on: Option<Target>,
    /// Read when it is first asked for: packages need none.
    read_machine: Arc<OnceLock<Machine>>,
}

impl Job {
    /// The job that is selected.
    ///
    /// Every file that `purpose` is going to need is read: a slip in one is told at once, not after minutes of
    /// fetching and building, and before anything is made in the cache.
    ///
    /// # Errors
    /// `USE002` for an unknown target, `USE004` for several kernels; those of the files.
    pub fn new(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<Job> {
        let mut jobs = Job::each(ctx, selection, purpose)?;
        match jobs.pop() {
            Some(job) if jobs.is_empty() => Ok(job),
            _ => Err(one_kernel(selection.kernels.len())),
        }
    }

    /// A job for each kernel that is selected.
    ///
    /// # Errors
    /// As [`Job::new`], but for a release `USE004` only: it has one kernel. `USE007` for a format that it does not have.
    pub fn each(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<Vec<Job>> {
        let (target, asked) = resolved(selection)?;
        let files = Files::read(ctx, &target, purpose)?;
        match asked {
            Asked::StandIn(port) => {
                let stand_in = |&kernel| StandIn::new(port, kernel, selection.debian_mirror.clone());
                let kernels = kernels(selection, port);
                Ok(kernels.iter().map(|kernel| files.job(formats(selection), Arc::new(stand_in(kernel)))).collect())
            }
            Asked::Release(_) if selection.kernels.len() > 1 => Err(one_kernel(selection.kernels.len())),
            Asked::Release(name) => {
                let release = Release::new(ctx, name, &target, selection.openwrt.clone())?;
                let formats = formats(selection);
                if !formats.is_empty() && !formats.contains(&release.row.format) {
                    return Err(other_format(&release));
                }
                Ok(vec![files.job(vec![release.row.format], Arc::new(release))])
            }
        }
    }

    /// A job for what is done with the stand-in only.
    ///
    /// # Errors
    /// As [`Job::new`], and `USE003` when a release is selected.
    pub fn stand_in(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<(Job, Arc<StandIn>)> {
        let (target, asked) = resolved(selection)?;
        let port = match asked {
            Asked::StandIn(port) => port,
            Asked::Release(release) => return Err(stand_in_only(release)),
        };
        let files = Files::read(ctx, &target, purpose)?;
        let [kernel] = kernels(selection, port)[..] else { return Err(one_kernel(selection.kernels.len())) };
        let stand_in = Arc::new(StandIn::new(port, kernel, selection.debian_mirror.clone()));
        Ok((files.job(formats(selection), stand_in.clone()), stand_in))
    }

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
        files.job(self.formats.clone(), self.provider.clone())
    }

    /// What for.
    pub(super) fn target(&self) -> &Target {
        &self.files.target
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
    fn read(ctx: &Ctx, target: &Target, purpose: Purpose) -> Result<Files> {
        let recipes = Recipes::load(&ctx.recipes)?;
        tell_of_makefiles(ctx, &recipes)?;
        let files = Files {
            target: target.clone(),
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

    fn job(&self, formats: Vec<Format>, provider: Arc<dyn Provider>) -> Job {
        Job { files: self.clone(), formats, provider }
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

/// The target that was asked for; which ones a release has is the matrix's to say.
///
/// # Errors
/// `USE002` for a text that is no target, with the nearest target; and for a target without a stand-in if no release is
/// asked for.
pub fn target(selection: &Selection) -> Result<Target> {
    resolved(selection).map(|(target, _asked)| target)
}

/// Where everything is asked to come from.
enum Asked<'a> {
    StandIn(&'static Port),
    Release(&'a str),
}

fn resolved(selection: &Selection) -> Result<(Target, Asked<'_>)> {
    let word = selection.target.as_str();
    let target: Target = word.parse().map_err(|error: UnknownTarget| unknown_target(word, error.to_string()))?;
    let asked = match &selection.openwrt.release {
        None => Asked::StandIn(port(&target)?),
        Some(release) => Asked::Release(release),
    };
    Ok((target, asked))
}

/// What a target's stand-in is made of.
fn port(target: &Target) -> Result<&'static Port> {
    let asked = target.to_string();
    let port = ports::ALL.iter().find(|port| port.target == asked);
    port.ok_or_else(|| unknown_target(&asked, "no machine is described for it".into()))
}

fn unknown_target(asked: &str, why: String) -> Failure {
    let targets = ports::ALL.map(|port| port.target);
    let likeness = |target: &&str| strsim::jaro(target, asked);
    let nearest =
        targets.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other))).unwrap_or_default();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE002",
        what: format!("unknown target `{asked}`"),
        why,
        fix: format!("the nearest is `--target {nearest}`; there are: {}", targets.join(", ")),
    })
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

/// A release where only the stand-in will do.
fn stand_in_only(release: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE003",
        what: format!("this is done with the stand-in, and OpenWrt {release} was asked for"),
        why: "`ci` checks this source tree, and `bench offload` measures with a guest of its own",
        fix: "leave --release away, or use it with `build`, `lint`, `feed`, `boot` and `test`",
    })
}

/// Several kernels where one is worked on at a time.
fn one_kernel(asked: usize) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE004",
        what: format!("{asked} kernels were asked for, and this is done for one at a time"),
        why: "only `test` runs on several kernels in one go, and a release has one of its own",
        fix: "give one line with --kernel: 6.1, 6.12 or newest; with --release none",
    })
}

fn other_format(release: &Release) -> Failure {
    let row = &release.row;
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE007",
        what: format!("OpenWrt {} makes {} packages, and only others were asked for", row.release, row.format),
        why: "the SDK of a release makes packages for its own package manager",
        fix: format!("leave --format away, or give `--format {}`", row.format),
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
                    why: "a folder of recipes is read for its `*.yaml` files: modules of the kernel or from a source that they name, and programs of this workspace".into(),
                    fix: "build it with the release's SDK itself; `cargo xtask lint` and `feed merge` take packages of any origin".into(),
                }));
            }
        }
    }
    Ok(())
}

/// The kernel lines that were asked for, or the one that the target's stand-in has by default.
fn kernels(selection: &Selection, port: &Port) -> Vec<Kernel> {
    let default = port.suites.first().map(|(line, _)| *line);
    if selection.kernels.is_empty() { default.into_iter().collect() } else { selection.kernels.clone() }
}

/// The formats that were asked for, each once and always in the same order.
fn formats(selection: &Selection) -> Vec<Format> {
    Format::ALL.into_iter().filter(|format| selection.formats.contains(format)).collect()
}

#[cfg(test)]
mod tests;
