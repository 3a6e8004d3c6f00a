//! The steps of a scenario, in order: the deed of each, then its facts.

use std::time::Instant;

use model::{Deadline, Finding, Result};

use crate::ask::COMMAND;
use crate::attempt::Attempt;
use crate::bench;
use crate::deeds::{card, command, leak, link, module, ruleset, sysupgrade, traffic};
use crate::facts;
use crate::scenario::{Deed, OffloadFlag, Step};

/// Does steps to the first that does not hold; `above` is what their numbers begin with. `Err`: could not find out.
pub(crate) fn run(attempt: &mut Attempt<'_>, list: &[Step], above: &str) -> Result<Option<Finding>> {
    for (number, step) in (1..).zip(list) {
        attempt.cancel.check()?;
        if !step.is_for(attempt.kernel) || !is_of_its_kind(attempt, step)? {
            continue;
        }
        let at = format!("step {above}{number}");
        let phase = match step.deed {
            Some(Deed::Manage(_)) => "install",
            Some(Deed::Exchange(_)) => "traffic",
            _ => "steps",
        };
        let started = Instant::now();
        let found = attempt.timed(phase, |attempt| one(attempt, step, &at))?;
        attempt.told.line(format!("{at}, {:.2} s: {step}", started.elapsed().as_secs_f64()));
        if let Some(finding) = found {
            return Ok(Some(within(&at, finding)));
        }
    }
    Ok(None)
}

/// Such a flowtable, on a device that can offload nothing.
const FLAG_ON_ANY_DEVICE: &str =
    "table inet any-device { flowtable ft { hook ingress priority 0; devices = { lo }; flags offload; }; }";

/// Whether the router's kernel is of the kind that a step is for. It is asked each time, as scenarios may change it.
fn is_of_its_kind(attempt: &mut Attempt<'_>, step: &Step) -> Result<bool> {
    let Some(wanted) = step.flag else { return Ok(true) };
    let words = ["nft", "-c", FLAG_ON_ANY_DEVICE];
    let is_taken = attempt.router.guest.run(&words, Deadline::after(COMMAND))?.success();
    Ok(is_taken == (wanted == OffloadFlag::Taken))
}

/// A finding, with the step or run that it was made in.
pub(crate) fn within(at: &str, mut finding: Finding) -> Finding {
    finding.place = Some(match finding.place {
        Some(place) => format!("{at}, {place}"),
        None => at.to_owned(),
    });
    finding
}

/// One step. Commands that look at rules say something else of rules that were broken on purpose; traffic decides then.
fn one(attempt: &mut Attempt<'_>, step: &Step, at: &str) -> Result<Option<Finding>> {
    let was_broken = attempt.broken;
    let found = step.deed.as_ref().map_or(Ok(None), |deed| act(attempt, deed, at))?;
    if matches!(step.deed, Some(Deed::Run(_) | Deed::Manage(_) | Deed::Ruleset(_) | Deed::Card(_))) {
        attempt.sabotage()?;
    }
    match found {
        Some(finding) if was_broken && matches!(step.deed, Some(Deed::Run(_))) => {
            attempt.told.note(format!("passed over, as rules are broken: {at}: {}: {}", finding.id, finding.what));
            Ok(None)
        }
        Some(finding) => Ok(Some(finding)),
        None => facts::check(attempt, &step.facts, at),
    }
}

fn act(attempt: &mut Attempt<'_>, deed: &Deed, at: &str) -> Result<Option<Finding>> {
    match deed {
        Deed::Run(deed) => command::run(attempt, deed, at),
        Deed::Manage(manage) => command::manage(attempt, manage, at),
        Deed::Ruleset(rules) => ruleset::load(attempt, rules, at),
        Deed::Card(card) => card::put_in(attempt, card, at),
        Deed::Open(plan) => traffic::open(attempt, plan, "").map(|()| None),
        Deed::Exchange(exchange) => traffic::exchange(attempt, exchange, at, &mut |attempt| {
            run(attempt, &exchange.during, &format!("{}.", at.trim_start_matches("step ")))
        }),
        Deed::End(end) => traffic::end(attempt, &end.flow, end.how).map(|()| None),
        Deed::Conntrack(expected) => traffic::conntrack(attempt, expected, at),
        Deed::Ftp(plan) => traffic::ftp(attempt, plan),
        Deed::Module(handle) => module::handle(attempt, handle, at),
        Deed::NoLeak(modules) => leak::look(attempt, modules, at),
        Deed::Link(link) => link::make(attempt, link, at),
        Deed::Sysupgrade(upgrade) => sysupgrade::upgrade(attempt, *upgrade, at),
        Deed::Feed(feed) => {
            let folder = bench::folder(attempt.net.feeds, *feed)?;
            attempt.net.lab.serve(&folder).map(|()| None)
        }
    }
}
