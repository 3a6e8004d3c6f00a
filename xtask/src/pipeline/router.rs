//! The router: its image, its saved state, and a console on it.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Deadline, Exit, Result, Target};
use scenarios::Trust;
use sdk::local::Kernel;
use vm::accel;
use vm::image;
use vm::lab::{Lab, Plan, Side};
use vm::machine::{Accel, Links, Machine};
use vm::process::Qemu;
use vm::session::{self, Image, Launch, Session};
use vm::state;

use super::{Feed, console, provider, publish, signed};
use crate::Ctx;
use crate::cli::{Accel as Wanted, BootArgs, Machine as Flags, Selection};
use crate::cmd::Outcome;
use crate::files::write_aside;
use crate::stage::{Inputs, stage};

/// How long one command of the user's may take, and QEMU to end.
const COMMAND: Duration = Duration::from_secs(120);

/// What the router's network cards need; kernels that have one of them built in are fine.
const NETWORK_MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Modules that lie in the image for scenarios to load: what surrounds flow offload on a router. None of netfilter's
/// is among them: those come from the packages under test.
const SPARE_MODULES: [&str; 5] = ["8021q", "bridge", "pppoe", "sch_cake", "sch_tbf"];

/// A router that can be started any number of times.
pub(super) struct Router {
    pub(super) qemu: Qemu,
    machine: Machine,
    image: Image,
    accel: Accel,
    /// How long one boot may take.
    pub(super) patience: Duration,
    /// State of a booted guest, to resume from.
    pub(super) state: Utf8PathBuf,
}

/// Boots a router that knows the feed; runs one command in it, or what is typed.
pub fn boot(ctx: &Ctx, target: &Target, args: &BootArgs) -> Result<Outcome> {
    let feed = signed(ctx, target, &args.selection)?;
    let router = prepare(ctx, target, &feed, &args.selection, &args.machine)?;
    let captures = args.machine.pcap.clone();
    let (_folder, lab) = scenarios::runner::lab(&Plan::masquerade(), captures, &ctx.cancel)?;
    let mut session = router.start(ctx, &lab)?;
    lab.serve(&feed.folder)?;
    trust(&feed)?.teach(&mut session)?;
    let outcome =
        if args.command.is_empty() { console::run(ctx, &mut session)? } else { once(&mut session, &args.command)? };
    session.power_off(Deadline::after(COMMAND))?;
    Ok(outcome)
}

fn once(session: &mut Session, command: &[String]) -> Result<Outcome> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = session.run(&words, Deadline::after(COMMAND))?;
    let mut data = output.text().trim_end().to_owned();
    if output.success() {
        return Ok(Outcome::done(data));
    }
    data.push_str(&format!("\n(exit code {} in the router)", output.code));
    Ok(Outcome { exit: Exit::Failed, data })
}

/// What a router must know to install from the feed.
pub(super) fn trust(feed: &Feed) -> Result<Trust> {
    let sources =
        publish::sources(&feed.name, scenarios::FEED_URL).map(|(_, file, line)| (file.to_owned(), line + "\n"));
    let keys = feed.keys.public_files()?.into_iter().map(|key| (key.path(), key.text));
    Ok(Trust { files: sources.into_iter().chain(keys).collect() })
}

/// The file that describes the target's router.
pub(super) fn machine_file(ctx: &Ctx, target: &Target) -> Utf8PathBuf {
    ctx.root.join("qemu/machines").join(format!("{}.yaml", target.slug()))
}

/// Image, accelerator and saved state of the target's router.
pub(super) fn prepare(ctx: &Ctx, target: &Target, feed: &Feed, selection: &Selection, flags: &Flags) -> Result<Router> {
    let machine_file = machine_file(ctx, target);
    let machine = Machine::load(&machine_file)?;
    let qemu = Qemu::find(&machine.qemu)?;
    let recipe = image::Recipe::embedded()?;
    let programs = provider::image_programs(ctx, &recipe.packages, selection)?;
    let opkg = provider::guest_client(ctx)?;
    let kernel = &feed.packages.kernel;

    let inputs = Inputs::new(format!("stand-in image for {target}"))
        .stage("kernel", kernel)
        .stage("programs", &programs)
        .path("opkg", &opkg)
        .text("modules", [&NETWORK_MODULES[..], &SPARE_MODULES[..]].concat().join(" "))
        .path("local", ctx.root.join("qemu/local"))
        .path("code", ctx.root.join("qemu/src/image"));
    let folder = stage(ctx, "image", &inputs, |out| build_image(feed, &recipe, &programs, &opkg, out))?;
    let image = Image::in_memory(kernel.join("vmlinux"), folder.join("initramfs"), image::READY);
    let accel = accelerator(ctx, &qemu, &machine, &kernel.join("vmlinux"), &folder.join("probe"), flags.accel)?;
    let patience = Duration::from_secs(flags.boot_deadline);
    let mut router = Router { qemu, machine, image, accel, patience, state: Utf8PathBuf::new() };
    let inputs = Inputs::new(format!("booted {target} router, {}", router.accel.word()))
        .stage("kernel", kernel)
        .stage("image", &folder)
        .path("machine", &machine_file)
        .text("qemu", &router.qemu.version)
        .text("accel", router.accel.word());
    let saved = stage(ctx, "state", &inputs, |out| {
        router.state = out.join("guest");
        let (_folder, lab) = scenarios::runner::lab(&Plan::masquerade(), None, &ctx.cancel)?;
        let started = Instant::now();
        let mut session = session::boot(&router.launch(ctx, &lab), Deadline::after(patience))?;
        let booted = started.elapsed();
        state::save(&mut session, &router.state, Deadline::after(patience))?;
        let saved = started.elapsed() - booted;
        Ok(format!("booted in {:.2} s, saved in {:.2} s", booted.as_secs_f64(), saved.as_secs_f64()))
    })?;
    router.state = saved.join("guest");
    Ok(router)
}

