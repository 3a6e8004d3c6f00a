//! Runs scenarios, several at once, each on a router of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{
    Cancel, Deadline, Event, Events, Exit, Failure, Finding, Format, Record, Result, Sabotage, Severity, Verdict,
};
use vm::lab::{Lab, Options, Plan};
use vm::session::Session;

use crate::attempt::{self, Attempt, COMMAND};
use crate::modules::Payload;
use crate::sabotage;
use crate::scenario::{FeedVariant, KERNELS, Scenario, Start};
use crate::traffic::Flows;

/// How long QEMU may take to connect its network cards.
const CONNECT: Duration = Duration::from_secs(30);
/// Where routers find the feed: the WAN host's address, with a folder for each package manager.
pub const FEED_URL: &str = "http://203.0.113.2";

/// What a router must know to install from the feed through its signatures, with either package manager.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Configuration and public keys: path on the router, and text.
    pub files: Vec<(String, String)>,
}

/// A scenario and the package manager that it runs with.
struct Case<'a> {
    scenario: &'a Scenario,
    format: Format,
    name: String,
}

/// Gives a router as a scenario wants it to begin, with the packages of this manager where it wants them installed.
pub type Boot<'a> = dyn Fn(&Lab, Start, Format) -> Result<Session> + Sync + 'a;

/// Does something with a router at the end of its scenario, before it goes.
pub type Keep<'a> = dyn Fn(&mut Session) -> Result<()> + Sync + 'a;

/// Where the routers' image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Made here: it has whatever a scenario needs.
    StandIn,
    /// Published by OpenWrt: it has what it has.
    Release,
}

/// What the scenarios run on.
pub struct Bench<'a> {
    /// What the routers are, for reports: a stand-in is always called one.
    pub router: &'a str,
    /// Where their image comes from.
    pub origin: Origin,
    /// The kernel line that they run, as on the command line, or that of the release.
    pub kernel: &'a str,
    /// Whether other kernels have a turn in the same run, so that names of cases must tell the kernel.
    pub of_several: bool,
    /// Gives a fresh router whose network cards end in the lab.
    pub boot: &'a Boot<'a>,
    /// The directories of all feeds that the scenarios name.
    pub feeds: &'a BTreeMap<FeedVariant, Utf8PathBuf>,
    /// What the router trusts.
    pub trust: &'a Trust,
    /// What the packages of the published feed bring.
    pub payload: &'a Payload,
    /// How offload is broken, if the suite tests itself.
    pub sabotage: Option<Sabotage>,
    /// What is done with a router at the end of its scenario.
    pub keep: Option<&'a Keep<'a>>,
    /// Where captures go, a folder a scenario.
    pub captures: Option<&'a Utf8Path>,
    /// Routers at once.
    pub jobs: usize,
    /// Where events go.
    pub events: &'a Events,
    /// The user's interrupt.
    pub cancel: &'a Cancel,
}

