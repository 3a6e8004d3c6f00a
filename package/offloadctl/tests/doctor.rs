//! Each known conflict, where it is and where it is not.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::fs;

use common::{attribute, message};
use offloadctl::devices::{Device, Devices, Kind};
use offloadctl::doctor::{CONFLICTS, Facts, examine};
use offloadctl::examination;
use offloadctl::finding::Finding;
use offloadctl::nftables::Family;
use offloadctl::queues;
use offloadctl::ruleset::{Expression, Rule};
use offloadctl::uci::Config;

fn device(name: &str, mtu: u32) -> Device {
    Device { mtu, ..common::device(name, Kind::Plain, &[]) }
}

/// A router on which everything goes well: two devices, a table as the firewall makes it.
fn facts() -> Facts {
    Facts {
        kernel: "6.12.1".into(),
        kernels_with_module: vec!["6.12.1".into()],
        modules: vec!["nft_flow_offload".into()],
        flowtables: common::recorded_flowtables(),
        devices: Devices {
            list: vec![device("lan", 1500), device("wan", 1500), device("wg0", 1420)],
            kernel: (6, 12),
            ..Devices::default()
        },
        queues: vec![("wan".into(), "fq_codel".into()), ("wg0".into(), "clsact".into())],
        ..Facts::default()
    }
}

fn rule(chain: &str, name: &str) -> Rule {
    let expressions = vec![Expression::Other("counter".into()), Expression::Other(name.into())];
    Rule { family: Family(1), table: "fw4".into(), chain: chain.into(), handle: 9, expressions }
}

fn config(name: &'static str, text: &str) -> (&'static str, Config) {
    (name, Config::parse(text.into()).unwrap())
}

fn found(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = facts();
    change(&mut facts);
    examine(&facts)
        .into_iter()
        .map(|finding| format!("{} {}", finding.id, finding.what.rsplit(": ").next().unwrap()))
        .collect()
}

#[test]
fn each_conflict_is_seen_where_it_is() {
    type Change = fn(&mut Facts);
    let cases: [(Change, &str); 18] = [
        (|facts| facts.kernel = "6.6.9".into(), "OCTL301 6.12.1"),
        (|facts| facts.modules.push("shortcut_fe".into()), "OCTL302 shortcut_fe"),
        (
            |facts| {
                facts.queues.push(("wan".into(), "ingress".into()));
                facts.devices.list.push(device("ifb4wan", 1500));
            },
            "OCTL303 wan",
        ),
        (|facts| facts.configs.push(config("sqm", "config queue 'wan'\n\toption enabled '1'\n")), "OCTL304 sqm"),
        (|facts| facts.configs.push(config("qos", "config interface wan\n\toption enabled 1\n")), "OCTL304 qos"),
        (|facts| facts.marked_rules = 2, "OCTL305 2 routing rules"),
        (|facts| facts.configs.push(config("mwan3", "")), "OCTL305 mwan3"),
        (|facts| facts.ruleset.rules.push(rule("forward_wan", "log")), "OCTL306 fw4 forward_wan handle 9"),
        (
            |facts| facts.ruleset.rules = vec![rule("forward", "log"), rule("forward", "log")],
            "OCTL306 fw4 forward handle 9 and 1 more",
        ),
        (|facts| facts.ruleset.rules.push(rule("forward", "limit bytes")), "OCTL307 fw4 forward handle 9"),
        (|facts| facts.ruleset.rules.push(rule("forward", "quota")), "OCTL307 fw4 forward handle 9"),
        (|facts| facts.ruleset.rules.push(rule("mangle_forward", "payload")), "OCTL307 fw4 mangle_forward handle 9"),
        (
            |facts| {
                facts.configs.push(config("nlbwmon", ""));
                facts.flowtables[0].counter = false;
            },
            "OCTL308 nlbwmon",
        ),
        (
            |facts| {
                facts.configs.push(config("nlbwmon", ""));
                facts.flowtables[0].hardware = true;
            },
            "OCTL308 nlbwmon",
        ),
        (
            |facts| {
                facts.kernel = "5.10.176".into();
                facts.kernels_with_module = vec!["5.10.176".into()];
                facts.devices.list[0].kind = Kind::Vlan;
                facts.devices.is_old = true;
            },
            "OCTL309 lan",
        ),
        (|facts| facts.devices.list[1].mtu = 1492, "OCTL310 lan 1500 wan 1492"),
        (|facts| facts.ipsec_addresses = vec!["10.9.0.1".into()], "OCTL311 10.9.0.1"),
        (|facts| facts.modules.extend(["nf_conntrack_sip".into(), "nf_conntrack_ftp".into()]), "OCTL312 sip ftp"),
    ];
    for (change, expected) in cases {
        assert_eq!(found(change), [expected]);
    }
}

