//! What the rules do with the packets of a connection: whether they let them get to `flow add`.

use crate::conntrack::STATUS_REPLIED;
use crate::finding::Finding;
use crate::ruleset::{Hook, Rule, Verdict};
use crate::trace::{Barrier, Packet, STATE_ESTABLISHED, STATE_NEW, Trace, Until};

use super::facts::Facts;

pub(super) fn about_rules(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    if facts.flowtables.is_empty() {
        return Some(Finding::new("OCTL203", "there is no flowtable", "offload is off", "run: offloadctl enable"));
    }
    if trace.adds.is_some() {
        return about_answers(facts);
    }
    let adding: Vec<&Rule> = facts.ruleset.adding_rules(facts.packet(false).family).collect();
    if let Some(dropped) = about_drop(trace).filter(|_| !adding.is_empty()) {
        return Some(dropped);
    }
    let barriers: Vec<_> = adding.iter().map(|rule| (*rule, facts.ruleset.barrier(rule, trace))).collect();
    let accepted = |verdict: &Verdict| *verdict == Verdict::Accept;
    let left = |wanted: bool| {
        barriers.iter().find_map(|(rule, barrier)| match barrier {
            Barrier::Left(by, verdict) if accepted(verdict) == wanted => Some((*rule, *by, *verdict)),
            _ => None,
        })
    };
    if let Some((rule, by, _)) = left(true) {
        return Some(Finding::new(
            "OCTL205",
            format!("its packets are accepted before 'flow add': by {}", by.place()),
            "accepting ends the chain, so that the rule with 'flow add' never sees them",
            format!("put {} before that rule", rule.place()),
        ));
    }
    if let Some((rule, by, verdict)) = left(false) {
        return Some(Finding::new(
            "OCTL217",
            format!("its packets leave the chain before 'flow add': by {}: {}", by.place(), verdict.text()),
            format!("what comes after that rule, such as {}, never sees them", rule.place()),
            "if it should be offloaded, except it from that rule",
        ));
    }
    let mut jumps: Vec<_> = barriers
        .iter()
        .filter_map(|(rule, barrier)| match barrier {
            Barrier::Conditions => Some(rule.place()),
            Barrier::Jump(jump) => Some(jump.place()),
            _ => None,
        })
        .collect();
    jumps.dedup();
    let orphan = barriers.iter().find(|(_, barrier)| *barrier == Barrier::Orphan);
    match (jumps.is_empty(), orphan) {
        (false, _) => Some(Finding::new(
            "OCTL207",
            "no rule with 'flow add' applies to it",
            format!("its packets do not fulfil the conditions of {}", jumps.join(", nor of ")),
            "look at these conditions; the rules that its packets meet stand above",
        )),
        (true, Some((rule, _))) => Some(Finding::new(
            "OCTL218",
            format!("nothing leads to the rule with 'flow add': {}", rule.place()),
            "its chain is neither at the forward hook nor called from there",
            format!("in a chain at the forward hook, add: jump {}", rule.chain),
        )),
        (true, None) => Some(Finding::new(
            "OCTL204",
            "no rule adds such a connection to a flowtable",
            "a flowtable stays empty until a rule in a forward chain says so, in a table of the right family",
            "add 'flow add' to the forward chain, before any rule that accepts (offloadctl ruleset prints an example)",
        )),
    }
}

/// What becomes of answers that nobody has had yet: one side alone keeps asking.
fn about_answers(facts: &Facts) -> Option<Finding> {
    facts.flow.filter(|flow| !flow.is_replied())?;
    let answer = Packet { state: STATE_ESTABLISHED, ..facts.packet(true) };
    let trace = facts.ruleset.follow(&answer, Hook::Forward, Until::End);
    about_drop(&trace).filter(|_| trace.is_certain())
}

fn about_drop(trace: &Trace<'_>) -> Option<Finding> {
    let dropped = trace.dropped.as_ref()?;
    Some(Finding::new(
        "OCTL206",
        match dropped {
            Ok(rule) => format!("its packets are dropped by {}", rule.place()),
            Err(chain) => format!("its packets are dropped by the policy of chain {chain}"),
        },
        "they do not get as far as 'flow add'",
        "if it should pass, allow it in the firewall",
    ))
}

/// What becomes of the first packet of a connection that is not tracked yet.
pub(super) fn about_beginning(facts: &Facts) -> Option<Finding> {
    if facts.flow.is_some() {
        return None;
    }
    let packet = facts.packet(false);
    let status = packet.status.map(|status| status & !STATUS_REPLIED);
    let first = Packet { state: STATE_NEW, status, ..packet };
    let trace = facts.ruleset.follow(&first, Hook::Forward, Until::End);
    about_drop(&trace).filter(|_| trace.is_certain())
}
