//! The guest that measures the cost of forwarding a packet: its image and its runs.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::cost::{Clock, Costs};
use model::{Accel, Arch, Deadline, Digest, Event, Failure, Result};
use scenarios::cost;
use sdk::local::BuildRoot;
use sdk::recipe::Source;
use vm::guest::Guest as _;
use vm::image;
use vm::machine::Machine;
use vm::process::Qemu;
use vm::session::{self, Image, Launch};

use super::at_once::both;
use super::installed::CARD;
use super::job::Job;
use super::modules;
use super::packages::files;
use super::router;
use super::stages::{BENCH_IMAGE, MEASURED};
use super::stand_in::{StandIn, Standing};
use crate::Ctx;
use crate::cli::{BENCH_PACKETS, BENCH_ROUNDS, BenchOffloadArgs};
use crate::stage::{self, Inputs, stage, timed};

/// Deadline for a command in the guest, and for its shutdown.
const COMMAND: Duration = Duration::from_secs(60);

/// The file with the results of counted instructions.
const RESULTS: &str = "results";

/// How many more packets are sent on a real CPU, which is so much faster than an emulated one that fewer would take
/// only milliseconds.
const PACKETS_TIMES: u64 = 20;

/// Measures the cost of forwarding in instructions, and also in time if the guest runs on a real CPU.
pub fn bench(ctx: &Ctx, job: &Job, stand_in: &StandIn, args: &BenchOffloadArgs) -> Result<Vec<Costs>> {
    let guest = Guest::new(ctx, job, stand_in)?;
    crate::facts::host(ctx);
    ctx.events.fact("QEMU", &guest.qemu.version);
    ctx.events.fact("router", format!("stand-in, Linux {}", guest.version()));

    let deadline = Duration::from_secs(args.deadline);
    let plan = cost::plan(args.packets, args.repeat.get());
    let mut measured = vec![guest.counted(&plan, deadline)?];
    let probe = Image::in_memory(guest.standing.vmlinux(), guest.image(&plan)?.join("probe"), image::PROBE_READY);
    let accel = router::accelerator(ctx, &guest.qemu, &guest.machine, &probe, &guest.standing.folder, args.accel)?;
    if accel == Accel::Kvm {
        measured.push(guest.timed(&cost::plan(args.packets * PACKETS_TIMES, args.repeat.get()), deadline)?);
    } else {
        let why = "not measured: under emulation it swings by a third from run to run and would be no verdict";
        ctx.events.fact("throughput", why);
    }
    measured.iter().for_each(|costs| guest.tell(costs.clone()));
    Ok(measured)
}

/// Reports earlier figures for this kernel, if there are any, for the reports of other runs.
pub(super) fn tell_known(ctx: &Ctx, job: &Job, stand_in: &StandIn) -> Result<()> {
    let guest = Guest::new(ctx, job, stand_in)?;
    if let Some(costs) = guest.known(&cost::plan(BENCH_PACKETS, BENCH_ROUNDS.get()))? {
        guest.tell(costs);
    }
    Ok(())
}

/// What all runs of the guest share.
struct Guest<'a> {
    ctx: &'a Ctx,
    machine: Machine,
    machine_file: &'a Utf8Path,
    qemu: Qemu,
    standing: Arc<Standing>,
    arch: Arch,
    recipe: image::Recipe,
    programs: Utf8PathBuf,
    /// Compiles the driver of the offloading card, if this host can.
    card: Option<Card<'a>>,
}

/// The card's driver: its source, and the means to compile it.
struct Card<'a> {
    source: Digest,
    job: Job,
    stand_in: &'a StandIn,
}

impl<'a> Card<'a> {
    fn new(ctx: &Ctx, job: &Job, stand_in: &'a StandIn) -> Result<Option<Self>> {
        if !job.provider.has_card() || BuildRoot::may_enter(&ctx.cancel).is_err() {
            return Ok(None);
        }
        let job = job.with_test_packages();
        let source = job.recipes().kmods.get(CARD).and_then(|kmod| kmod.source.as_ref());
        let Some(source) = source.map(Source::digest).transpose()? else { return Ok(None) };
        Ok(Some(Card { source, job, stand_in }))
    }

    /// The driver, compiled for the kernel.
    fn module(&self, ctx: &Ctx) -> Result<Option<Utf8PathBuf>> {
        let compiled = modules::compiled(ctx, self.stand_in, &self.job)?;
        Ok(compiled.get(CARD).map(|folder| files(folder, ".ko")).transpose()?.and_then(|mut files| files.pop()))
    }
}

impl<'a> Guest<'a> {
    fn new(ctx: &'a Ctx, job: &'a Job, stand_in: &'a StandIn) -> Result<Self> {
        let mut machine = job.machine()?.clone();
        machine.append.push(format!("rdinit={}", cost::FIRST_PROCESS));
        let qemu = Qemu::find(&machine.qemu)?;
        let recipe = image::Recipe::embedded()?;
        let programs = |ctx: &Ctx| stand_in.image_programs(ctx, &recipe);
        let (standing, programs) = both(ctx, |ctx| stand_in.kernel(ctx), programs)?;
        let (machine_file, arch) = (job.machine_file(), stand_in.arch());
        let card = Card::new(ctx, job, stand_in)?;
        Ok(Guest { ctx, machine, machine_file, qemu, standing, arch, recipe, programs, card })
    }

    /// The version of the kernel.
    fn version(&self) -> &str {
        &self.standing.kernel.id().version
    }