/// Runs all scenarios, with each of their package managers, and returns the worst of their exit codes. Every one
/// gets a verdict.
pub fn run(bench: &Bench<'_>, scenarios: &[Scenario]) -> Exit {
    let cases: Vec<Case> = scenarios
        .iter()
        .flat_map(|scenario| scenario.managers.iter().map(move |&format| (scenario, format)))
        .map(|(scenario, format)| Case { scenario, format, name: bench.case_name(scenario, format) })
        .collect();
    for idle in scenarios.iter().filter(|scenario| scenario.managers.is_empty()) {
        let reason = "there are no packages for a package manager that it runs with".to_owned();
        bench.skip(idle.name.clone(), bench.record(idle, ""), reason);
    }
    let next = Mutex::new(cases.iter());
    let worst = Mutex::new(Exit::Done);
    let take = || next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    std::thread::scope(|scope| {
        for _ in 0..bench.jobs.clamp(1, cases.len().max(1)) {
            // QEMU dies with the thread that started it, and this one outlives its routers.
            scope.spawn(|| {
                while let Some(case) = take() {
                    let exit = bench.run_one(case);
                    let mut worst = worst.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    *worst = worst.worse(exit);
                }
            });
        }
    });
    if bench.cancel.is_cancelled() {
        return Exit::Interrupted;
    }
    worst.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Bench<'_> {
    fn case_name(&self, scenario: &Scenario, format: Format) -> String {
        let name = format!("{}/{}", scenario.name, format.manager());
        let name = if self.of_several { format!("{name}/{}", self.kernel) } else { name };
        self.sabotage.map_or(name.clone(), |sabotage| format!("{name}/{}", sabotage.word()))
    }

    fn record(&self, scenario: &Scenario, manager: &str) -> Record {
        Record {
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            group: scenario.group.word().into(),
            manager: manager.into(),
            kernel: self.kernel.into(),
            file: scenario.file.to_string(),
            sabotage: self.sabotage.map(Sabotage::word),
            ..Record::default()
        }
    }

    fn skip(&self, case: String, record: Record, reason: String) {
        let verdict = Verdict::Skip { reason };
        self.events.emit(Event::CaseEnd { case, verdict, millis: 0, notes: Vec::new(), record: Box::new(record) });
    }

    fn run_one(&self, case: &Case<'_>) -> Exit {
        let blank = || self.record(case.scenario, case.format.manager());
        if let Some(kernels) = case.scenario.kernels.as_ref().filter(|kernels| !kernels.include(self.kernel)) {
            let reason = format!("not for kernel {}: {}", self.kernel, kernels.because);
            self.skip(case.name.clone(), blank(), reason);
            return Exit::Done;
        }
        if !KERNELS.contains(&self.kernel) && case.scenario.differs_between_kernels() {
            let reason = format!("kernels differ in it, and it was not measured on {}", self.kernel);
            self.skip(case.name.clone(), blank(), reason);
            return Exit::Done;
        }
        if self.sabotage.is_some() && !case.scenario.needs_fast_path(self.kernel) {
            let reason = "nothing in it must take the fast path, so a broken one makes no difference";
            self.skip(case.name.clone(), blank(), reason.to_owned());
            return Exit::Done;
        }
        self.events.emit(Event::CaseBegin { case: case.name.clone() });
        let started = Instant::now();
        let (mut notes, mut record) = (Vec::new(), blank());
        let mut verdict = self.verdict(case, &mut notes, &mut record);
        if let (Verdict::Blocked { finding }, false) = (&verdict, self.cancel.is_cancelled()) {
            let first = format!("blocked at first ({}: {}), tried once more", finding.id, finding.what);
            (notes, record) = (vec![first], blank());
            verdict = self.verdict(case, &mut notes, &mut record);
        }
        if let Verdict::Fail { finding } | Verdict::Blocked { finding } = &verdict {
            record.line = finding.place.as_deref().and_then(|place| case.scenario.lines.find(place));
        }
        if let Some(way) = self.sabotage {
            verdict = sabotage::verdict(way, verdict, &record, &mut notes);
        }
        let exit = verdict.exit();
        let (case, millis) = (case.name.clone(), attempt::millis(started.elapsed()));
        self.events.emit(Event::CaseEnd { case, verdict, millis, notes, record: Box::new(record) });
        exit
    }

    fn verdict(&self, case: &Case<'_>, notes: &mut Vec<String>, record: &mut Record) -> Verdict {
        match self.attempt(case, notes, record) {
            Ok(verdict) => verdict,
            // The lab tells what the router did not do with its packets apart from what it could not do itself.
            Err(failure) if failure.exit() == Exit::Failed => Verdict::Fail { finding: failure.finding().clone() },
            Err(failure) => Verdict::Blocked { finding: failure.finding().clone() },
        }
    }

    /// One try on a fresh router. `Err`: could not find out.
    fn attempt(&self, case: &Case<'_>, notes: &mut Vec<String>, record: &mut Record) -> Result<Verdict> {
        let Case { scenario, format, name } = case;
        self.cancel.check()?;
        let plan = scenario.topology.plan();
        let (_folder, lab) = lab(&plan, self.captures.map(|captures| captures.join(name)), self.cancel)?;
        let began = Instant::now();
        let mut session = (self.boot)(&lab, scenario.router, *format)?;
        lab.connected(Deadline::after(CONNECT))?;
        notes.push(format!("{}, ready after {:.2} s", self.router, began.elapsed().as_secs_f64()));
        attempt::phase(record, "resume", began.elapsed());
        if let Some(script) = scenario.needs.script() {
            let said = session.script(&script, Deadline::after(COMMAND))?.text();
            let lacks: Vec<&str> = said.lines().collect();
            if !lacks.is_empty() {
                session.power_off(Deadline::after(COMMAND))?;
                return Ok(self.lacking(&lacks.join(", ")));
            }
        }
        let began = Instant::now();
        lab.serve(self.feeds.get(&scenario.feed).ok_or_else(|| no_feed(scenario.feed))?)?;
        if scenario.router == Start::Booted {
            self.trust.teach(&mut session)?;
        }
        attempt::phase(record, "install", began.elapsed());
        let mut attempt = Attempt {
            name,
            manager: *format,
            kernel: self.kernel,
            session,
            lab: &lab,
            plan: &plan,
            sabotage: self.sabotage,
            cancel: self.cancel,
            events: self.events,
            flows: Flows::default(),
            before: None,
            payload: self.payload,
            // On routers with the packages none of these was loaded when they were installed.
            absent: if scenario.router == Start::Installed { self.payload.core_names() } else { BTreeSet::new() },
            started: Instant::now(),
            record,
            notes,
        };
        let found = attempt.run(scenario);
        let Attempt { mut session, record, .. } = attempt;
        if let Some(keep) = self.keep {
            keep(&mut session)?;
        }
        let found = found?;
        let began = Instant::now();
        session.power_off(Deadline::after(COMMAND))?;
        attempt::phase(record, "power off", began.elapsed());
        Ok(found.map_or(Verdict::Pass, |finding| Verdict::Fail { finding }))
    }

    /// The verdict on a scenario whose router does not have what it needs.
    fn lacking(&self, lacks: &str) -> Verdict {
        match self.origin {
            Origin::Release => Verdict::Skip { reason: format!("the release's image {lacks}") },
            Origin::StandIn => Verdict::Fail {
                finding: Finding {
                    id: "SCEN007",
                    severity: Severity::Error,
                    place: None,
                    what: format!("the stand-in {lacks}"),
                    why: "the scenario says that it needs it, and a stand-in with less would hide what does not work"
                        .into(),
                    fix: "add it to qemu/local/image.yaml or to the modules of the stand-in, or correct `needs`".into(),
                },
            },
        }
    }
}

