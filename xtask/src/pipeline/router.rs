//! The router: its image, its saved state, and a console on it.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Accel, Deadline, Event, Exit, Failure, Result, WantedAccel};
use scenarios::Trust;
use vm::accel;
use vm::guest::Guest;
use vm::lab::{Lab, Plan, Side};
use vm::machine::{Links, Machine};
use vm::openwrt;
use vm::process::Qemu;
use vm::session::{self, Image, Launch, Session};
use vm::state;

use super::at_once::both;
use super::bootable::Bootable;
use super::feed::{Feed, signed};
use super::job::Job;
use super::stages::STATE;
use super::{console, official, publish};
use crate::cli::{BootArgs, Machine as Flags};
use crate::stage::{Inputs, stage};
use crate::{Ctx, Outcome};

/// Name of the file with a saved state, in the stage's folder.
const GUEST: &str = "guest";

/// Deadline of a command of the user's, and of QEMU's exit.
const COMMAND: Duration = Duration::from_secs(120);

/// A router that can be started any number of times.
pub(super) struct Router {
    pub(super) qemu: Qemu,
    machine: Machine,
    pub(super) guest: Bootable,
    accel: Accel,
    /// Deadline of a boot.
    pub(super) patience: Duration,
    /// The saved state of a booted guest, to resume from.
    pub(super) state: Utf8PathBuf,
}

/// Boots a router that knows the feed; runs one command in it, or the lines that are typed.
pub fn boot(ctx: &Ctx, job: &Job, args: &BootArgs) -> Result<Outcome> {
    let (feed, router) = with_feed(ctx, job, &args.machine)?;
    let captures = args.machine.pcap.clone();
    let lab = scenarios::listening(&router.first_plan(), captures, &ctx.cancel)?;
    let mut session = router.start(ctx, &lab)?;
    lab.serve(&feed.folder)?;
    trust(&feed)?.teach(&mut session)?;
    let outcome =
        if args.command.is_empty() { console::run(ctx, &mut session)? } else { once(&mut session, &args.command)? };
    session.power_off(Deadline::after(COMMAND))?;
    Ok(outcome)
}

fn once(guest: &mut dyn Guest, command: &[String]) -> Result<Outcome> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = guest.run(&words, Deadline::after(COMMAND))?;
    let mut data = output.text().trim_end().to_owned();
    if output.success() {
        return Ok(Outcome::done(data));
    }
    data.push_str(&format!("\n(exit code {} in the router)", output.code));
    Ok(Outcome { exit: Exit::Failed, data })
}

/// What a router needs to know to install from the feed.
pub(super) fn trust(feed: &Feed) -> Result<Trust> {
    let sources = publish::sources(&feed.name, scenarios::FEED_URL, &feed.kernel())
        .map(|(_, file, line)| (file.to_owned(), line + "\n"));
    let keys = feed.keys.public_files()?.into_iter().map(|key| (key.path(), key.text));
    Ok(Trust { files: sources.into_iter().chain(keys).collect() })
}

/// The signed feed, and a router for it.
pub(super) fn with_feed(ctx: &Ctx, job: &Job, flags: &Flags) -> Result<(Feed, Router)> {
    // Problems of packages from elsewhere are reported before anything is booted.
    let (feed, router) = if job.brought().is_empty() {
        both(ctx, |ctx| signed(ctx, job), |ctx| prepare(ctx, job, flags))?
    } else {
        (signed(ctx, job)?, prepare(ctx, job, flags)?)
    };
    official::same_kernel(&router.guest, &feed.packages.kernel_version)?;
    Ok((feed, router))
}

/// Image, accelerator and saved state of the target's router.
fn prepare(ctx: &Ctx, job: &Job, flags: &Flags) -> Result<Router> {
    let machine = job.machine()?.clone();
    let qemu = Qemu::find(&machine.qemu)?;
    let guest = job.provider.image(ctx, job)?;
    let accel = accelerator(ctx, &qemu, &machine, &guest.probe, &guest.kernel, flags.accel)?;
    let patience = Duration::from_secs(flags.boot_deadline);
    let mut router = Router { qemu, machine, guest, accel, patience, state: Utf8PathBuf::new() };
    let inputs = Inputs::new(format!("booted {} router, {}", job.target(), router.accel.word()))
        .stage("kernel", &router.guest.kernel)
        .stage("image", &router.guest.folder)
        .path("machine", job.machine_file())
        .text("qemu", &router.qemu.version)
        .text("accel", router.accel.word());
    let saved = stage(ctx, &STATE, &inputs, |out| {
        let started = Instant::now();
        let lab = scenarios::listening(&router.first_plan(), None, &ctx.cancel)?;
        let mut session = router.boot(ctx, &lab)?;
        session.begin_kernel_log(Deadline::after(COMMAND))?;
        let booted = started.elapsed();
        state::save(&mut session, &out.join(GUEST), Deadline::after(patience))?;
        let saved = started.elapsed() - booted;
        Ok(format!("booted in {:.2} s, saved in {:.2} s", booted.as_secs_f64(), saved.as_secs_f64()))
    })?;
    router.state = saved.join(GUEST);
    Ok(router)
}

