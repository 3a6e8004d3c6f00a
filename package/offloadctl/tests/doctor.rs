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
use offloadctl::queues::{self, Redirects};
use offloadctl::ruleset::{Base, Chain, Expression, Hook, Rule, Verdict};
use offloadctl::trace::Ruleset;
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
        ruleset: ruleset(),
        queues: vec![("wan".into(), "fq_codel".into()), ("wg0".into(), "clsact".into())],
        ..Facts::default()
    }
}

fn rule(chain: &str, name: &str) -> Rule {
    with(chain, vec![Expression::Other("counter".into()), Expression::Other(name.into())])
}

fn with(chain: &str, expressions: Vec<Expression>) -> Rule {
    Rule { family: Family(1), table: "fw4".into(), chain: chain.into(), handle: 9, expressions }
}

/// The chains of a firewall; `forward` calls `forward_wan`, and nothing calls `orphan`.
fn ruleset() -> Ruleset {
    let hooks = [
        ("prerouting", Some(Hook::Prerouting)),
        ("input", Some(Hook::Input)),
        ("forward", Some(Hook::Forward)),
        ("mangle_forward", Some(Hook::Forward)),
        ("postrouting", Some(Hook::Postrouting)),
        ("forward_wan", None),
        ("orphan", None),
    ];
    let base = |hook| Base { hook, priority: 0, is_nat: false, devices: Vec::new() };
    let chain = |(name, hook): (&str, Option<Hook>)| Chain {
        family: Family(1),
        table: "fw4".into(),
        name: name.into(),
        base: hook.map(base),
        drops: false,
    };
    Ruleset {
        chains: hooks.map(chain).into(),
        rules: vec![with("forward", vec![Expression::Verdict(Verdict::Jump("forward_wan".into()))])],
        sets: Vec::new(),
    }
}