fn build_image(
    feed: &Feed,
    recipe: &image::Recipe,
    programs: &Utf8Path,
    opkg: &Utf8Path,
    out: &Utf8Path,
) -> Result<String> {
    let kernel = Kernel::open(&feed.packages.kernel)?;
    let take = |names: &[&str], folder: &str| -> Result<Vec<Utf8PathBuf>> {
        let folder = out.join(folder);
        Ok(kernel.take(names, &folder)?.iter().map(|file| folder.join(file)).collect())
    };
    let (boot_modules, spare_modules) = (take(&NETWORK_MODULES, "modules")?, take(&SPARE_MODULES, "spare-modules")?);
    let packages = [programs.to_owned()];
    let mut extra = vec![image::Extra { path: "/bin/opkg".into(), source: opkg.to_owned(), mode: 0o755 }];
    // opkg's view of the running kernel is the image's own; apk's database is its client's to write.
    for (path, text) in client::apk::image_state(&kernel.id().package_version(), &feed.packages.arch.0) {
        let source = out.join(path.replace('/', "_"));
        write_aside(&source, text.as_bytes())?;
        extra.push(image::Extra { path: path.into(), source, mode: 0o644 });
    }
    let inputs = image::Inputs {
        packages: &packages,
        kernel_release: kernel.release(),
        boot_modules: &boot_modules,
        spare_modules: &spare_modules,
        kernel: kernel.id(),
        arch: &feed.packages.arch,
        extra: &extra,
    };
    let bytes = image::build(recipe, &inputs)?;
    image::write(&out.join("initramfs"), &bytes)?;
    image::write(&out.join("probe"), &image::probe(recipe, &packages)?)?;
    Ok(format!("{} MiB initramfs, a stand-in for an OpenWrt image", bytes.len() >> 20))
}

impl Router {
    fn launch<'a>(&'a self, ctx: &'a Ctx, lab: &'a Lab) -> Launch<'a> {
        Launch {
            qemu: &self.qemu,
            machine: &self.machine,
            image: &self.image,
            accel: self.accel,
            links: Some(Links { lan: lab.socket(Side::Lan), wan: lab.socket(Side::Wan) }),
            cancel: &ctx.cancel,
        }
    }

    /// A fresh router: resumed from the saved state, or booted when QEMU refuses that.
    pub(super) fn start(&self, ctx: &Ctx, lab: &Lab) -> Result<Session> {
        state::resume_or_boot(&self.launch(ctx, lab), &self.state, self.patience, &ctx.events)
    }

    /// Resumed from another saved state of this router, or not at all.
    pub(super) fn resume(&self, ctx: &Ctx, lab: &Lab, state: &Utf8Path) -> Result<Session> {
        state::resume(&self.launch(ctx, lab), state, Deadline::after(self.patience))
    }
}

/// KVM where the kernel really runs in it, else emulation; says which and why.
pub(super) fn accelerator(
    ctx: &Ctx,
    qemu: &Qemu,
    machine: &Machine,
    kernel: &Utf8Path,
    image: &Utf8Path,
    wanted: Wanted,
) -> Result<Accel> {
    let wanted = match wanted {
        Wanted::Auto => accel::Wanted::Auto,
        Wanted::Kvm => accel::Wanted::Kvm,
        Wanted::Tcg => accel::Wanted::Tcg,
    };
    // The stage's key stands for the kernel's content.
    let digest = kernel.parent().and_then(Utf8Path::file_name).unwrap_or_default();
    let choice = accel::choose(
        wanted,
        &accel::Probe {
            qemu,
            machine,
            image: &Image::in_memory(kernel.into(), image.into(), image::PROBE_READY),
            kernel_digest: digest,
            cache: &ctx.cache.join("accel"),
            device: "/dev/kvm".into(),
            cancel: &ctx.cancel,
        },
    )?;
    let chosen = format!("{}: {}", choice.accel.word(), choice.why);
    ctx.events.fact("accelerator", &chosen);
    ctx.events.notice("accel", chosen);
    Ok(choice.accel)
}
