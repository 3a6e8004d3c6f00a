//! Routers that already have the packages: installed once, saved, and resumed by every scenario that asks for it.
//!
//! Installing takes an emulated router seconds, and offload does not depend on it; scenarios about installation start
//! on a router without packages.
//!
//! An official image already has most of them, in the same version. There the feed's packages replace them, loaded
//! modules are unloaded, and the modules that are then loaded must be the feed's: see [`scenarios::modules`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Deadline, Event, Exit, Failure, Finding, Format, Problem, Result, Severity, parallel};
use scenarios::modules::CORE;
use scenarios::scenario::Action;
use scenarios::{Payload, Scenario, Start, Trust, probes};
use vm::guest::Guest;
use vm::lab::{Lab, Plan};
use vm::overlay;
use vm::session::Session;
use vm::state;

use super::feed::Feed;
use super::router::Router;
use super::stages::INSTALLED;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// The packages of `router: installed`, without their dependencies.
const PACKAGES: [&str; 5] =
    ["kmod-nft-offload", "kmod-nft-nat", "kmod-nf-nathelper", "kmod-nf-conntrack-netlink", "offloadctl"];

/// The additional package of `router: card`, from the feed with the packages for tests.
pub(super) const CARD: &str = "kmod-nft-test-card";

/// Deadline of a package manager's command, on a machine that compiles meanwhile.
const COMMAND: Duration = Duration::from_secs(180);

