//! Runs scenarios, several at once, each on a router of its own.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::{Deadline, Event, Exit, Format, Record, Result, Sabotage, Verdict};

use crate::ask::COMMAND;
use crate::attempt::{Attempt, Net, Router};
use crate::bench::{self, Bench};
use crate::case;
use crate::flows::Flows;
use crate::lacks;
use crate::recorder::{self, Recorder};
use crate::sabotage;
use crate::scenario::{FeedVariant, KERNELS, Scenario, Start};

/// How long QEMU may take to connect its network cards.
const CONNECT: Duration = Duration::from_secs(30);

/// A scenario and the package manager that it runs with.
struct Case<'a> {
    scenario: &'a Scenario,
    manager: Format,
    name: String,
}

/// Runs all scenarios, with each of their package managers, and returns the worst of their exit codes. Every one
/// gets a verdict.
pub fn run(bench: &Bench<'_>, scenarios: &[Scenario]) -> Exit {
    let mut cases: Vec<Case> = scenarios
        .iter()
        .flat_map(|scenario| scenario.managers.iter().map(move |&manager| (scenario, manager)))
        .map(|(scenario, manager)| Case { scenario, manager, name: bench.case_name(scenario, manager) })
        .collect();
    in_good_order(&mut cases);
    for idle in scenarios.iter().filter(|scenario| scenario.managers.is_empty()) {
        let reason = "there are no packages for a package manager that it runs with".to_owned();
        bench.skip(idle.name.clone(), bench.record(idle, ""), reason);
    }
    let next = Mutex::new(cases.iter());
    let worst = Mutex::new(Exit::Done);
    let take = || next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    std::thread::scope(|scope| {
        for _ in 0..bench.manner.jobs.clamp(1, cases.len().max(1)) {
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

/// The shortest proof of offload begins first: it is what a new user waits for. Of the others those that take longest,
/// so that at the end nobody waits for one that has just begun.
fn in_good_order(cases: &mut [Case<'_>]) {
    cases.sort_by_key(|case| Reverse(case.scenario.weight()));
    let proofs = cases.iter().enumerate().filter(|(_, case)| case.scenario.offload.is_some());
    if let Some((first, _)) = proofs.min_by_key(|(_, case)| case.scenario.weight()) {
        cases[..=first].rotate_right(1);
    }
}

impl Bench<'_> {
    fn case_name(&self, scenario: &Scenario, manager: Format) -> String {
        let name = format!("{}/{}", scenario.name, manager.manager());
        let name = if self.manner.of_several { format!("{name}/{}", self.routers.kernel()) } else { name };
        self.manner.sabotage.map_or(name.clone(), |sabotage| format!("{name}/{}", sabotage.word()))
    }

    fn record(&self, scenario: &Scenario, manager: &str) -> Record {
        Record {
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            group: scenario.group.word().into(),
            manager: manager.into(),
            kernel: self.routers.kernel().into(),
            target: self.manner.target.into(),
            file: scenario.file.to_string(),
            sabotage: self.manner.sabotage.map(Sabotage::word),
            ..Record::default()
        }
    }

    fn skip(&self, case: String, record: Record, reason: String) {
        let verdict = Verdict::Skip { reason };
        self.events.emit(Event::CaseEnd { case, verdict, millis: 0, notes: Vec::new(), record: Box::new(record) });
    }

    fn run_one(&self, case: &Case<'_>) -> Exit {
        let blank = || self.record(case.scenario, case.manager.manager());
        if let Some(kernels) = case.scenario.kernels.as_ref().filter(|kernels| !kernels.include(self.routers.kernel()))
        {
            let reason = format!("not for kernel {}: {}", self.routers.kernel(), kernels.because);
            self.skip(case.name.clone(), blank(), reason);
            return Exit::Done;
        }
        if let Some(reason) = self.routers.lack(case.scenario) {
            self.skip(case.name.clone(), blank(), reason);
            return Exit::Done;
        }
        if !KERNELS.contains(&self.routers.kernel()) && case.scenario.differs_between_kernels() {
            let reason = format!("kernels differ in it, and it was not measured on {}", self.routers.kernel());
            self.skip(case.name.clone(), blank(), reason);
            return Exit::Done;
        }
        let concerns = |way| sabotage::concerns(way, case.scenario, self.routers.kernel());
        if self.manner.sabotage.is_some_and(|way| !concerns(way)) {
            let reason = "nothing in it must take the path that is broken, so it makes no difference";
            self.skip(case.name.clone(), blank(), reason.to_owned());
            return Exit::Done;
        }
        self.events.emit(Event::CaseBegin { case: case.name.clone() });
        let started = Instant::now();
        let (mut verdict, mut record, mut notes) = self.verdict(case);
        if let (Verdict::Blocked { finding }, false) = (&verdict, self.cancel.is_cancelled()) {
            let first = format!("blocked at first ({}: {}), tried once more", finding.id, finding.what);
            (verdict, record, notes) = self.verdict(case);
            notes.insert(0, first);
        }
        if let Verdict::Fail { finding } | Verdict::Blocked { finding } = &verdict {
            record.line = finding.place.as_deref().and_then(|place| case.scenario.lines.find(place));
        }
        if let Some(way) = self.manner.sabotage {
            verdict = sabotage::verdict(way, verdict, &record, &mut notes);
        }
        let exit = verdict.exit();
        let (case, millis) = (case.name.clone(), recorder::millis(started.elapsed()));
        self.events.emit(Event::CaseEnd { case, verdict, millis, notes, record: Box::new(record) });
        exit
    }

    fn verdict(&self, case: &Case<'_>) -> (Verdict, Record, Vec<String>) {
        let mut told = Recorder::new(&case.name, self.events, self.record(case.scenario, case.manager.manager()));
        let verdict = match self.attempt(case, &mut told) {
            Ok(verdict) => verdict,
            // The lab tells what the router did not do with its packets apart from what it could not do itself.
            Err(failure) if failure.exit() == Exit::Failed => Verdict::Fail { finding: failure.finding().clone() },
            Err(failure) => Verdict::Blocked { finding: failure.finding().clone() },
        };
        (verdict, told.record, told.notes)
    }

    /// One try on a fresh router. `Err`: could not find out.
    fn attempt(&self, case: &Case<'_>, told: &mut Recorder) -> Result<Verdict> {
        let Case { scenario, manager, name } = case;
        self.cancel.check()?;
        let feed = match bench::folder(self.feeds.folders, scenario.feed) {
            // There is none for such a router: nothing broke.
            Err(failure) if failure.exit() == Exit::Usage => {
                return Ok(Verdict::Skip { reason: failure.finding().what.clone() });
            }
            feed => feed?,
        };
        let plan = scenario.topology.plan();
        let captures = self.manner.captures.map(|captures| captures.join(name));
        let lab = bench::lab(self.routers.wires()?, &plan, captures, self.cancel)?;
        let began = Instant::now();
        let mut guest = self.routers.boot(&lab, scenario.router, *manager)?;
        lab.connected(Deadline::after(CONNECT))?;
        told.note(format!("{}, ready after {:.2} s", guest.about().label, began.elapsed().as_secs_f64()));
        told.phase("resume", began.elapsed());
        let began = Instant::now();
        if let Some(verdict) = lacks::verdict(&mut *guest, &scenario.needs, (&self.feeds, &lab), *manager, told)? {
            guest.power_off(Deadline::after(COMMAND))?;
            return Ok(verdict);
        }
        lab.serve(&feed)?;
        if scenario.router == Start::Booted && scenario.feed != FeedVariant::Trees {
            self.feeds.trust.teach(&mut *guest)?;
        }
        told.phase("install", began.elapsed());
        told.begin();
        let payload = self.feeds.payload;
        // On routers with the packages none of these was loaded when they were installed.
        let absent = if scenario.router.has_packages() { payload.core_names() } else { BTreeSet::new() };
        let mut attempt = Attempt {
            router: Router { guest: &mut *guest, manager: *manager, payload, absent, card: false, before: None },
            net: Net { lab: &lab, plan: &plan, feeds: self.feeds.folders, flows: Flows::default() },
            told: &mut *told,
            kernel: self.routers.kernel(),
            sabotage: self.manner.sabotage,
            broken: false,
            asks_offloadctl: self.manner.asks_offloadctl,
            cancel: self.cancel,
        };
        let found = case::run(&mut attempt, scenario);
        if let Some(keep) = self.manner.keep {
            keep(attempt.router.guest)?;
        }
        let spared = self.manner.sabotage.and_then(|way| sabotage::spared(way, attempt.broken));
        // Flows that are still open end before the router does.
        drop(attempt);
        let found = found?;
        let began = Instant::now();
        guest.power_off(Deadline::after(COMMAND))?;
        told.phase("power off", began.elapsed());
        Ok(match (found, spared) {
            (Some(finding), _) => Verdict::Fail { finding },
            (None, Some(reason)) => Verdict::Skip { reason: reason.into() },
            (None, None) => Verdict::Pass,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
