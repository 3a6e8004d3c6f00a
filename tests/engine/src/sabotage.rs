//! The suite's test of itself: offload is broken on purpose, and every scenario that needs it must notice.
//!
//! Rules are broken on the router, through its own `nft`, after whatever loaded them: so it makes no difference
//! whether a scenario brought them, fw4 wrote them, or a tool did.

use std::time::Duration;

use model::{CheckKind, Deadline, Finding, Record, Result, Sabotage, Severity, Verdict};
use vm::guest::Guest;

use crate::ask;
use crate::forward;
use crate::scenario::Scenario;

/// How long the router may take to answer.
const COMMAND: Duration = Duration::from_secs(60);
/// Marks what was put in by this module.
const MARK: &str = "sabotage";

/// The switch of the card's driver, once that is loaded.
const BYPASS: &str = "bypass=/sys/module/nft_test_card/parameters/bypass; [ ! -e $bypass ] || echo 1 >$bypass";

/// Breaks whatever rules are loaded now; false where there was nothing to break.
pub(crate) fn apply(way: Sabotage, guest: &mut dyn Guest) -> Result<bool> {
    if way == Sabotage::NoHardware {
        return ask::read(guest, &["sh", "-c", BYPASS]).map(|_| true);
    }
    // Nothing can be listed before the first package brought nftables' modules.
    let listing = guest.run(&["nft", "-a", "list", "ruleset"], Deadline::after(COMMAND))?;
    let text = if listing.success() { listing.text() } else { String::new() };
    let commands = commands(way, &text);
    for (table, command) in &commands {
        if way == Sabotage::AcceptFirst {
            ask::read(guest, &["nft", command])?;
        } else if !guest.run(&["nft", command], Deadline::after(COMMAND))?.success() {
            // Older nft says priority 0 when it takes devices away, and kernels to 6.1 refuse any but the flowtable's own.
            let text = ask::read(guest, &["nft", &format!("list table {table}")])?;
            let script = format!("nft -f - <<'END'\ndelete table {table}\n{}\nEND", without_devices(way, &text));
            ask::read(guest, &["sh", "-ec", &script])?;
        }
    }
    Ok(!commands.is_empty())
}

/// A table as it would be listed afterwards.
fn without_devices(way: Sabotage, table: &str) -> String {
    let change = |line: &str| match line.split_once("devices = {") {
        None => Some(line.to_owned()),
        Some(_) if way == Sabotage::NoFastPath => None,
        Some((indent, devices)) => {
            let last = devices.trim_end_matches([' ', '}']).rsplit([',', ' ']).next().unwrap_or_default();
            Some(format!("{indent}devices = {{ {last} }}"))
        }
    };
    table.lines().filter_map(change).collect::<Vec<_>>().join("\n")
}

/// Why a scenario that passed had nothing to notice, if `broken` says that no rules were broken: a flowtable with one device
/// has none to lose.
pub(crate) fn spared(way: Sabotage, broken: bool) -> Option<&'static str> {
    (way == Sabotage::OneDevice && !broken).then_some("its flowtables have one device only, and lose none")
}

/// What breaks the rules of a listing with handles, each beside the table that it is for.
fn commands(way: Sabotage, listing: &str) -> Vec<(&str, String)> {
    let ours = format!("inet {}", forward::TABLE);
    let (mut table, mut block, mut before) = ("", "", "");
    let mut commands = Vec::new();
    for line in listing.lines().map(str::trim) {
        let head = line.split(" {").next().unwrap_or_default();
        match head.split_once(' ') {
            Some(("table", name)) => table = name,
            Some(("chain" | "flowtable", name)) => block = name,
            _ if table != ours => {
                commands.extend(command(way, table, block, line, before).map(|command| (table, command)));
            }
            _ => {}
        }
        before = line;
    }
    commands
}

fn command(way: Sabotage, table: &str, block: &str, line: &str, before: &str) -> Option<String> {
    // The last device stays: where packets go back through the card that they came in by, the first one is enough.
    let is_whole_list = match way {
        Sabotage::AcceptFirst => {
            let (rule, handle) = line.split_once(" # handle ")?;
            let accept = format!("ct state established,related accept comment \"{MARK}\"");
            let wanted = rule.contains("flow add @") && !before.contains(MARK);
            return wanted.then(|| format!("insert rule {table} {block} position {handle} {accept}"));
        }
        Sabotage::NoFastPath => true,
        Sabotage::OneDevice => false,
        Sabotage::NoHardware => return None,
    };
    let devices = line.strip_prefix("devices = {")?.trim_end_matches('}');
    let mut lost: Vec<_> = devices.split(',').map(str::trim).collect();
    if !is_whole_list {
        lost.pop();
    }
    let lost = lost.join(", ");
    let what = format!("hook ingress priority 0; devices = {{ {lost} }};");
    (!lost.is_empty()).then(|| format!("delete flowtable {table} {block} {{ {what} }}"))
}

/// Whether a scenario must notice.
pub(crate) fn concerns(way: Sabotage, scenario: &Scenario, kernel: &str) -> bool {
    match way {
        Sabotage::NoFastPath | Sabotage::OneDevice | Sabotage::AcceptFirst => scenario.needs_fast_path(kernel),
        Sabotage::NoHardware => scenario.needs_hardware(kernel),
    }
}

