//! The proof of offload: the same traffic without and with what a scenario has under `offload`.

use model::{Finding, Result};

use crate::attempt::Attempt;
use crate::deeds::{ruleset, traffic};
use crate::flows::Span;
use crate::judge::{Run, Wanted};
use crate::scenario::{Answer, Ending, FlowPlan, OffloadProof, Others, Path, Ruleset};
use crate::steps;

/// All flows' traffic is sent in so many parts, to see their counters grow.
const PARTS: u64 = 2;

/// Runs the control run and then the run with offload. A finding tells what did not hold.
pub(crate) fn prove(attempt: &mut Attempt<'_>, proof: &OffloadProof) -> Result<Option<Finding>> {
    for run in [Run::Control, Run::Offload] {
        let (at, word, text) = match run {
            Run::Control => ("control run", "control", proof.ruleset.clone()),
            Run::Offload => ("offload run", "offload", format!("{}{}", proof.ruleset, proof.offload)),
        };
        let rules = Ruleset { text, others: Others::Go, answer: Answer::default() };
        let found = ruleset::load(attempt, &rules, at)?;
        if found.is_some() {
            return Ok(found);
        }
        attempt.sabotage()?;
        if let Some(finding) = transfer(attempt, proof, run, word, at)? {
            return Ok(Some(steps::within(at, finding)));
        }
    }
    Ok(None)
}

/// All flows, busy at once: opened, exchanged in parts, looked at while still open, judged, ended.
fn transfer(
    attempt: &mut Attempt<'_>,
    proof: &OffloadProof,
    run: Run,
    word: &str,
    at: &str,
) -> Result<Option<Finding>> {
    let mut names = Vec::new();
    for plan in &proof.traffic {
        let name = attempt.net.flows.free_name(plan.proto);
        let plan = FlowPlan { flow: name.clone(), seen_from: plan.seen_from.or(proof.seen_from), ..plan.clone() };
        traffic::open(attempt, &plan, word)?;
        names.push(name);
    }
    for _ in 0..PARTS {
        let part = |plan: &FlowPlan| traffic::Amount::of(plan, None, plan.bytes.map(|all| all / PARTS));
        traffic::send(attempt, &names, part, None)?;
        traffic::look(attempt, &names, "exchange")?;
    }
    let (path, slow_packets) = match run {
        Run::Control => (Path::Slow, 0),
        Run::Offload => (Path::Fast, proof.slow_packets),
    };
    let wanted = Wanted { path: Some(path), run: Some(run), slow_packets, ..Wanted::default() };
    for name in &names {
        let found = traffic::judged(attempt, name, wanted, at, Span::Ever)?;
        if found.is_some() {
            return Ok(found);
        }
        if attempt.asks_offloadctl
            && let Some(found) = traffic::opinion(attempt, name, path.word())?
        {
            return Ok(Some(found));
        }
    }
    for name in &names {
        traffic::end(attempt, name, Ending::Close)?;
    }
    Ok(None)
}
