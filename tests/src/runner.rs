//! Runs scenarios, several at once, each on a router of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Event, Events, Exit, Failure, Finding, Result, Severity, Verdict};
use vm::lab::{Lab, Options, Plan};
use vm::session::Session;
use vm::splat;

use crate::offload;
use crate::scenario::{FeedVariant, Manager, Scenario};
use crate::steps::{self, Fingerprint};

/// How long a command of ours on the router may take.
const COMMAND: Duration = Duration::from_secs(60);
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
    manager: Manager,
    name: String,
}

/// What the scenarios run on.
pub struct Bench<'a> {
    /// What the routers are, for reports: a stand-in is always called one.
    pub router: &'a str,
    /// Gives a fresh router whose network cards end in the lab.
    pub boot: &'a (dyn Fn(&Lab) -> Result<Session> + Sync),
    /// The directories of all feeds that the scenarios name.
    pub feeds: &'a BTreeMap<FeedVariant, Utf8PathBuf>,
    /// What the router trusts.
    pub trust: &'a Trust,
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
        .flat_map(|scenario| scenario.managers.iter().map(move |&manager| (scenario, manager)))
        .map(|(scenario, manager)| Case { scenario, manager, name: format!("{}/{}", scenario.name, manager.word()) })
        .collect();
    for idle in scenarios.iter().filter(|scenario| scenario.managers.is_empty()) {
        let reason = "there are no packages for a package manager that it runs with".to_owned();
        let (case, verdict) = (idle.name.clone(), Verdict::Skip { reason });
        bench.events.emit(Event::CaseEnd { case, verdict, millis: 0, notes: Vec::new(), record: Box::default() });
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
    fn run_one(&self, case: &Case<'_>) -> Exit {
        self.events.emit(Event::CaseBegin { case: case.name.clone() });
        let started = Instant::now();
        let mut notes = Vec::new();
        let mut verdict = self.verdict(case, &mut notes);
        if let (Verdict::Blocked { finding }, false) = (&verdict, self.cancel.is_cancelled()) {
            let first = format!("blocked at first ({}: {}), tried once more", finding.id, finding.what);
            notes = vec![first];
            verdict = self.verdict(case, &mut notes);
        }
        let exit = verdict.exit();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.events.emit(Event::CaseEnd { case: case.name.clone(), verdict, millis, notes, record: Box::default() });
        exit
    }

    fn verdict(&self, case: &Case<'_>, notes: &mut Vec<String>) -> Verdict {
        match self.attempt(case, notes) {
            Ok(None) => Verdict::Pass,
            Ok(Some(finding)) => Verdict::Fail { finding },
            Err(failure) => Verdict::Blocked { finding: failure.finding().clone() },
        }
    }

    /// One try on a fresh router. `Ok(Some(_))`: something did not hold. `Err`: could not find out.
    fn attempt(&self, case: &Case<'_>, notes: &mut Vec<String>) -> Result<Option<Finding>> {
        let Case { scenario, manager, name } = case;
        self.cancel.check()?;
        let plan = Plan::masquerade();
        let (_folder, lab) = lab(&plan, self.captures.map(|captures| captures.join(name)), self.cancel)?;
        let started = Instant::now();
        let mut session = (self.boot)(&lab)?;
        lab.connected(Deadline::after(CONNECT))?;
        notes.push(format!("{}, ready after {:.2} s", self.router, started.elapsed().as_secs_f64()));
        lab.serve(self.feeds.get(&scenario.feed).ok_or_else(|| no_feed(scenario.feed))?)?;
        self.trust.teach(&mut session)?;
        let needs_fingerprint = scenario.steps.iter().any(|step| step.root_unchanged);
        let before = if needs_fingerprint { Some(Fingerprint::take(&mut session)?) } else { None };

        for (number, step) in scenario.steps.iter().enumerate() {
            let started = Instant::now();
            let found = steps::run(&mut session, *manager, number + 1, step, before.as_ref())?;
            let took = started.elapsed().as_secs_f64();
            self.events.line(name, format!("step {}, {took:.2} s: {step}", number + 1));
            if found.is_some() {
                return Ok(found);
            }
        }
        if let Some(proof) = &scenario.offload {
            let found = offload::prove(&mut session, &lab, &plan, proof, notes)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let log = session.kernel_log(Deadline::after(COMMAND))?;
        let found = clean_log(&log);
        session.power_off(Deadline::after(COMMAND))?;
        Ok(found)
    }
}

impl Trust {
    /// Gives the router the feed's addresses and the keys to trust.
    pub fn teach(&self, session: &mut Session) -> Result<()> {
        for (path, text) in &self.files {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            steps::read(session, &["mkdir", "-p", folder])?;
            session.put(path, text.as_bytes(), Deadline::after(COMMAND))?;
        }
        Ok(())
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

/// No scenario passes with a kernel that complained.
fn clean_log(log: &str) -> Option<Finding> {
    let found = splat::splats(log, &splat::DENIED, &splat::ALLOWED);
    let first = found.first()?;
    Some(Finding {
        id: "PROOF010",
        severity: Severity::Error,
        place: Some("kernel log".into()),
        what: format!("the kernel complained: {first}"),
        why: format!("{} suspicious lines; whatever else held, a kernel in trouble proves nothing", found.len()),
        fix: "run the scenario alone with -v, and look the line up in the kernel's source".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn bench<'a>(
        boot: &'a (dyn Fn(&Lab) -> Result<Session> + Sync),
        trust: &'a Trust,
        events: &'a Events,
    ) -> Bench<'a> {
        let cancel = Box::leak(Box::new(Cancel::default()));
        let feeds = Box::leak(Box::new(BTreeMap::new()));
        Bench { router: "none", boot, feeds, trust, captures: None, jobs: 2, events, cancel }
    }

    fn trust() -> Trust {
        Trust { files: Vec::new() }
    }

    fn scenarios(count: usize) -> Vec<Scenario> {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        crate::scenario::load_all(&folder).unwrap().into_iter().take(count).collect()
    }

    #[test]
    fn a_router_that_never_comes_up_is_blocked_after_a_second_try() {
        let boots = AtomicUsize::new(0);
        let boot = |_lab: &Lab| {
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
        let boot = |_lab: &Lab| Err(Failure::interrupted());
        assert_eq!(run(&bench(&boot, &trust, &events), &one), Exit::Done);
        let told: Vec<Event> = received.try_iter().collect();
        assert!(matches!(&told[..], [Event::CaseEnd { verdict: Verdict::Skip { .. }, .. }]), "{told:?}");
    }

    #[test]
    fn an_interrupt_ends_the_run_and_is_not_retried() {
        let (trust, events) = (trust(), Events::discard());
        let boot = |_lab: &Lab| Err(Failure::interrupted());
        let bench = bench(&boot, &trust, &events);
        bench.cancel.cancel();
        assert_eq!(run(&bench, &scenarios(2)), Exit::Interrupted);
    }

    #[test]
    fn a_complaint_of_the_kernel_fails_a_scenario() {
        assert_eq!(clean_log("[ 1.0] eth0: link up\n"), None);
        let finding = clean_log("[ 1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1\n").unwrap();
        assert_eq!(finding.id, "PROOF010");
        assert!(finding.what.contains("net/core/dev.c"));
    }
}
