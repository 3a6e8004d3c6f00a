//! What the status looks like, as text and as JSON. `README.md` documents both and is compared with what is written.
//!
//! Plain text without colours or cursor movements, so that it is the same on a serial console, in a log and in a pipe.

use std::io::{self, Write};

use crate::conntrack::Path;
use crate::finding::Finding;
use crate::json::Json;
use crate::modules::Module;
use crate::nftables::Flowtable;
use crate::setting::{self, Setting};
use crate::status::{Facts, Status, Verdict};
use crate::totals::FlowTotals;

/// Schema of `status --json`. Fields may be added; a changed meaning gets a new number.
pub const STATUS_SCHEMA: &str = "offloadctl-status/1";

/// A finding as text: what with its id, why, how to fix it. `kind` is the word before it.
///
/// # Errors
/// Of the writer; so for all functions here.
pub fn finding(out: &mut dyn Write, kind: &str, finding: &Finding) -> io::Result<()> {
    let Finding { id, what, why, fix } = finding;
    writeln!(out, "{kind} {id}: {}\n  why: {}\n  fix: {}", printable(what), printable(why), printable(fix))
}

/// The status as text.
pub fn status_text(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let Status { verdict, facts, remarks } = status;
    let answer = match verdict {
        Verdict::OnHardware => "Flow offload is on, in hardware where the device can.",
        Verdict::OnSoftware => "Flow offload is on, in software.",
        Verdict::Off => "Flow offload is off.",
        Verdict::NotWorking => "Flow offload is configured, but cannot work.",
        Verdict::Unknown => "Whether flow offload is on could not be found out.",
    };
    writeln!(out, "{answer}\n")?;
    writeln!(out, "{:<10} {}", "Kernel", facts.kernel)?;
    if let Ok(Some(Setting { offload, hardware })) = facts.setting {
        let word = |on| if on { "on" } else { "off" };
        writeln!(
            out,
            "{:<10} offload {}, hardware {}, in {}{}",
            "Setting",
            word(offload),
            word(hardware),
            setting::FILE,
            if facts.is_uncommitted { " with uncommitted changes" } else { "" }
        )?;
    }
    modules_text(out, &facts.modules)?;
    for flowtable in &facts.flowtables {
        writeln!(out, "{:<10} {}", "Flowtable", printable(&flowtable_text(facts, flowtable)))?;
    }
    for rule in &facts.rules {
        let place = format!("{} {} {}", rule.family.name(), rule.table, rule.chain);
        let text = format!("{place} handle {}: flow add @{}", rule.handle, rule.flowtable);
        writeln!(out, "{:<10} {}", "Rule", printable(&text))?;
    }
    if let Some(devices) = facts.hardware.as_ref().filter(|devices| !devices.is_empty()) {
        let words: Vec<_> =
            devices.iter().map(|(device, capability)| format!("{device} {}", capability.name())).collect();
        writeln!(out, "{:<10} hw-tc-offload of the drivers: {}", "Hardware", printable(&words.join(", ")))?;
    }
    if let Ok(flows) = &facts.flows {
        totals_text(out, flows)?;
    }
    for remark in remarks {
        writeln!(out)?;
        finding(out, "Remark", remark)?;
    }
    Ok(())
}

fn modules_text(out: &mut dyn Write, modules: &[Module]) -> io::Result<()> {
    let (ready, waiting): (Vec<&Module>, Vec<&Module>) = modules.iter().partition(|module| module.state.is_ready());
    writeln!(out, "{:<10} {} of {} ready", "Modules", ready.len(), modules.len())?;
    for module in waiting {
        writeln!(
            out,
            "{:<10} {} {}: package {}, for {}",
            "",
            module.name,
            module.state.name(),
            module.package,
            module.purpose.name()
        )?;
    }
    Ok(())
}

fn flowtable_text(facts: &Facts, flowtable: &Flowtable) -> String {
    let mut text = format!("{} {} {}: ", flowtable.family.name(), flowtable.table, flowtable.name);
    text += &format!("{} priority {}", hook_name(flowtable.hook), flowtable.priority);
    for flag in flags(flowtable) {
        text += ", ";
        text += flag;
    }
    text += ", devices";
    for device in &flowtable.devices {
        text += " ";
        text += device;
        if !facts.is_present(device) {
            text += " (absent)";
        }
    }
    if flowtable.devices.is_empty() {
        text += " none";
    }
    text
}

fn totals_text(out: &mut dyn Write, flows: &FlowTotals) -> io::Result<()> {
    let mut label = "Flows";
    for (path, totals) in Path::ALL.iter().zip(flows.paths) {
        write!(out, "{label:<10} {:<8} {:>6}: ", path.name(), totals.flows)?;
        if totals.flows > 0 && totals.uncounted == totals.flows {
            writeln!(out, "not counted")?;
        } else {
            writeln!(out, "{} packets, {} bytes", totals.packets, totals.bytes)?;
        }
        label = "";
    }
    Ok(())
}