    /// Adds this kernel's figures to the reports; a run may have several kernels.
    fn tell(&self, costs: Costs) {
        self.ctx.events.emit(Event::Costs(Costs { kernel: self.version().to_owned(), ..costs }));
    }

    fn image_inputs(&self, plan: &str) -> Inputs {
        Inputs::new("image of the measuring guest")
            .stage("kernel", &self.standing.folder)
            .stage("programs", &self.programs)
            .text("card", self.card.as_ref().map_or("none".into(), |card| card.source.to_string()))
            .text("plan", plan)
    }

    /// The image that contains this plan.
    fn image(&self, plan: &str) -> Result<Utf8PathBuf> {
        let card = self.card.as_ref().map_or(Ok(None), |card| card.module(self.ctx))?;
        stage(self.ctx, &BENCH_IMAGE, &self.image_inputs(plan), |out| {
            let kernel = &self.standing.kernel;
            let modules = out.join("modules");
            let present = cost::MODULES_WHERE_PRESENT.into_iter().filter(|name| kernel.has_module(name));
            let wanted: Vec<&str> = present.chain(cost::MODULES).collect();
            let boot_modules: Vec<Utf8PathBuf> =
                kernel.take(&wanted, &modules)?.iter().map(|file| modules.join(file)).collect();
            let packages = [self.programs.clone()];
            let inputs = image::Inputs {
                packages: &packages,
                kernel_release: kernel.release(),
                boot_modules: &boot_modules,
                spare_modules: &[],
                kernel: kernel.id(),
                arch: &self.arch,
                target: "",
                extra: &extra(plan, card, out)?,
            };
            aside::write(&out.join("initramfs"), image::build(&self.recipe, &inputs)?)?;
            aside::write(&out.join("probe"), image::probe(&self.recipe, &packages)?)?;
            Ok(format!("{} modules", boot_modules.len()))
        })
    }

    /// Everything that affects a count of instructions: equal inputs give equal figures, so they are cached.
    fn counted_inputs(&self, plan: &str) -> Inputs {
        self.image_inputs(plan).path("machine", self.machine_file).text("qemu", &self.qemu.version)
    }

    /// Counts instructions, unless that was done before.
    fn counted(&self, plan: &str, within: Duration) -> Result<Costs> {
        let folder = stage(self.ctx, &MEASURED, &self.counted_inputs(plan), |out| {
            let said = self.run(plan, Accel::Counted, within)?;
            // Figures without meaning are not cached.
            let costs = cost::read(&said.results, &said.errors, Clock::Instructions)?;
            aside::write(&out.join(RESULTS), said.results.as_bytes())?;
            Ok(summary(&costs))
        })?;
        kept(&folder)
    }

    /// Earlier counts.
    fn known(&self, plan: &str) -> Result<Option<Costs>> {
        stage::known(self.ctx, &MEASURED, &self.counted_inputs(plan))?.map(|folder| kept(&folder)).transpose()
    }

    /// Measures time, which differs in every run.
    fn timed(&self, plan: &str, within: Duration) -> Result<Costs> {
        timed(self.ctx, "measured-time", "cost of a packet, on the host's CPU", || {
            let said = self.run(plan, Accel::Kvm, within)?;
            let costs = cost::read(&said.results, &said.errors, Clock::Time)?;
            let summary = summary(&costs);
            Ok((costs, summary))
        })
    }

    /// Boots the guest, which measures at boot, and reads its results.
    fn run(&self, plan: &str, accel: Accel, within: Duration) -> Result<Said> {
        let initramfs = self.image(plan)?.join("initramfs");
        let image = Image::in_memory(self.standing.vmlinux(), initramfs, image::READY);
        let (qemu, machine, cancel) = (&self.qemu, &self.machine, &self.ctx.cancel);
        let launch = Launch { qemu, machine, image: &image, accel, links: None, saved: false, cancel };
        let mut session = session::boot(&launch, Deadline::after(within))?;
        let mut text = |path| session.run(&["cat", path], Deadline::after(COMMAND)).map(|output| output.text());
        let said = Said { results: text(cost::RESULTS)?, errors: text(cost::ERRORS)? };
        session.power_off(Deadline::after(COMMAND))?;
        Ok(said)
    }
}

/// The guest's results.
struct Said {
    results: String,
    errors: String,
}

fn kept(folder: &Utf8Path) -> Result<Costs> {
    let path = folder.join(RESULTS);
    let results =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read the figures of a guest", &path, &error))?;
    cost::read(&results, "", Clock::Instructions)
}

fn summary(costs: &Costs) -> String {
    let packets: u64 = costs.costs.iter().map(|cost| cost.packets * cost.rounds as u64).sum();
    format!("{packets} packets forwarded")
}

/// The files that are added to the image, and the card's driver.
fn extra(plan: &str, card: Option<Utf8PathBuf>, out: &Utf8Path) -> Result<Vec<image::Extra>> {
    let card = card.map(|source| Ok(image::Extra { path: cost::CARD.into(), source, mode: 0o644 }));
    let files = cost::FILES.into_iter().chain([(cost::PLAN, plan)]);
    files
        .map(|(path, text)| {
            let source = out.join(path.replace('/', "_"));
            aside::write(&source, text.as_bytes())?;
            let mode = if path == cost::FIRST_PROCESS { 0o755 } else { 0o644 };
            Ok(image::Extra { path: path.into(), source, mode })
        })
        .chain(card)
        .collect()
}
