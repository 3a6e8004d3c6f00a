//! A scenario on its router: the steps, the proof, and the kernel's log at the end.

use model::{Check, CheckKind, Deadline, Finding, Result, Severity};
use vm::splat;

use crate::ask::COMMAND;
use crate::attempt::Attempt;
use crate::fingerprint::Fingerprint;
use crate::scenario::Scenario;
use crate::{offload, steps};

/// Runs a scenario to its first assertion that does not hold. `Err`: could not find out.
pub(crate) fn run(attempt: &mut Attempt<'_>, scenario: &Scenario) -> Result<Option<Finding>> {
    if scenario.steps.iter().any(|step| step.facts.root_unchanged) {
        attempt.router.before = Some(Fingerprint::take(attempt.router.guest)?);
    }
    if let Some(finding) = steps::run(attempt, &scenario.steps, "")? {
        return Ok(Some(finding));
    }
    if let Some(proof) = &scenario.offload {
        let found = attempt.timed("traffic", |attempt| offload::prove(attempt, proof))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let log = attempt.timed("kernel log", |attempt| attempt.router.guest.kernel_log(Deadline::after(COMMAND)))?;
    let found = clean_log(&log);
    attempt.told.check(Check {
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
}