/// The only hook that a flowtable can have today.
fn hook_name(hook: u32) -> String {
    if hook == 0 { "ingress".into() } else { format!("hook {hook}") }
}

/// The words of nft for a flowtable's flags.
fn flags(flowtable: &Flowtable) -> impl Iterator<Item = &'static str> {
    [(flowtable.hardware, "offload"), (flowtable.counter, "counter")]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
}

/// Names come from outside: whatever could move the cursor of a terminal becomes a question mark.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// The status as JSON.
pub fn status_json(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let Status { verdict, facts, remarks } = status;
    let mut json = Json::new(out);
    json.object();
    json.name("schema").text(STATUS_SCHEMA);
    json.name("state").text(match verdict {
        Verdict::OnHardware | Verdict::OnSoftware => "on",
        Verdict::Off => "off",
        Verdict::NotWorking => "not-working",
        Verdict::Unknown => "unknown",
    });
    let is_known = *verdict != Verdict::Unknown;
    let requested = facts.flowtables.iter().any(|flowtable| flowtable.hardware);
    json.name("hardware_requested").boolean(is_known.then_some(requested));
    json.name("kernel").text(&facts.kernel);
    json.name("setting");
    if let Ok(Some(Setting { offload, hardware })) = facts.setting {
        json.object();
        json.name("flow_offloading").boolean(Some(offload));
        json.name("flow_offloading_hw").boolean(Some(hardware));
        json.end()?;
    } else {
        json.boolean(None);
    }
    json.name("modules").list();
    for module in &facts.modules {
        json.object();
        json.name("name").text(module.name);
        json.name("state").text(module.state.name());
        json.name("package").text(module.package);
        json.name("for").text(module.purpose.name());
        json.end()?;
    }
    json.end()?;
    if is_known {
        ruleset_json(&mut json, facts)?;
    } else {
        json.name("flowtables").null();
        json.name("rules").null();
    }
    json.name("hardware").list();
    for (device, capability) in facts.hardware.iter().flatten() {
        json.object();
        json.name("device").text(device);
        json.name("hw_tc_offload").text(capability.name());
        json.end()?;
    }
    json.end()?;
    json.name("flows");
    totals_json(&mut json, facts.flows.as_ref().ok())?;
    json.name("accounting").boolean(facts.accounting);
    findings_json(&mut json, "remarks", remarks)?;
    json.end()
}

/// A member with a list of findings.
pub fn findings_json(json: &mut Json<'_>, name: &'static str, findings: &[Finding]) -> io::Result<()> {
    json.name(name).list();
    for Finding { id, what, why, fix } in findings {
        json.object();
        for (name, value) in [("id", *id), ("what", what), ("why", why), ("fix", fix)] {
            json.name(name).text(value);
        }
        json.end()?;
    }
    json.end()
}

fn ruleset_json(json: &mut Json<'_>, facts: &Facts) -> io::Result<()> {
    json.name("flowtables").list();
    for flowtable in &facts.flowtables {
        flowtable_json(json, facts, flowtable)?;
    }
    json.end()?;
    json.name("rules").list();
    for rule in &facts.rules {
        json.object();
        json.name("family").text(rule.family.name());
        json.name("table").text(&rule.table);
        json.name("chain").text(&rule.chain);
        json.name("handle").number(Some(rule.handle));
        json.name("flowtable").text(&rule.flowtable);
        json.end()?;
    }
    json.end()
}

fn flowtable_json(json: &mut Json<'_>, facts: &Facts, flowtable: &Flowtable) -> io::Result<()> {
    json.object();
    json.name("family").text(flowtable.family.name());
    json.name("table").text(&flowtable.table);
    json.name("name").text(&flowtable.name);
    json.name("hook").text(&hook_name(flowtable.hook));
    json.name("priority").signed(flowtable.priority);
    json.name("flags").list();
    for flag in flags(flowtable) {
        json.text(flag);
    }
    json.end()?;
    json.name("devices").list();
    for device in &flowtable.devices {
        json.object();
        json.name("name").text(device);
        json.name("present").boolean(Some(facts.is_present(device)));
        json.end()?;
    }
    json.end()?;
    json.end()
}

fn totals_json(json: &mut Json<'_>, flows: Option<&FlowTotals>) -> io::Result<()> {
    let Some(flows) = flows else {
        json.number(None);
        return Ok(());
    };
    json.object();
    json.name("source").text(flows.source.name());
    for (path, totals) in Path::ALL.iter().zip(flows.paths) {
        json.name(path.name()).object();
        json.name("flows").number(Some(totals.flows));
        json.name("uncounted").number(Some(totals.uncounted));
        json.name("packets").number(Some(totals.packets));
        json.name("bytes").number(Some(totals.bytes));
        json.end()?;
    }
    json.end()
}