/// Loads the packages' modules, and applies the settings that were lost with the old modules; an image may have
/// settings for things that it lacks.
const LOAD: &str = "kmodloader || exit
for file in /etc/sysctl.d/*.conf; do [ ! -f $file ] || sysctl -q -p $file; done
true";

/// Saved states, by package manager. If one cannot be made, only the scenarios that need it fail.
pub(super) struct Installed<'a> {
    router: &'a Router,
    feed: &'a Feed,
    trust: &'a Trust,
    payload: &'a Payload,
    packages: Vec<&'static str>,
    states: BTreeMap<Format, Result<Utf8PathBuf>>,
}

impl<'a> Installed<'a> {
    /// Installs with each manager that these scenarios need, unless that was done before.
    pub(super) fn prepare(
        ctx: &Ctx,
        start: Start,
        router: &'a Router,
        (feed, payload): (&'a Feed, &'a Payload),
        trust: &'a Trust,
        scenarios: &[Scenario],
    ) -> Installed<'a> {
        let packages = PACKAGES.into_iter().chain((start == Start::Card).then_some(CARD)).collect();
        let mut installed = Installed { router, feed, trust, payload, packages, states: BTreeMap::new() };
        let begin_so = scenarios.iter().filter(|scenario| scenario.router == start);
        let wanted: BTreeSet<Format> = begin_so.flat_map(|scenario| scenario.managers.iter().copied()).collect();
        let wanted: Vec<Format> = wanted.into_iter().collect();
        let saved = parallel(&wanted, ctx.routers, |&manager| Ok((manager, installed.save(ctx, manager))));
        installed.states = saved.into_iter().flatten().collect();
        installed
    }

    /// A router with the packages: resumed, or installed again when QEMU refuses the saved state.
    pub(super) fn start(&self, ctx: &Ctx, lab: &Lab, manager: Format) -> Result<Session> {
        let state = match self.states.get(&manager) {
            Some(Ok(state)) => state,
            Some(Err(failure)) => return Err(failure.clone()),
            None => return Err(unprepared(manager)),
        };
        match self.router.resume(ctx, lab, state) {
            Ok(session) => Ok(session),
            Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
            Err(failure) => {
                ctx.events.emit(Event::Finding(afresh(state, &failure)));
                self.install(ctx, lab, manager, self.router.start(ctx, lab)?)
            }
        }
    }

    fn save(&self, ctx: &Ctx, manager: Format) -> Result<Utf8PathBuf> {
        let Installed { router, feed, trust, .. } = self;
        let inputs = Inputs::new(format!("a router with packages of the feed, installed by {}", manager.manager()))
            .stage("state", router.state.parent().unwrap_or(&router.state))
            .stage("feed", &feed.folder)
            .text("manager", manager.manager())
            .text("packages", self.packages.join(" "))
            .text("trust", trust.files.iter().map(|(path, text)| format!("{path}\n{text}")).collect::<String>());
        // The guest writes to an overlay on that disk, which is a new one whenever a router is booted.
        let inputs = match Some(overlay::beside(&router.state)).filter(|disk| disk.exists()) {
            Some(disk) => inputs.path("disk", disk),
            None => inputs,
        };
        let folder = stage(ctx, &INSTALLED, &inputs, |out| {
            let lab = scenarios::listening(&Plan::masquerade(), None, &ctx.cancel)?;
            let started = Instant::now();
            let mut session = self.install(ctx, &lab, manager, router.start_to_save(ctx, &lab)?)?;
            session.begin_kernel_log(Deadline::after(COMMAND))?;
            state::save(&mut session, &out.join("guest"), Deadline::after(router.patience))?;
            let seconds = started.elapsed().as_secs_f64();
            session.power_off(Deadline::after(COMMAND))?;
            Ok(format!("{} by {} in {seconds:.2} s", self.packages.join(", "), manager.manager()))
        })?;
        Ok(folder.join("guest"))
    }

    /// Installs the packages on a router.
    fn install(&self, ctx: &Ctx, lab: &Lab, manager: Format, mut session: Session) -> Result<Session> {
        lab.serve(&self.feed.folder)?;
        self.trust.teach(&mut session)?;
        let loaded = self.payload.loaded(&mut session)?;
        manage(&mut session, manager, Action::Update, &[])?;
        manage(&mut session, manager, Action::Install, &self.packages)?;
        let mut absent = self.payload.names();
        if !loaded.is_empty() {
            let left = self.replace(ctx, &mut session, manager)?;
            absent.retain(|name| !left.contains(name));
        }
        match self.payload.check(&mut session, &CORE, &absent)? {
            None => Ok(session),
            Some(finding) => Err(not_ours(finding)),
        }
    }

    /// Replaces the image's packages by the feed's, and its loaded modules by the feed's. Returns the modules that
    /// could not be unloaded.
    fn replace(&self, ctx: &Ctx, guest: &mut dyn Guest, manager: Format) -> Result<BTreeSet<String>> {
        let listed = manage(guest, manager, Action::List, &[])?;
        let installed = probes::installed_packages(manager, &listed);
        let ours: Vec<&str> = installed.into_iter().filter(|name| self.payload.0.contains_key(*name)).collect();
        manage(guest, manager, Action::Replace, &ours)?;
        let left = self.payload.unload(guest, &CORE, &ctx.cancel)?;
        let output = guest.script(LOAD, Deadline::after(COMMAND))?;
        if output.success() { Ok(left) } else { Err(not_installed(&["kmodloader"], output.code, &output.text())) }
    }
}

fn afresh(state: &Utf8Path, failure: &Failure) -> Finding {
    Finding {
        id: "TEST004",
        severity: Severity::Note,
        place: Some(state.to_string()),
        what: "the saved router with packages could not be resumed; installing them again".into(),
        why: failure.finding().why.clone(),
        fix: "nothing needs to be done; `cargo xtask clean installed` removes the state if it happens on every run"
            .into(),
    }
}

fn manage(guest: &mut dyn Guest, manager: Format, action: Action, packages: &[&str]) -> Result<String> {
    let words: Vec<&str> = action.words(manager).iter().chain(packages).copied().collect();
    let output = guest.run(&words, Deadline::after(COMMAND))?;
    if output.success() { Ok(output.text()) } else { Err(not_installed(&words, output.code, &output.text())) }
}

/// What a scenario proves on such a router would be about other modules.
fn not_ours(finding: Finding) -> Failure {
    Failure::of(Problem { exit: Exit::Failed, id: "TEST006", what: finding.what, why: finding.why, fix: finding.fix })
}

fn not_installed(words: &[&str], code: i32, text: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "TEST002",
        what: format!("`{}` ended with {code} on the router", words.join(" ")),
        why: text,
        fix: "`cargo xtask test install-and-load` shows what the package manager does",
    })
}

pub(super) fn unprepared(format: Format) -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "TEST003",
        what: format!("no router with the packages was prepared with {}", format.manager()),
        why: "states are prepared for the scenarios in the list",
        fix: "report this together with the command",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_installed_is_said_with_the_answer() {
        let failure = not_installed(&["apk", "add", "x"], 1, "no such package");
        assert_eq!((failure.id(), failure.exit()), ("TEST002", Exit::Failed));
        assert!(failure.to_string().contains("apk add x") && failure.to_string().contains("no such package"));
        let finding = afresh("/c/guest".into(), &failure);
        assert_eq!((not_ours(finding.clone()).id(), not_ours(finding).exit()), ("TEST006", Exit::Failed));
        assert_eq!(unprepared(Format::Ipk).id(), "TEST003");
        let note = afresh("/c/guest".into(), &failure);
        assert_eq!((note.id, note.severity), ("TEST004", Severity::Note));
    }
}