impl Trust {
    /// Gives the router the feed's addresses and the keys to trust.
    pub fn teach(&self, session: &mut Session) -> Result<()> {
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        session.put(&files, Deadline::after(COMMAND))
    }
}

fn no_feed(variant: FeedVariant) -> Failure {
    Failure::new(
        Exit::Bug,
        "SCEN005",
        format!("there is no feed `{variant:?}`"),
        "the caller prepares every feed that the scenarios name",
        "report this together with the scenario",
    )
}

/// A lab that listens for a router; the folder holds its sockets and must outlive it.
pub fn lab(plan: &Plan, captures: Option<Utf8PathBuf>, cancel: &Cancel) -> Result<(tempfile::TempDir, Lab)> {
    let io = |error: &std::io::Error| Failure::io("make a folder for the lab's sockets", "/tmp", error);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("lab-").permissions(private).tempdir().map_err(|error| io(&error))?;
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned())
        .map_err(|_| io(&std::io::Error::from(std::io::ErrorKind::InvalidFilename)))?;
    if let Some(captures) = &captures {
        std::fs::create_dir_all(captures)
            .map_err(|error| Failure::io("make the folder for captures", captures, &error))?;
    }
    let mut options = Options::new(path, plan.clone(), cancel.clone());
    options.captures = captures;
    Ok((folder, Lab::start(options)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn bench<'a>(boot: &'a Boot<'a>, trust: &'a Trust, events: &'a Events) -> Bench<'a> {
        let cancel = Box::leak(Box::new(Cancel::default()));
        let feeds = Box::leak(Box::new(BTreeMap::new()));
        Bench {
            router: "none",
            origin: Origin::StandIn,
            kernel: "6.12",
            of_several: false,
            boot,
            feeds,
            trust,
            payload: Box::leak(Box::new(Payload::default())),
            captures: None,
            sabotage: None,
            keep: None,
            jobs: 2,
            events,
            cancel,
        }
    }

    fn trust() -> Trust {
        Trust { files: Vec::new() }
    }

    fn scenarios(count: usize) -> Vec<Scenario> {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let all = crate::scenario::load_all(&folder).unwrap().into_iter();
        all.take(count).map(|file| file.scenario.unwrap()).collect()
    }

    #[test]
    fn a_router_that_never_comes_up_is_blocked_after_a_second_try() {
        let boots = AtomicUsize::new(0);
        let boot = |_: &Lab, _: Start, _: Format| {
            boots.fetch_add(1, Ordering::Relaxed);
            Err(Failure::new(Exit::Blocked, "VM000", "no guest", "it is a test", "none"))
        };
        let (sender, received) = std::sync::mpsc::channel();
        let (trust, events) = (trust(), Events::to(sender));
        let scenarios = scenarios(3);
        let cases: usize = scenarios.iter().map(|scenario| scenario.managers.len()).sum();
        assert_eq!(run(&bench(&boot, &trust, &events), &scenarios), Exit::Blocked);
        assert_eq!(boots.load(Ordering::Relaxed), 2 * cases, "each is tried twice");
        let verdicts = received.try_iter().filter(|event| {
            matches!(event, Event::CaseEnd { verdict: Verdict::Blocked { finding }, notes, .. }
                if finding.id == "VM000" && notes[0].contains("tried once more"))
        });
        assert_eq!(verdicts.count(), cases);
    }

    #[test]
    fn a_feed_that_nobody_prepared_is_our_defect() {
        let failure = no_feed(FeedVariant::WrongKey);
        assert_eq!((failure.id(), failure.exit()), ("SCEN005", Exit::Bug));
    }

    #[test]
    fn a_scenario_without_packages_is_skipped_and_says_so() {
        let (sender, received) = std::sync::mpsc::channel();
        let (trust, events) = (trust(), Events::to(sender));
        let mut one = scenarios(1);
        one[0].managers.clear();
        let boot = |_: &Lab, _: Start, _: Format| Err(Failure::interrupted());
        assert_eq!(run(&bench(&boot, &trust, &events), &one), Exit::Done);
        let told: Vec<Event> = received.try_iter().collect();
        assert!(matches!(&told[..], [Event::CaseEnd { verdict: Verdict::Skip { .. }, .. }]), "{told:?}");
    }

    #[test]
    fn what_an_image_lacks_is_a_reason_to_skip_on_a_release_and_a_defect_of_the_stand_in() {
        let (trust, events) = (trust(), Events::discard());
        let boot = |_: &Lab, _: Start, _: Format| Err(Failure::interrupted());
        let mut bench = bench(&boot, &trust, &events);
        assert!(matches!(bench.lacking("tc"), Verdict::Fail { finding } if finding.id == "SCEN007"));
        bench.origin = Origin::Release;
        assert!(matches!(bench.lacking("tc"), Verdict::Skip { reason } if reason.contains("tc")));
    }

    #[test]
    fn a_kernel_that_was_not_measured_runs_only_what_is_the_same_on_all() {
        let (sender, received) = std::sync::mpsc::channel();
        let (trust, events) = (trust(), Events::to(sender));
        let boots = AtomicUsize::new(0);
        let boot = |_: &Lab, _: Start, _: Format| {
            boots.fetch_add(1, Ordering::Relaxed);
            Err(Failure::new(Exit::Blocked, "VM000", "no guest", "it is a test", "none"))
        };
        let mut bench = bench(&boot, &trust, &events);
        bench.kernel = "6.6";
        let mut two: Vec<Scenario> = scenarios(usize::MAX);
        two.retain(|scenario| ["life-tcp-end", "offload-ipv4-nat"].contains(&scenario.name.as_str()));
        assert_eq!(run(&bench, &two), Exit::Blocked);
        let skipped: Vec<String> = received
            .try_iter()
            .filter_map(|event| match event {
                Event::CaseEnd { case, verdict: Verdict::Skip { reason }, .. } => Some(format!("{case}: {reason}")),
                _ => None,
            })
            .collect();
        assert!(
            skipped.len() == 1 && skipped[0].starts_with("life-tcp-end") && skipped[0].contains("6.6"),
            "{skipped:?}"
        );
        assert!(boots.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn an_interrupt_ends_the_run_and_is_not_retried() {
        let (trust, events) = (trust(), Events::discard());
        let boot = |_: &Lab, _: Start, _: Format| Err(Failure::interrupted());
        let bench = bench(&boot, &trust, &events);
        bench.cancel.cancel();
        assert_eq!(run(&bench, &scenarios(2)), Exit::Interrupted);
    }
}