/// What a scenario's verdict means: it had to notice, by the path of its packets or by conntrack.
pub(crate) fn verdict(way: Sabotage, verdict: Verdict, record: &Record, notes: &mut Vec<String>) -> Verdict {
    match verdict {
        Verdict::Fail { finding } if noticed(record) => {
            notes.push(format!("turned red, as it must: {}: {}", finding.id, finding.what));
            Verdict::Pass
        }
        Verdict::Fail { finding } => Verdict::Blocked { finding: elsewhere(&finding) },
        Verdict::Pass => Verdict::Fail { finding: unnoticed(way) },
        other => other,
    }
}

fn unnoticed(way: Sabotage) -> Finding {
    Finding {
        id: "SELF001",
        severity: Severity::Error,
        place: None,
        what: format!("offload was broken ({}), and the scenario passed all the same", way.word()),
        why: "a scenario that passes without the fast path proves nothing about it".into(),
        fix: "make the scenario judge the path of its traffic after the rules that offload it are loaded".into(),
    }
}

/// Whether what ended the scenario is what the sabotage does.
fn noticed(record: &Record) -> bool {
    let failed = record.checks.iter().rfind(|check| !check.holds);
    failed.is_some_and(|check| matches!(check.kind, CheckKind::Path | CheckKind::Conntrack))
}

fn elsewhere(finding: &Finding) -> Finding {
    Finding {
        id: "SELF002",
        severity: Severity::Error,
        place: finding.place.clone(),
        what: format!("the scenario failed for another reason than its traffic: {}: {}", finding.id, finding.what),
        why: finding.why.clone(),
        fix: "run it without --sabotage first".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Check;

    const LISTING: &str = r#"table inet probe { # handle 1
	chain forward { # handle 2
		type filter hook forward priority -500; policy accept;
	}
}
table inet fw4 { # handle 2
	flowtable ft { # handle 3
		hook ingress priority filter
		devices = { eth0, eth0.7, eth1 }
		counter
	}

	chain forward { # handle 4
		type filter hook forward priority filter; policy drop;
		meta l4proto { 6, 17 } flow add @ft # handle 9
	}
}
"#;

    #[test]
    fn rules_are_broken_wherever_they_come_from() {
        let words = |way, listing: &str| {
            let commands = commands(way, listing);
            assert!(commands.iter().all(|(table, _)| *table == "inet fw4"));
            commands.into_iter().map(|(_, command)| command).collect::<Vec<_>>()
        };
        let delete = |devices: &str| {
            [format!("delete flowtable inet fw4 ft {{ hook ingress priority 0; devices = {{ {devices} }}; }}")]
        };
        assert_eq!(words(Sabotage::NoFastPath, LISTING), delete("eth0, eth0.7, eth1"));
        assert_eq!(words(Sabotage::OneDevice, LISTING), delete("eth0, eth0.7"));
        let accept = "insert rule inet fw4 forward position 9 ct state established,related accept comment \"sabotage\"";
        assert_eq!(words(Sabotage::AcceptFirst, LISTING), [accept]);
        let once = LISTING.replace("\t\tmeta", "\t\taccept comment \"sabotage\" # handle 8\n\t\tmeta");
        assert_eq!(words(Sabotage::AcceptFirst, &once), [""; 0]);
        assert_eq!(words(Sabotage::OneDevice, &LISTING.replace("eth0, eth0.7, eth1", "eth0")), [""; 0]);
    }

    #[test]
    fn a_table_is_written_anew_without_the_devices_that_nft_cannot_take_away() {
        let line = "\t\tdevices = { eth0, eth0.7, eth1 }\n";
        assert_eq!(without_devices(Sabotage::NoFastPath, LISTING) + "\n", LISTING.replace(line, ""));
        let one = LISTING.replace(line, "\t\tdevices = { eth1 }\n");
        assert_eq!(without_devices(Sabotage::OneDevice, LISTING) + "\n", one);
    }

    #[test]
    fn only_a_list_of_one_device_is_spared() {
        assert!(spared(Sabotage::OneDevice, false).is_some() && spared(Sabotage::OneDevice, true).is_none());
        for way in [Sabotage::NoFastPath, Sabotage::AcceptFirst, Sabotage::NoHardware] {
            assert_eq!(spared(way, false), None, "{way:?}");
        }
    }

    #[test]
    fn a_scenario_passes_when_it_notices_by_what_was_broken() {
        let check = |kind| Check {
            at: "step 1".into(),
            kind,
            subject: "a".into(),
            expected: "fast".into(),
            observed: "slow".into(),
            detail: String::new(),
            holds: false,
        };
        let record = |kind| Record { checks: vec![check(kind)], ..Record::default() };
        let red = || Verdict::Fail { finding: unnoticed(Sabotage::OneDevice) };
        let mut notes = Vec::new();
        let mut judged = |red, kind| verdict(Sabotage::OneDevice, red, &record(kind), &mut notes);
        assert_eq!(judged(red(), CheckKind::Path), Verdict::Pass);
        let id = |verdict| match verdict {
            Verdict::Fail { finding } | Verdict::Blocked { finding } => finding.id,
            _ => "",
        };
        assert_eq!(id(judged(Verdict::Pass, CheckKind::Path)), "SELF001");
        assert_eq!(id(judged(red(), CheckKind::Step)), "SELF002");
        assert!(notes[0].contains("turned red"));
    }
}