/// The sockets to which QEMU connects the router's cards.
fn links(lab: &Lab) -> Option<Links<'_>> {
    Some(Links { lan: lab.socket(Side::Lan)?, wan: lab.socket(Side::Wan)? })
}

impl Router {
    fn launch<'a>(&'a self, ctx: &'a Ctx, lab: &'a Lab, saved: bool) -> Launch<'a> {
        Launch {
            qemu: &self.qemu,
            machine: &self.machine,
            image: &self.guest.image,
            accel: self.accel,
            links: links(lab),
            saved,
            cancel: &ctx.cancel,
        }
    }

    /// The lab's first plan while a router boots: an official image asks for its WAN address.
    fn first_plan(&self) -> Plan {
        if self.guest.wiring.is_some() { Plan::leasing() } else { Plan::masquerade() }
    }

    /// Boots the router and configures it for the lab, to be saved.
    fn boot(&self, ctx: &Ctx, lab: &Lab) -> Result<Session> {
        let mut session = session::boot(&self.launch(ctx, lab, true), Deadline::after(self.patience))?
            .that_is(self.guest.about.clone());
        if let Some(wiring) = &self.guest.wiring {
            openwrt::provision(&mut session, wiring, &ctx.cancel, Deadline::after(self.patience))?;
        }
        Ok(session)
    }

    /// A fresh router: resumed from the saved state, or booted when QEMU refuses that.
    pub(super) fn start(&self, ctx: &Ctx, lab: &Lab) -> Result<Session> {
        self.start_as(ctx, lab, false)
    }

    /// The same for a router that will be saved, with more on it.
    pub(super) fn start_to_save(&self, ctx: &Ctx, lab: &Lab) -> Result<Session> {
        self.start_as(ctx, lab, true)
    }

    fn start_as(&self, ctx: &Ctx, lab: &Lab, saved: bool) -> Result<Session> {
        if self.guest.wiring.is_none() {
            let session =
                state::resume_or_boot(&self.launch(ctx, lab, saved), &self.state, self.patience, &ctx.events)?;
            return Ok(session.that_is(self.guest.about.clone()));
        }
        match self.resume_as(ctx, lab, &self.state, saved) {
            Err(failure) if failure.exit() != Exit::Interrupted => {
                ctx.events.emit(Event::Finding(official::afresh(&self.state, &failure)));
                self.afresh(ctx, lab, saved)
            }
            resumed => resumed,
        }
    }

    /// Boots a router, saves it and resumes it at once. The new state does not replace the refused one, because further
    /// states may depend on that one's disk.
    fn afresh(&self, ctx: &Ctx, lab: &Lab, saved: bool) -> Result<Session> {
        let first = scenarios::listening(&self.first_plan(), None, &ctx.cancel)?;
        let folder = tempfile::tempdir().map_err(|error| Failure::io("make a folder for a state", "/tmp", &error))?;
        let state = Utf8PathBuf::from(folder.path().join(GUEST).display().to_string());
        let mut session = self.boot(ctx, &first)?;
        state::save(&mut session, &state, Deadline::after(self.patience))?;
        session.power_off(Deadline::after(COMMAND))?;
        self.resume_as(ctx, lab, &state, saved)
    }

    /// Resumes another saved state of this router, or fails.
    pub(super) fn resume(&self, ctx: &Ctx, lab: &Lab, state: &Utf8Path) -> Result<Session> {
        self.resume_as(ctx, lab, state, false)
    }

    fn resume_as(&self, ctx: &Ctx, lab: &Lab, state: &Utf8Path, saved: bool) -> Result<Session> {
        let session = state::resume(&self.launch(ctx, lab, saved), state, Deadline::after(self.patience))?;
        Ok(session.that_is(self.guest.about.clone()))
    }
}

/// KVM if the kernel really runs in it, otherwise emulation; reports which and why. `kernel` is the folder of the
/// kernel's stage.
pub(super) fn accelerator(
    ctx: &Ctx,
    qemu: &Qemu,
    machine: &Machine,
    probe: &Image,
    kernel: &Utf8Path,
    wanted: WantedAccel,
) -> Result<Accel> {
    // The stage's key identifies the kernel's content.
    let digest = kernel.file_name().unwrap_or_default();
    let choice = accel::choose(
        wanted,
        &accel::Probe {
            qemu,
            machine,
            image: probe,
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