#[test]
fn and_not_where_it_is_not() {
    type Change = fn(&mut Facts);
    let cases: [Change; 15] = [
        |_| {},
        |facts| {
            facts.flowtables.clear();
            facts.ipsec_addresses = vec!["10.9.0.1".into()];
        },
        |facts| facts.kernels_with_module.clear(),
        |facts| facts.kernels_with_module.push("5.10.1".into()),
        // A classifier without an ifb device redirects nothing; one on another device is no concern.
        |facts| facts.queues.push(("wan".into(), "clsact".into())),
        |facts| facts.devices.list.push(device("ifb0", 1500)),
        |facts| facts.configs.push(config("sqm", "config queue\n\toption enabled '0'\n")),
        |facts| facts.ruleset.rules.push(rule("input", "log")),
        // MSS clamping and the limit on forwarded ICMPv6, as OpenWrt comes with them.
        |facts| facts.ruleset.rules = vec![rule("mangle_forward", "exthdr"), rule("forward_wan", "limit")],
        |facts| {
            facts.flowtables.clear();
            facts.ruleset.rules.push(rule("forward", "log"));
        },
        |facts| facts.configs.push(config("nlbwmon", "")),
        |facts| facts.devices.list[0].kind = Kind::Vlan,
        |facts| {
            facts.devices.list[1].mtu = 1492;
            facts.configs.push(config("firewall", "config zone\n\toption mtu_fix 1\n"));
        },
        |facts| facts.devices.list[2].mtu = 1280,
        |facts| facts.modules.push("nf_conntrack_netlink".into()),
    ];
    for (case, change) in cases.into_iter().enumerate() {
        assert_eq!(found(change), [""; 0], "case {case}");
    }
}

#[test]
fn each_entry_is_tested_above() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctor.rs")).unwrap();
    for number in 1..=CONFLICTS.len() {
        assert!(text.contains(&format!("\"OCTL3{number:02} ")), "{number}");
    }
}

#[test]
fn the_findings_are_written_as_the_readme_shows() {
    let mut facts = facts();
    facts.ruleset.rules.push(rule("forward_wan", "log"));
    let mut out = Vec::new();
    let remarks = [Finding::new("TEST", "what", "why", "fix")];
    examination::write(&mut out, &[], &examine(&facts)).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(include_str!("../README.md").contains(&format!("```text\n{text}```\n")), "not in README.md:\n{text}");
    let mut out = Vec::new();
    examination::write_json(&mut out, &[], &examine(&facts)).unwrap();
    let json = String::from_utf8(out).unwrap();
    assert!(include_str!("../README.md").contains(&format!("```json\n{json}```\n")), "not in README.md:\n{json}");
    let mut out = Vec::new();
    examination::write(&mut out, &remarks, &[]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "Remark TEST: what\n  why: why\n  fix: fix\n\n1 remarks about the state, 0 conflicts.\n");
}

#[test]
fn queues_and_rules_made_by_hand() {
    let mut bytes = vec![0; 20];
    bytes[4] = 3;
    bytes.extend(attribute(1, b"ingress\0"));
    if cfg!(target_endian = "little") {
        assert_eq!(queues::queue(&message(&bytes)), Ok((3, "ingress".into())));
    }
    assert!(queues::queue(&message(&bytes[..19])).is_err());
    let with = |mark: u32| [vec![0; 12], attribute(10, &mark.to_ne_bytes())].concat();
    assert_eq!(queues::has_mark(&message(&with(0x100))), Ok(true));
    assert_eq!(queues::has_mark(&message(&with(0))), Ok(false));
    assert_eq!(queues::has_mark(&message(&[0; 12])), Ok(false));
    assert!(queues::has_mark(&message(&[0; 11])).is_err());
}
