//! One try of a scenario on a router: the steps in order, then the proof, and what was seen meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::{
    Cancel, Check, CheckKind, Count, Deadline, Events, Finding, Format, Phase, Record, Result, Sabotage, Sample,
    Severity,
};
use vm::lab::{Lab, Plan};
use vm::session::Session;
use vm::splat;

use crate::modules::Payload;
use crate::offload;
use crate::ruleset;
use crate::sabotage;
use crate::scenario::{Deed, Scenario, Step};
use crate::steps::{self, Fingerprint};
use crate::traffic::{self, Flows};

/// How long a command of ours on the router may take.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);

/// A router, the lab around it, and what is known of both.
pub(crate) struct Attempt<'a> {
    pub(crate) name: &'a str,
    pub(crate) manager: Format,
    /// The kernel line, as on the command line.
    pub(crate) kernel: &'a str,
    pub(crate) session: Session,
    pub(crate) lab: &'a Lab,
    pub(crate) plan: &'a Plan,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) cancel: &'a Cancel,
    pub(crate) events: &'a Events,
    pub(crate) flows: Flows,
    pub(crate) before: Option<Fingerprint>,
    /// What the feed's packages bring.
    pub(crate) payload: &'a Payload,
    /// Modules that were seen not to be loaded since the router booted.
    pub(crate) absent: BTreeSet<String>,
    pub(crate) started: Instant,
    pub(crate) record: &'a mut Record,
    pub(crate) notes: &'a mut Vec<String>,
}

impl Attempt<'_> {
    /// Runs the scenario to its first assertion that does not hold. `Err`: could not find out.
    pub(crate) fn run(&mut self, scenario: &Scenario) -> Result<Option<Finding>> {
        if scenario.steps.iter().any(|step| step.facts.root_unchanged) {
            self.before = Some(Fingerprint::take(&mut self.session)?);
        }
        if let Some(finding) = self.steps(&scenario.steps, "")? {
            return Ok(Some(finding));
        }
        if let Some(proof) = &scenario.offload {
            let found = self.timed("traffic", |attempt| offload::prove(attempt, proof))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let log = self.timed("kernel log", |attempt| attempt.session.kernel_log(Deadline::after(COMMAND)))?;
        let found = clean_log(&log);
        self.check(Check {
            at: "end".into(),
            kind: CheckKind::KernelLog,
            subject: "kernel log".into(),
            expected: "clean".into(),
            observed: if found.is_none() { "clean" } else { "a complaint" }.into(),
            detail: found.as_ref().map(|finding| finding.what.clone()).unwrap_or_default(),
            holds: found.is_none(),
        });
        Ok(found)
    }

    /// Runs steps in order; `above` is what their numbers begin with.
    pub(crate) fn steps(&mut self, list: &[Step], above: &str) -> Result<Option<Finding>> {
        for (number, step) in list.iter().enumerate() {
            self.cancel.check()?;
            let at = format!("step {above}{}", number + 1);
            if !step.is_for(self.kernel) {
                continue;
            }
            let started = Instant::now();
            let phase = match step.deed {
                Some(Deed::Manage(_)) => "install",
                Some(Deed::Exchange(_)) => "traffic",
                _ => "steps",
            };
            let found = self.timed(phase, |attempt| attempt.step(step, &at))?;
            self.events.line(self.name, format!("{at}, {:.2} s: {step}", started.elapsed().as_secs_f64()));
            if let Some(mut finding) = found {
                finding.place = Some(match finding.place {
                    Some(place) => format!("{at}, {place}"),
                    None => at,
                });
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: &Step, at: &str) -> Result<Option<Finding>> {
        let found = step.deed.as_ref().map_or(Ok(None), |deed| self.deed(deed, at))?;
        let may_load_rules = matches!(step.deed, Some(Deed::Run(_) | Deed::Manage(_) | Deed::Ruleset(_)));
        if may_load_rules && let Some(way) = self.sabotage {
            sabotage::apply(way, &mut self.session)?;
        }
        match found {
            Some(finding) => Ok(Some(finding)),
            None => steps::facts(self, &step.facts, at),
        }
    }

    fn deed(&mut self, deed: &Deed, at: &str) -> Result<Option<Finding>> {
        match deed {
            Deed::Run(run) => steps::run(self, run, at),
            Deed::Manage(manage) => steps::manage(self, manage, at),
            Deed::Ruleset(ruleset) => ruleset::load(self, ruleset, at),
            Deed::Open(plan) => traffic::open(self, plan, "").map(|()| None),
            Deed::Exchange(exchange) => traffic::exchange(self, exchange, at),
            Deed::End(end) => traffic::end(self, &end.flow, end.how).map(|()| None),
            Deed::Conntrack(expected) => traffic::conntrack(self, expected, at),
            Deed::Ftp(plan) => traffic::ftp(self, plan),
        }
    }

    /// Notes one question and its answer.
    pub(crate) fn check(&mut self, check: Check) {
        self.record.checks.push(check);
    }

    /// Notes counters of a flow.
    pub(crate) fn sample(&mut self, sample: Sample) {
        self.record.samples.push(sample);
    }

    /// Since the router answered, in milliseconds.
    pub(crate) fn millis(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Does a part of the work and notes how long it took, added to what the same part took before.
    fn timed<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let outcome = work(self);
        phase(self.record, name, started.elapsed());
        outcome
    }
}

/// Adds to the time of a part of a case.
pub(crate) fn phase(record: &mut Record, name: &str, took: Duration) {
    match record.phases.iter_mut().find(|phase| phase.name == name) {
        Some(phase) => phase.millis += millis(took),
        None => record.phases.push(Phase { name: name.into(), millis: millis(took) }),
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Both directions of conntrack's counters, added.
pub(crate) fn both((one_packets, two_packets): (u64, u64), (one_bytes, two_bytes): (u64, u64)) -> Count {
    Count { packets: one_packets + two_packets, bytes: one_bytes + two_bytes }
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

    #[test]
    fn a_complaint_of_the_kernel_fails_a_scenario() {
        assert_eq!(clean_log("[ 1.0] eth0: link up\n"), None);
        let finding = clean_log("[ 1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1\n").unwrap();
        assert_eq!(finding.id, "PROOF010");
        assert!(finding.what.contains("net/core/dev.c"));
    }

    #[test]
    fn the_parts_of_a_case_are_added_up_by_name() {
        let mut record = Record::default();
        for (name, millis) in [("steps", 5), ("traffic", 7), ("steps", 6)] {
            phase(&mut record, name, Duration::from_millis(millis));
        }
        let told: Vec<(&str, u64)> = record.phases.iter().map(|phase| (phase.name.as_str(), phase.millis)).collect();
        assert_eq!(told, [("steps", 11), ("traffic", 7)]);
    }
}