/// `iifname NAME`, `ct state …`, `meta l4proto …`: one property and what it has to be.
fn is(load: Expression, value: &[u8], chain: &str, name: &str) -> Rule {
    let compare = Expression::Compare { from: 1, operator: 0, value: value.to_vec() };
    with(chain, vec![load, compare, Expression::Other(name.into())])
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
    let cases: [(Change, &str); 23] = [
        (|facts| facts.kernel = "6.6.9".into(), "OCTL301 6.12.1"),
        (|facts| facts.modules.push("shortcut_fe".into()), "OCTL302 shortcut_fe"),
        (|facts| facts.redirecting.push("wan".into()), "OCTL303 wan"),
        (|facts| facts.configs.push(config("sqm", "config queue 'wan'\n\toption enabled '1'\n")), "OCTL304 sqm"),
        (|facts| facts.configs.push(config("qos", "config interface wan\n\toption enabled 1\n")), "OCTL304 qos"),
        (|facts| facts.marked_rules = 2, "OCTL305 2 routing rules"),
        (|facts| facts.configs.push(config("mwan3", "config interface wan\n\toption enabled 1\n")), "OCTL305 mwan3"),
        (|facts| facts.configs.push(config("pbr", "config pbr config\n\toption enabled 1\n")), "OCTL305 pbr"),
        (|facts| facts.ruleset.rules.push(rule("forward_wan", "log")), "OCTL306 fw4 forward_wan handle 9"),
        (
            |facts| facts.ruleset.rules.extend([rule("forward", "log"), rule("forward", "log")]),
            "OCTL306 fw4 forward handle 9 and 1 more",
        ),
        (|facts| facts.ruleset.rules.push(rule("forward", "limit bytes")), "OCTL307 fw4 forward handle 9"),
        (|facts| facts.ruleset.rules.push(rule("forward", "quota")), "OCTL307 fw4 forward handle 9"),
        (
            |facts| facts.ruleset.rules.push(rule("mangle_forward", "payload set")),
            "OCTL307 fw4 mangle_forward handle 9",
        ),
        (|facts| facts.ruleset.rules.push(rule("prerouting", "payload set")), "OCTL307 fw4 prerouting handle 9"),
        (|facts| facts.ruleset.rules.push(rule("postrouting", "quota")), "OCTL307 fw4 postrouting handle 9"),
        (
            |facts| facts.ruleset.rules.push(with("forward", vec![Expression::Verdict(Verdict::Queue)])),
            "OCTL314 fw4 forward handle 9",
        ),
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
        (|facts| facts.devices.list[1].kind = Kind::SixInFour, "OCTL315 wan"),
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
    let cases: [Change; 24] = [
        |_| {},
        |facts| facts.devices.list[2].kind = Kind::SixInFour,
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
        |facts| {
            let icmp = is(Expression::Meta { key: 16, to: 1 }, &[58], "forward_wan", "limit");
            facts.ruleset.rules.extend([rule("mangle_forward", "exthdr set"), icmp]);
        },
        // A rule for connections that begin, one in a chain that nothing calls, one behind what accepts, one for a device that
        // no flowtable has.
        |facts| {
            let state = Expression::Connection { key: 0, direction: None, to: 1 };
            facts.ruleset.rules.push(is(state, &8_u32.to_ne_bytes(), "forward", "log"));
        },
        |facts| facts.ruleset.rules.push(rule("orphan", "log")),
        |facts| {
            facts
                .ruleset
                .rules
                .extend([with("forward", vec![Expression::Verdict(Verdict::Accept)]), rule("forward", "log")]);
        },
        |facts| {
            facts.devices.routed = ["lan", "wan", "wg0"].map(String::from).into();
            facts.ruleset.rules.push(is(Expression::Meta { key: 6, to: 1 }, b"wg0\0", "forward", "log"));
        },
        // The first packets only go to a program.
        |facts| {
            let packets = Expression::Connection { key: 14, direction: Some(0), to: 1 };
            let reorder = Expression::Reorder { from: 1, to: 1, length: 8, size: 8 };
            let first = Expression::Compare { from: 1, operator: 3, value: 6_u64.to_be_bytes().into() };
            facts
                .ruleset
                .rules
                .push(with("forward", vec![packets, reorder, first, Expression::Verdict(Verdict::Queue)]));
        },
        |facts| facts.configs.push(config("pbr", "config pbr config\n\toption enabled 0\n")),
        |facts| facts.configs.push(config("mwan3", "")),
        // Shaped on the card alone, and nothing but the upload.
        |facts| {
            facts.queues.push(("wan".into(), "cake".into()));
            let text =
                "config queue\n\toption enabled 1\n\toption interface wan\n\toption download 0\n\toption upload 9\n";
            facts.configs.push(config("sqm", text));
        },
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

/// `pppoe-wan` over `eth1`, and `br-lan` over `lan`, with a flowtable of the lower devices.
fn stacked(kernel: (u32, u32)) -> Facts {
    let mut facts = facts();
    facts.devices.kernel = kernel;
    facts.devices.carriers.insert("eth1".into());
    facts.devices.routed = ["br-lan", "pppoe-wan"].map(String::from).into();
    facts.devices.list = vec![
        common::device("br-lan", Kind::Bridge, &["lan"]),
        common::device("eth1", Kind::Plain, &[]),
        common::device("lan", Kind::Plain, &[]),
        common::device("pppoe-wan", Kind::Ppp, &[]),
    ];
    facts.flowtables[0].devices = vec!["lan".into(), "eth1".into()];
    facts.queues.clear();
    facts
}

#[test]
fn shapers_count_where_offloaded_packets_do_not_come_by() {
    type Change = fn(&mut Facts);
    let queue = |device: &str, kind: &str| (device.to_owned(), kind.to_owned());
    let ids = |facts: &Facts| -> Vec<String> {
        examine(facts).iter().map(|finding| finding.what.clone() + " " + finding.id).collect()
    };
    for (kernel, device, expected) in [
        ((6, 12), "pppoe-wan", None),
        ((7, 2), "pppoe-wan", Some("a shaper is passed by: tbf on pppoe-wan OCTL313")),
        ((6, 12), "br-lan", Some("a shaper is passed by: tbf on br-lan OCTL313")),
        ((6, 12), "eth1", None),
        ((7, 2), "lan", None),
    ] {
        let mut facts = stacked(kernel);
        facts.queues.push(queue(device, "tbf"));
        assert_eq!(ids(&facts).first().map(String::as_str), expected, "{kernel:?} {device}");
        facts.queues = vec![queue(device, "fq_codel")];
        assert_eq!(ids(&facts), [""; 0], "{device}");
    }
    let cases: [(Change, Option<&str>); 5] = [
        (
            |facts| facts.redirecting.push("pppoe-wan".into()),
            Some("a shaper is passed by: ifb behind pppoe-wan OCTL313"),
        ),
        (
            |facts| facts.redirecting.push("eth1".into()),
            Some("incoming packets are shaped on offloaded devices: eth1 OCTL303"),
        ),
        (
            |facts| {
                facts.redirecting.push("pppoe-wan".into());
                facts.flowtables[0].devices = vec!["lan".into(), "pppoe-wan".into()];
            },
            Some("incoming packets are shaped on offloaded devices: pppoe-wan OCTL303"),
        ),
        // Below the device that the flowtable looks at, packets are shaped first and offloaded then.
        (
            |facts| {
                facts.redirecting.push("eth1".into());
                facts.flowtables[0].devices = vec!["lan".into(), "pppoe-wan".into()];
            },
            None,
        ),
        (
            |facts| {
                facts.queues.push(("eth1".into(), "cake".into()));
                facts.flowtables[0].hardware = true;
            },
            Some("a shaper is passed by: cake on eth1 OCTL313"),
        ),
    ];
    for (case, (change, expected)) in cases.into_iter().enumerate() {
        let mut facts = stacked((6, 12));
        change(&mut facts);
        assert_eq!(ids(&facts).first().map(String::as_str), expected, "case {case}");
    }
}

#[test]
fn rules_on_a_device_count_behind_the_flowtable_only() {
    let found = |device: &str, priority, hook| {
        let mut facts = stacked((7, 2));
        let base = Base { hook, priority, is_nat: false, devices: vec![device.into()] };
        let (family, table, name) = (Family(5), "device".to_owned(), "chain".to_owned());
        let rule = Rule { family, table: table.clone(), chain: name.clone(), ..rule("chain", "quota") };
        facts.ruleset.chains.push(Chain { family, table, name, base: Some(base), drops: false });
        facts.ruleset.rules.push(rule);
        examine(&facts).len()
    };
    assert_eq!(found("eth1", -10, Hook::Ingress), 0);
    assert_eq!(found("eth1", 10, Hook::Ingress), 1);
    assert_eq!(found("pppoe-wan", -10, Hook::Ingress), 1);
    assert_eq!(found("pppoe-wan", 0, Hook::Egress), 1);
    assert_eq!(found("eth1", 0, Hook::Egress), 0);
}

#[test]
fn each_entry_is_tested_above() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctor.rs")).unwrap();
    for number in 1..=CONFLICTS.len() {
        assert!(text.contains(&format!("OCTL3{number:02}")), "{number}");
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
fn a_redirection_is_found_in_a_filter_of_any_kind() {
    let filter = |protocol: u16, kind: &[u8], list: u16, action: &[u8], what: i32, more: &[u8]| {
        let parameters = [vec![0; 20], what.to_ne_bytes().to_vec(), vec![0; 4]].concat();
        let action = [attribute(1, action), attribute(2, &attribute(2, &parameters))].concat();
        let options = [more.to_vec(), attribute(list, &attribute(1, &action))].concat();
        let about = u32::from(protocol.to_be());
        [vec![0; 16], about.to_ne_bytes().to_vec(), attribute(1, kind), attribute(2, &options)].concat()
    };
    let selector = |mask: u8| attribute(5, &[vec![0; 16], vec![mask], vec![0; 15]].concat());
    for (protocol, kind, more, expected) in [
        (3, &b"matchall\0"[..], Vec::new(), Redirects::All),
        (3, b"u32\0", selector(0), Redirects::All),
        (3, b"u32\0", selector(1), Redirects::Some),
        (0x86dd, b"matchall\0", Vec::new(), Redirects::Some),
        (3, b"flower\0", Vec::new(), Redirects::Some),
    ] {
        for list in [2, 3, 7] {
            let filter = filter(protocol, kind, list, b"mirred\0", 1, &more);
            assert_eq!(queues::redirect(&message(&filter)), Ok(expected), "{protocol} {kind:?} {list}");
        }
    }
    for (action, what) in [(&b"mirred\0"[..], 2), (b"police\0", 1)] {
        let filter = filter(3, b"matchall\0", 2, action, what, &[]);
        assert_eq!(queues::redirect(&message(&filter)), Ok(Redirects::None), "{action:?} {what}");
    }
    assert!(queues::redirect(&message(&[0; 19])).is_err());
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
