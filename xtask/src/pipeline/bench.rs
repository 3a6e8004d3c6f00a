//! The guest that measures what forwarding a packet costs: its image, and its runs.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use model::cost::{Clock, Costs};
use model::{Arch, Deadline, Event, Result, Target};
use scenarios::cost;
use sdk::local::Kernel;
use vm::image;
use vm::machine::{Accel, Machine};
use vm::process::Qemu;
use vm::session::{self, Image, Launch};

use super::{provider, router};
use crate::Ctx;
use crate::cli::BenchOffloadArgs;
use crate::files::write_aside;
use crate::stage::{Inputs, stage, timed};

/// How long a command in the guest and its end may take.
const COMMAND: Duration = Duration::from_secs(60);

/// A CPU that the guest really runs on is so much faster than an emulated one; fewer packets would be over in
/// a few milliseconds.
const PACKETS_TIMES: u64 = 20;

/// What forwarding costs, in instructions, and where a guest really runs on the CPU in time as well.
pub fn bench(ctx: &Ctx, target: &Target, args: &BenchOffloadArgs) -> Result<Vec<Costs>> {
    let machine_file = router::machine_file(ctx, target);
    let mut machine = Machine::load(&machine_file)?;
    machine.append.push(format!("rdinit={}", cost::FIRST_PROCESS));
    let qemu = Qemu::find(&machine.qemu)?;
    let kernel = provider::kernel(ctx, &args.selection)?;
    let recipe = image::Recipe::embedded()?;
    let programs = provider::image_programs(ctx, &recipe.packages, &args.selection)?;
    let guest = Guest { ctx, machine: &machine, qemu: &qemu, kernel: &kernel, recipe: &recipe, programs: &programs };

    crate::facts::host(ctx);
    ctx.events.fact("QEMU", &qemu.version);
    ctx.events.fact("router", format!("stand-in, Linux {}", Kernel::open(&kernel)?.id().version));
    let deadline = Duration::from_secs(args.deadline);
    let image = guest.image(&cost::plan(args.packets, args.repeat.get()))?;
    let mut measured = vec![guest.run(&image, Accel::Counted, deadline)?];

    let probe = image.join("probe");
    let accel = router::accelerator(ctx, &qemu, &machine, &kernel.join("vmlinux"), &probe, args.accel)?;
    if accel == Accel::Kvm {
        let image = guest.image(&cost::plan(args.packets * PACKETS_TIMES, args.repeat.get()))?;
        measured.push(guest.run(&image, accel, deadline)?);
    } else {
        let why = "not measured: under emulation it swings by a third from run to run and would be no verdict";
        ctx.events.fact("throughput", why);
    }
    measured.iter().for_each(|costs| ctx.events.emit(Event::Costs(costs.clone())));
    Ok(measured)
}

/// What every run of the guest has in common.
struct Guest<'a> {
    ctx: &'a Ctx,
    machine: &'a Machine,
    qemu: &'a Qemu,
    kernel: &'a Utf8Path,
    recipe: &'a image::Recipe,
    programs: &'a Utf8Path,
}

impl Guest<'_> {
    /// The image with this plan in it.
    fn image(&self, plan: &str) -> Result<Utf8PathBuf> {
        let Guest { ctx, kernel, recipe, programs, .. } = self;
        let inputs = Inputs::new("image of the measuring guest")
            .stage("kernel", kernel)
            .stage("programs", programs)
            .text("plan", plan)
            .path("files", ctx.root.join("tests/bench"))
            .path("cost", ctx.root.join("tests/src/cost.rs"))
            .path("local", ctx.root.join("qemu/local"))
            .path("code", ctx.root.join("qemu/src/image"));
        stage(ctx, "bench-image", &inputs, |out| {
            let kernel = Kernel::open(kernel)?;
            let modules = out.join("modules");
            let present = cost::MODULES_WHERE_PRESENT.into_iter().filter(|name| kernel.has_module(name));
            let wanted: Vec<&str> = present.chain(cost::MODULES).collect();
            let boot_modules: Vec<Utf8PathBuf> =
                kernel.take(&wanted, &modules)?.iter().map(|file| modules.join(file)).collect();
            let packages = [(*programs).to_owned()];
            let inputs = image::Inputs {
                packages: &packages,
                kernel_release: kernel.release(),
                boot_modules: &boot_modules,
                spare_modules: &[],
                kernel: kernel.id(),
                arch: &Arch(provider::ARCH.into()),
                extra: &extra(plan, out)?,
            };
            image::write(&out.join("initramfs"), &image::build(recipe, &inputs)?)?;
            image::write(&out.join("probe"), &image::probe(recipe, &packages)?)?;
            Ok(format!("{} modules", boot_modules.len()))
        })
    }

    /// Boots it, which is when it measures, and asks for what it found.
    fn run(&self, folder: &Utf8Path, accel: Accel, within: Duration) -> Result<Costs> {
        let image = Image {
            kernel: self.kernel.join("vmlinux"),
            initramfs: folder.join("initramfs"),
            ready: image::READY.into(),
        };
        let launch = Launch {
            qemu: self.qemu,
            machine: self.machine,
            image: &image,
            accel,
            links: None,
            cancel: &self.ctx.cancel,
        };
        let clock = if accel == Accel::Kvm { Clock::Time } else { Clock::Instructions };
        let name = format!("measure-{}", clock.unit());
        timed(self.ctx, &name, "in the guest, without a word from outside", || {
            let mut session = session::boot(&launch, Deadline::after(within))?;
            let mut text = |path| session.run(&["cat", path], Deadline::after(COMMAND)).map(|output| output.text());
            let (results, errors) = (text(cost::RESULTS)?, text(cost::ERRORS)?);
            self.ctx.events.line(&name, errors.trim());
            let costs = cost::read(&results, &errors, clock)?;
            session.power_off(Deadline::after(COMMAND))?;
            let packets: u64 = costs.costs.iter().map(|cost| cost.packets * cost.rounds as u64).sum();
            let summary = format!("{packets} packets forwarded");
            Ok((costs, summary))
        })
    }
}

/// The guest's own files, written beside the image.
fn extra(plan: &str, out: &Utf8Path) -> Result<Vec<image::Extra>> {
    let files = cost::FILES.into_iter().chain([(cost::PLAN, plan)]);
    files
        .map(|(path, text)| {
            let source = out.join(path.replace('/', "_"));
            write_aside(&source, text.as_bytes())?;
            let mode = if path == cost::FIRST_PROCESS { 0o755 } else { 0o644 };
            Ok(image::Extra { path: path.into(), source, mode })
        })
        .collect()
}
