//! What the answer to `explain` looks like, as text and as JSON; `README.md` documents both.

use std::io::{self, Write};

use crate::conntrack::{self, Flow, Path};
use crate::devices::Side;
use crate::explain::{Explanation, Facts};
use crate::json::Json;
use crate::list::{self, endpoint};
use crate::nftables::Flowtable;
use crate::report::{self, printable};
use crate::ruleset::{Expression, Rule};
use crate::trace::{Match, Step};

/// Schema of `explain --json`. Fields may be added; a changed meaning gets a new number.
const SCHEMA: &str = "offloadctl-explain/1";

/// Writes facts, the way through the rules, and the answer.
///
/// # Errors
/// Of the writer.
pub fn write(out: &mut dyn Write, facts: &Facts, explanation: &Explanation) -> io::Result<()> {
    let Explanation { path, causes } = explanation;
    writeln!(out, "{:<11} {}", "Connection", connection(facts))?;
    let (near, far) = &facts.devices;
    writeln!(out, "{:<11} {} and {}, by route", "Devices", side(near.as_ref()), side(far.as_ref()))?;
    for flowtable in &facts.flowtables {
        let devices = flowtable.devices.join(" ");
        let text = format!("{} {} {}: {devices}", flowtable.family.name(), flowtable.table, flowtable.name);
        writeln!(out, "{:<11} {}", "Flowtable", printable(&text))?;
    }
    let (is_back, trace) = facts.trace();
    let mut label = if is_back { "Rules back" } else { "Rules there" };
    for step in &trace.steps {
        writeln!(out, "{label:<11} {}", printable(&rule(step)))?;
        label = "";
    }
    let answer = match path {
        Some(Path::Hardware) => "is marked as offloaded, in hardware",
        Some(Path::Software) => "is marked as offloaded, in software",
        Some(Path::Slow) => "is not offloaded",
        None if !facts.is_local && causes.len() <= 1 => "is not known, and could be offloaded",
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

/// The same for programs.
///
/// # Errors
/// Of the writer.
pub fn write_json(out: &mut dyn Write, facts: &Facts, explanation: &Explanation) -> io::Result<()> {
    let mut json = Json::new(out);
    json.object();
    json.name("schema").text(SCHEMA);
    json.name("offloaded").boolean(explanation.is_offloaded());
    report::findings_json(&mut json, "causes", &explanation.causes)?;
    json.name("matching").number(Some(facts.matching));
    json.name("connection");
    match &facts.flow {
        Some(flow) => connection_json(&mut json, flow)?,
        None => json.null(),
    }
    json.name("devices").object();
    for (name, device) in [("original", &facts.devices.0), ("reply", &facts.devices.1)] {
        json.name(name);
        match device {
            Some(side) => json.text(&side.name),
            None => json.null(),
        }
    }
    json.end()?;
    json.name("flowtables").list();
    for Flowtable { family, table, name, devices, .. } in &facts.flowtables {
        json.object();
        for (member, value) in [("family", family.name()), ("table", table), ("name", name)] {
            json.name(member).text(value);
        }
        json.name("devices").list();
        devices.iter().for_each(|device| json.text(device));
        json.end()?;
        json.end()?;
    }
    json.end()?;
    json.name("rules").list();
    let (is_back, trace) = facts.trace();
    for step in &trace.steps {
        rule_json(&mut json, step)?;
    }
    json.end()?;
    json.name("rules_of").text(if is_back { "reply" } else { "original" });
    json.end()
}

fn connection_json(json: &mut Json<'_>, flow: &Flow) -> io::Result<()> {
    json.object();
    list::flow_members(json, flow)?;
    json.name("replied").boolean(Some(flow.is_replied()));
    for (name, value) in
        [("tcp_state", flow.details.tcp_state_name().map(String::from)), ("helper", flow.details.helper_name())]
    {
        json.name(name);
        match value {
            Some(value) => json.text(&value),
            None => json.null(),
        }
    }
    json.name("mark").number(Some(flow.details.mark.into()));
    json.end()
}

fn rule_json(json: &mut Json<'_>, step: &Step<'_>) -> io::Result<()> {
    let Step { rule, matched, depth, .. } = step;
    json.object();
    for (name, value) in [("family", rule.family.name()), ("table", &rule.table), ("chain", &rule.chain)] {
        json.name(name).text(value);
    }
    json.name("handle").number(Some(rule.handle));
    json.name("depth").number(u64::try_from(*depth).ok());
    json.name("text").text(&words(rule));
    json.name("applies").text(match matched {
        Match::Yes => "yes",
        Match::No => "no",
        Match::Perhaps => "perhaps",
    });
    json.end()
}

/// The device with the route, and what the kernel finds below it.
fn side(side: Option<&Side>) -> String {
    let Some(side) = side else { return "?".into() };
    let below = match &side.ways[..] {
        [way] => way.devices.get(1..).unwrap_or_default().join(", "),
        _ => String::new(),
    };
    printable(&if below.is_empty() { side.name.clone() } else { format!("{} (over {below})", side.name) })
}

fn connection(facts: &Facts) -> String {
    let Some(flow) = facts.flow else {
        return format!("none between {} and {}", facts.question.source, facts.question.destination);
    };
    let Flow { original, details, .. } = flow;
    let mut text = format!(
        "{} {} > {}",
        conntrack::protocol_text(flow.protocol),
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
    let Step { rule, matched, depth, .. } = step;
    let applies = match matched {
        Match::Yes => "applies",
        Match::No => "does not apply",
        Match::Perhaps => "perhaps",
    };
    let indent = "  ".repeat(*depth);
    format!("{indent}{} {} handle {}: {}: {applies}", rule.table, rule.chain, rule.handle, words(rule))
}

/// What a rule says, as far as it is understood.
fn words(rule: &Rule) -> String {
    let words: Vec<_> = rule.expressions.iter().map(Expression::text).filter(|text| !text.is_empty()).collect();
    words.join(" ")
}
