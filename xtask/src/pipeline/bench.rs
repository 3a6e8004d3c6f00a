//! The guest that measures what forwarding a packet costs: its image, and its runs.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::cost::{Clock, Costs};
use model::{Accel, Arch, Deadline, Event, Failure, Result};
use scenarios::cost;
use vm::guest::Guest as _;
use vm::image;
use vm::machine::Machine;
use vm::process::Qemu;
use vm::session::{self, Image, Launch};

use super::at_once::both;
use super::job::Job;
use super::router;
use super::stages::{BENCH_IMAGE, MEASURED};
use super::stand_in::{StandIn, Standing};
use crate::Ctx;
use crate::cli::{BENCH_PACKETS, BENCH_ROUNDS, BenchOffloadArgs};
use crate::stage::{self, Inputs, stage, timed};

/// How long a command in the guest and its end may take.
const COMMAND: Duration = Duration::from_secs(60);

/// The file that counts of instructions are kept in.
const RESULTS: &str = "results";

/// A CPU that the guest really runs on is so much faster than an emulated one; fewer packets would be over in
/// a few milliseconds.
const PACKETS_TIMES: u64 = 20;

/// What forwarding costs, in instructions, and where a guest really runs on the CPU in time as well.
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

/// Tells the figures for this kernel if they were measured before, for the reports of other runs.
pub(super) fn tell_known(ctx: &Ctx, job: &Job, stand_in: &StandIn) -> Result<()> {
    let guest = Guest::new(ctx, job, stand_in)?;
    if let Some(costs) = guest.known(&cost::plan(BENCH_PACKETS, BENCH_ROUNDS.get()))? {
        guest.tell(costs);
    }
    Ok(())
}

/// What every run of the guest has in common.
struct Guest<'a> {
    ctx: &'a Ctx,
    machine: Machine,
    machine_file: &'a Utf8Path,
    qemu: Qemu,
    standing: Arc<Standing>,
    arch: Arch,
    recipe: image::Recipe,
    programs: Utf8PathBuf,
}

impl<'a> Guest<'a> {
    fn new(ctx: &'a Ctx, job: &'a Job, stand_in: &StandIn) -> Result<Self> {
        let mut machine = job.machine()?.clone();
        machine.append.push(format!("rdinit={}", cost::FIRST_PROCESS));
        let qemu = Qemu::find(&machine.qemu)?;
        let recipe = image::Recipe::embedded()?;
        let programs = |ctx: &Ctx| stand_in.image_programs(ctx, &recipe);
        let (standing, programs) = both(ctx, |ctx| stand_in.kernel(ctx), programs)?;
        let (machine_file, arch) = (job.machine_file(), stand_in.arch());
        Ok(Guest { ctx, machine, machine_file, qemu, standing, arch, recipe, programs })
    }

    /// The version of the kernel.
    fn version(&self) -> &str {
        &self.standing.kernel.id().version
    }

    /// Tells reports the figures of this kernel: a run may have several.
    fn tell(&self, costs: Costs) {
        self.ctx.events.emit(Event::Costs(Costs { kernel: self.version().to_owned(), ..costs }));
    }

    fn image_inputs(&self, plan: &str) -> Inputs {
        Inputs::new("image of the measuring guest")
            .stage("kernel", &self.standing.folder)
            .stage("programs", &self.programs)
            .text("plan", plan)
    }

    /// The image with this plan in it.
    fn image(&self, plan: &str) -> Result<Utf8PathBuf> {
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
                extra: &extra(plan, out)?,
            };
            aside::write(&out.join("initramfs"), image::build(&self.recipe, &inputs)?)?;
            aside::write(&out.join("probe"), image::probe(&self.recipe, &packages)?)?;
            Ok(format!("{} modules", boot_modules.len()))
        })
    }

    /// Everything that a count of instructions depends on: the same inputs give the same figures, so they are kept.
    fn counted_inputs(&self, plan: &str) -> Inputs {
        self.image_inputs(plan).path("machine", self.machine_file).text("qemu", &self.qemu.version)
    }

    /// Counts instructions, if nobody has yet.
    fn counted(&self, plan: &str, within: Duration) -> Result<Costs> {
        let folder = stage(self.ctx, &MEASURED, &self.counted_inputs(plan), |out| {
            let said = self.run(plan, Accel::Counted, within)?;
            // Figures that mean nothing are not kept.
            let costs = cost::read(&said.results, &said.errors, Clock::Instructions)?;
            aside::write(&out.join(RESULTS), said.results.as_bytes())?;
            Ok(summary(&costs))
        })?;
        kept(&folder)
    }

    /// What was counted before.
    fn known(&self, plan: &str) -> Result<Option<Costs>> {
        stage::known(self.ctx, &MEASURED, &self.counted_inputs(plan))?.map(|folder| kept(&folder)).transpose()
    }

    /// Measures time, which is another one in every run.
    fn timed(&self, plan: &str, within: Duration) -> Result<Costs> {
        timed(self.ctx, "measured-time", "cost of a packet, on the host's CPU", || {
            let said = self.run(plan, Accel::Kvm, within)?;
            let costs = cost::read(&said.results, &said.errors, Clock::Time)?;
            let summary = summary(&costs);
            Ok((costs, summary))
        })
    }

    /// Boots the guest, which is when it measures, and asks for what it found.
    fn run(&self, plan: &str, accel: Accel, within: Duration) -> Result<Said> {
        let initramfs = self.image(plan)?.join("initramfs");
        let image = Image::in_memory(self.standing.vmlinux(), initramfs, image::READY);
        let (qemu, machine, cancel) = (&self.qemu, &self.machine, &self.ctx.cancel);
        let launch = Launch { qemu, machine, image: &image, accel, links: None, cancel };
        let mut session = session::boot(&launch, Deadline::after(within))?;
        let mut text = |path| session.run(&["cat", path], Deadline::after(COMMAND)).map(|output| output.text());
        let said = Said { results: text(cost::RESULTS)?, errors: text(cost::ERRORS)? };
        session.power_off(Deadline::after(COMMAND))?;
        Ok(said)
    }
}

/// What the guest said.
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

/// The guest's own files, written beside the image.
fn extra(plan: &str, out: &Utf8Path) -> Result<Vec<image::Extra>> {
    let files = cost::FILES.into_iter().chain([(cost::PLAN, plan)]);
    files
        .map(|(path, text)| {
            let source = out.join(path.replace('/', "_"));
            aside::write(&source, text.as_bytes())?;
            let mode = if path == cost::FIRST_PROCESS { 0o755 } else { 0o644 };
            Ok(image::Extra { path: path.into(), source, mode })
        })
        .collect()
}
