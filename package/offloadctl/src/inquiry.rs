//! Collects what [`crate::explain`] judges, and writes down the answer.

use std::io::{self, Write};

use crate::conntrack::{Counters, Flow, Path};
use crate::ethtool;
use crate::explain::{Explanation, Facts, Question};
use crate::files::Files;
use crate::finding::Stop;
use crate::flows;
use crate::list::endpoint;
use crate::modules::{self, Module, State};
use crate::nftables;
use crate::report::{self, printable};
use crate::route::{self, Device, Route};
use crate::ruleset::{self, Expression};
use crate::socket::Trouble;
use crate::trace::{Match, Ruleset, Step};
use crate::xfrm;

/// Asks the kernel about one connection.
///
/// # Errors
/// Connections or rules cannot be read, so that nothing can be said.
pub fn ask(files: &Files, question: Question) -> Result<Facts, Stop> {
    let modules = modules::survey(files);
    let mut flow: Option<Flow> = None;
    let mut matching = 0;
    flows::each(files, flows::source(files, &modules)?, |found| {
        if question.fits(found) {
            matching += 1;
            if flow.is_none_or(|kept| bytes(found) > bytes(&kept)) {
                flow = Some(*found);
            }
        }
        Ok(())
    })?;
    // What the far end is called at this router: the address behind a translated one, too.
    let ends = [
        flow.and_then(|flow| flow.original.source).unwrap_or(question.source),
        flow.and_then(|flow| flow.reply.source).unwrap_or(question.destination),
    ];
    let [near, far] = ends.map(|address| route::towards(address).unwrap_or_default());
    let device = |route: Route| -> Option<Device> { route::device(files, route.device) };
    let policies = xfrm::policies(files).unwrap_or_default();
    let is_known = modules::state_of(&modules, "nf_tables") != State::Loadable;
    let unreadable = |trouble: Trouble| trouble.finding("the rules");
    Ok(Facts {
        question,
        flow,
        matching,
        devices: (device(near), device(far)),
        is_local: near.is_local || far.is_local,
        is_ipsec: policies.iter().any(|policy| policy.covers(ends[0], ends[1])),
        ruleset: ruleset(&modules).map_err(unreadable)?,
        flowtables: if is_known { nftables::flowtables().or_else(none_there).map_err(unreadable)? } else { Vec::new() },
        hardware: ethtool::capabilities().ok(),
    })
}

fn bytes(flow: &Flow) -> u64 {
    let count = |counters: Option<Counters>| counters.map_or(0, |counted| counted.bytes);
    count(flow.original.counters).saturating_add(count(flow.reply.counters))
}

/// A kernel without nf_tables has no rules.
fn none_there<T>(trouble: Trouble) -> Result<Vec<T>, Trouble> {
    if trouble == Trouble::NotThere { Ok(Vec::new()) } else { Err(trouble) }
}

/// All rules; none where nf_tables is not loaded, as asking would load it.
///
/// # Errors
/// What the kernel refused.
pub fn ruleset(modules: &[Module]) -> Result<Ruleset, Trouble> {
    if modules::state_of(modules, "nf_tables") == State::Loadable {
        return Ok(Ruleset::default());
    }
    let chains = ruleset::chains().or_else(none_there)?;
    let rules = ruleset::rules().or_else(none_there)?;
    let mut sets: Vec<(nftables::Family, String, String, Vec<ruleset::Element>)> = Vec::new();
    for rule in &rules {
        for expression in &rule.expressions {
            let Expression::Lookup { set, .. } = expression else { continue };
            let is_read =
                sets.iter().any(|(family, table, name, _)| (*family, table, name) == (rule.family, &rule.table, set));
            // A set that cannot be read makes its rules apply perhaps, which is true.
            if let (false, Ok(elements)) = (is_read, ruleset::elements(rule.family, &rule.table, set)) {
                sets.push((rule.family, rule.table.clone(), set.clone(), elements));
            }
        }
    }
    Ok(Ruleset { chains, rules, sets })
}

/// Writes facts, the way through the rules, and the answer.
///
/// # Errors
/// Of the writer.
pub fn write(out: &mut dyn Write, facts: &Facts, explanation: &Explanation) -> io::Result<()> {
    let Explanation { path, causes } = explanation;
    writeln!(out, "{:<11} {}", "Connection", connection(facts))?;
    let name = |device: &Option<Device>| device.as_ref().map_or("?".into(), |device| printable(&device.name));
    let (near, far) = &facts.devices;
    writeln!(out, "{:<11} {} and {}, by route", "Devices", name(near), name(far))?;
    for flowtable in &facts.flowtables {
        let devices = flowtable.devices.join(" ");
        let text = format!("{} {} {}: {devices}", flowtable.family.name(), flowtable.table, flowtable.name);
        writeln!(out, "{:<11} {}", "Flowtable", printable(&text))?;
    }
    let trace = facts.trace();
    let mut label = "Rules";
    for step in &trace.steps {
        writeln!(out, "{label:<11} {}", printable(&rule(step)))?;
        label = "";
    }
    let answer = match path {
        Some(Path::Hardware) => "is marked as offloaded, in hardware",
        Some(Path::Software) => "is marked as offloaded, in software",
        Some(Path::Slow) => "is not offloaded",
        None if causes.len() <= 1 => "is not known, and could be offloaded",
        None => "is not known, and would not be offloaded",
    };
    writeln!(out, "\nThe connection {answer}.")?;
    if matches!(path, Some(Path::Hardware | Path::Software)) {
        writeln!(out, "Fragments, packets with IP options and those above the MTU take the slow path nevertheless.")?;
    }
    for cause in causes {
        writeln!(out)?;
        report::finding(out, "Cause", cause)?;
    }
    Ok(())
}

fn connection(facts: &Facts) -> String {
    let Some(flow) = facts.flow else {
        return format!("none between {} and {}", facts.question.source, facts.question.destination);
    };
    let Flow { original, details, .. } = flow;
    let mut text = format!(
        "{} {} > {}",
        flow.protocol_name(),
        endpoint(original.source, original.source_port),
        endpoint(original.destination, original.destination_port)
    );
    for word in details.tcp_state_name().into_iter().chain((!flow.is_replied()).then_some("no reply yet")) {
        text += ", ";
        text += word;
    }
    if facts.matching > 1 {
        text += &format!(" (the largest of {})", facts.matching);
    }
    text
}

/// One rule with what it does, indented by its depth.
fn rule(step: &Step<'_>) -> String {
    let Step { rule, matched, depth } = step;
    let applies = match matched {
        Match::Yes => "applies",
        Match::No => "does not apply",
        Match::Perhaps => "perhaps",
    };
    let words: Vec<_> = rule.expressions.iter().map(Expression::text).filter(|text| !text.is_empty()).collect();
    let indent = "  ".repeat(*depth);
    format!("{indent}{} {} handle {}: {}: {applies}", rule.table, rule.chain, rule.handle, words.join(" "))
}

/// Reads `tcp/443`, `udp` or a protocol's number.
pub fn service(text: &str) -> Option<(u8, Option<u16>)> {
    let (name, port) = match text.split_once('/') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let protocol =
        (0..=u8::MAX).find(|number| Flow { protocol: *number, ..Flow::default() }.protocol_name() == name)?;
    Some((protocol, port))
}
