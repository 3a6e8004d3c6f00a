//! Each cause that `explain` can name, from facts alone, and its opposite; and the machine that follows packets.
//!
//! Long because each cause has its row and its opposite beside it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::net::IpAddr;

use common::message;
use offloadctl::answer;
use offloadctl::conntrack::{Details, Direction, Flow, Path, STATUS_REPLIED};
use offloadctl::devices::{Devices, Kind, Side};
use offloadctl::ethtool::Capability;
use offloadctl::explain::{Facts, Question, explain};
use offloadctl::nftables::{Family, Flowtable};
use offloadctl::route;
use offloadctl::ruleset::{self, Base, Chain, Element, Expression, Hook, Rule, Set, Verdict};
use offloadctl::trace::{Match, Ruleset};
use offloadctl::xfrm::Policy;
use proptest::prelude::*;

const INET: Family = Family(1);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A device with its route; each of `below` is a port of a bridge.
fn side(name: &str, below: &[&str]) -> Option<Side> {
    let mut devices = Devices { kernel: (6, 12), ..Devices::default() };
    devices.list.push(common::device(name, if below.is_empty() { Kind::Plain } else { Kind::Bridge }, below));
    Some(devices.side(name, None))
}

/// `meta l4proto { tcp, udp } flow add @ft`
fn adds() -> Vec<Expression> {
    vec![
        Expression::Meta { key: 16, to: 1 },
        Expression::Lookup { from: 1, set: "protocols".into(), map: false, inverted: false },
        Expression::FlowAdd("ft".into()),
    ]
}

/// `ct state established,related accept`
fn accepts_established() -> Vec<Expression> {
    vec![
        Expression::Connection { key: 0, direction: None, to: 1 },
        Expression::Bitwise { from: 1, to: 1, mask: 6_u32.to_ne_bytes().into(), xor: vec![0; 4] },
        Expression::Compare { from: 1, operator: 1, value: vec![0; 4] },
        Expression::Verdict(Verdict::Accept),
    ]
}

/// `iifname "…" …`
fn from_device(name: &str, verdict: Verdict) -> Vec<Expression> {
    let mut value = name.as_bytes().to_vec();
    value.resize(16, 0);
    vec![
        Expression::Meta { key: 6, to: 1 },
        Expression::Compare { from: 1, operator: 0, value },
        Expression::Verdict(verdict),
    ]
}

fn rules(chain: &str, first: u64, expressions: Vec<Vec<Expression>>) -> Vec<Rule> {
    let rule =
        |(handle, expressions)| Rule { family: INET, table: "fw4".into(), chain: chain.into(), handle, expressions };
    (first..).zip(expressions).map(rule).collect()
}

fn plain(key: &[u8], verdict: Option<Verdict>) -> Element {
    Element { key: key.into(), verdict, ..Element::default() }
}

fn set(name: &str, elements: Vec<Element>) -> Set {
    Set { family: INET, table: "fw4".into(), name: name.into(), is_interval: false, elements: Some(elements) }
}

/// `ct state new accept`, where the table lets connections begin.
fn accepts_new() -> Vec<Expression> {
    vec![
        Expression::Connection { key: 0, direction: None, to: 1 },
        Expression::Compare { from: 1, operator: 0, value: 8_u32.to_ne_bytes().into() },
        Expression::Verdict(Verdict::Accept),
    ]
}

fn forward(expressions: Vec<Vec<Expression>>) -> Ruleset {
    let base = |priority| Base { hook: Hook::Forward, priority, is_nat: false, devices: Vec::new() };
    let chain = |name: &str, priority: Option<i32>, drops| Chain {
        family: INET,
        table: "fw4".into(),
        name: name.into(),
        base: priority.map(base),
        drops,
    };
    Ruleset {
        chains: vec![chain("forward", Some(0), true), chain("forward_lan", None, false)],
        rules: rules("forward", 1, expressions),
        sets: vec![set("protocols", vec![plain(&[6], None), plain(&[17], None)])],
    }
}

/// A masqueraded TCP connection from lan to wan, established, on a router like OpenWrt's, on the slow path.
fn facts() -> Facts {
    let direction = |source, source_port, destination, destination_port| Direction {
        source: Some(address(source)),
        destination: Some(address(destination)),
        source_port: Some(source_port),
        destination_port: Some(destination_port),
        counters: None,
    };
    let flow = Flow {
        protocol: 6,
        details: Details { status: STATUS_REPLIED, tcp_state: Some(3), ..Details::default() },
        original: direction("192.168.1.10", 40000, "10.0.0.2", 443),
        reply: direction("10.0.0.2", 443, "10.0.0.1", 40000),
        ..Flow::default()
    };
    Facts {
        question: Question {
            source: address("192.168.1.10"),
            destination: address("10.0.0.2"),
            protocol: None,
            port: None,
        },
        flow: Some(flow),
        matching: 1,
        devices: (side("br-lan", &["lan1", "lan2"]), side("wan", &[])),
        is_local: false,
        marks: [Some(0); 2],
        redirected: None,
        timeout: Some(30),
        ipsec: Vec::new(),
        ruleset: forward(vec![adds(), accepts_established()]),
        flowtables: vec![Flowtable {
            family: INET,
            table: "fw4".into(),
            name: "ft".into(),
            hook: 0,
            priority: 0,
            devices: vec!["br-lan".into(), "wan".into()],
            hardware: false,
            counter: true,
        }],
        hardware: Some(vec![("lan1".into(), Capability::On), ("wan".into(), Capability::On)]),
        bound: None,
    }
}

/// Encrypts packets from one address, or all of 0.0.0.0, to another.
fn policy(source: &str, destination: &str) -> Policy {
    let (source, destination) = (address(source), address(destination));
    let bits = if source.is_unspecified() { 0 } else { 32 };
    let networks = ((source, bits), (destination, 32));
    Policy {
        source: networks.0,
        destination: networks.1,
        protocol: 0,
        ports: [(0, 0); 2],
        priority: 10,
        transforms: true,
    }
}

fn causes(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = facts();
    change(&mut facts);
    explain(&facts).causes.iter().map(|cause| cause.id).collect()
}

fn flow(facts: &mut Facts) -> &mut Flow {
    facts.flow.as_mut().unwrap()
}

#[test]
fn each_cause_is_named() {
    type Change = fn(&mut Facts);
    let cases: [(&str, Change, &[&str]); 27] = [
        ("idle", |_| {}, &["OCTL215"]),
        (
            "gone",
            |facts| {
                facts.flow = None;
                facts.ruleset = forward(vec![adds(), accepts_new()]);
            },
            &["OCTL201"],
        ),
        ("would be dropped", |facts| facts.flow = None, &["OCTL201", "OCTL206"]),
        ("to the router", |facts| facts.is_local = true, &["OCTL216"]),
        ("icmp", |facts| flow(facts).protocol = 1, &["OCTL202"]),
        ("gre", |facts| flow(facts).protocol = 47, &["OCTL207"]),
        (
            "translated gre",
            |facts| {
                flow(facts).protocol = 47;
                flow(facts).details.status |= 1 << 4;
            },
            &["OCTL202"],
        ),
        ("no flowtable", |facts| facts.flowtables.clear(), &["OCTL203"]),
        ("no rule", |facts| facts.ruleset = forward(vec![accepts_established()]), &["OCTL204"]),
        ("other family", |facts| facts.ruleset.rules[0].family = Family(10), &["OCTL204"]),
        (
            "leaves the chain before",
            |facts| {
                facts.ruleset = forward(vec![vec![Expression::Verdict(Verdict::Return)], adds()]);
                facts.ruleset.chains[0].drops = false;
            },
            &["OCTL217"],
        ),
        (
            "in a chain that nothing calls",
            |facts| {
                facts.ruleset.rules = rules("forward_lan", 1, vec![adds()]);
                facts.ruleset.chains[0].drops = false;
            },
            &["OCTL218"],
        ),
        ("accepted before", |facts| facts.ruleset = forward(vec![accepts_established(), adds()]), &["OCTL205"]),
        (
            "dropped before",
            |facts| facts.ruleset = forward(vec![vec![Expression::Verdict(Verdict::Drop)], adds()]),
            &["OCTL206"],
        ),
        (
            "dropped on the way there, and answers would be added",
            |facts| facts.ruleset = forward(vec![from_device("br-lan", Verdict::Drop), adds()]),
            &["OCTL206"],
        ),
        (
            "dropped perhaps, and answers would be added",
            |facts| {
                let mut perhaps = from_device("br-lan", Verdict::Accept);
                perhaps.insert(0, Expression::Other("limit".into()));
                facts.ruleset = forward(vec![perhaps, from_device("br-lan", Verdict::Drop), adds()]);
            },
            &["OCTL215"],
        ),
        (
            "conditions do not hold",
            |facts| {
                facts.ruleset.sets[0].elements.as_mut().unwrap().remove(0);
                facts.ruleset.chains[0].drops = false;
                facts.ruleset.rules.truncate(1);
            },
            &["OCTL207"],
        ),
        ("half open", |facts| flow(facts).details.tcp_state = Some(2), &["OCTL208"]),
        ("closing", |facts| flow(facts).details.tcp_state = Some(7), &["OCTL208"]),
        ("helper", |facts| flow(facts).details.helper = Some(*b"ftp\0\0\0\0\0\0\0\0\0\0\0\0\0"), &["OCTL209"]),
        ("device", |facts| facts.flowtables[0].devices = vec!["br-lan".into()], &["OCTL210"]),
        ("sequence", |facts| flow(facts).details.status |= 1 << 6, &["OCTL211"]),
        (
            "from one tunnel into another",
            |facts| facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2"), policy("0.0.0.0", "192.168.1.10")],
            &["OCTL212"],
        ),
        (
            "only decrypted packets are added",
            |facts| {
                facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2")];
                facts.ruleset = forward(vec![from_device("br-lan", Verdict::Accept), adds()]);
            },
            &["OCTL212"],
        ),
        (
            "translated to what a policy is for",
            |facts| {
                flow(facts).path = Path::Software;
                facts.ipsec = vec![policy("10.0.0.1", "10.0.0.2")];
            },
            &["OCTL213"],
        ),
        (
            "marked without its device",
            |facts| {
                flow(facts).path = Path::Software;
                facts.flowtables[0].devices = vec!["wan".into()];
            },
            &["OCTL210"],
        ),
        (
            "hardware refused",
            |facts| {
                flow(facts).path = Path::Software;
                facts.flowtables[0].hardware = true;
            },
            &["OCTL214"],
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(causes(change), expected, "{name}");
    }
}

#[test]
fn what_is_offloaded_has_no_cause() {
    assert_eq!(causes(|facts| flow(facts).path = Path::Software), [""; 0]);
    // Its state at the end does not matter for one that hardware has.
    let hardware = causes(|facts| {
        flow(facts).path = Path::Hardware;
        flow(facts).details.tcp_state = Some(7);
        facts.flowtables[0].hardware = true;
    });
    assert_eq!(hardware, [""; 0]);
}

#[test]
fn a_tunnel_on_one_side_is_no_cause() {
    type Change = fn(&mut Facts);
    let cases: [Change; 3] = [
        |facts| facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2")],
        |facts| facts.ipsec = vec![policy("0.0.0.0", "192.168.1.10")],
        // A policy that lets packets pass as they are, as daemons have them for the LAN.
        |facts| {
            let tunnel = policy("10.0.0.1", "10.0.0.2");
            facts.ipsec = vec![tunnel, Policy { transforms: false, priority: 1, ..tunnel }];
        },
    ];
    for (case, change) in cases.into_iter().enumerate() {
        assert_eq!(causes(change), ["OCTL215"], "case {case}");
        let offloaded = causes(|facts| {
            change(facts);
            flow(facts).path = Path::Software;
        });
        assert_eq!(offloaded, [""; 0], "case {case}");
    }
}

#[test]
fn a_port_or_a_wildcard_will_do() {
    type Change = fn(&mut Facts);
    let cases: [Change; 2] = [
        |facts| facts.flowtables[0].devices = vec!["lan2".into(), "wan".into()],
        |facts| facts.flowtables[0].devices = vec!["br*".into(), "w*".into()],
    ];
    for (case, change) in cases.into_iter().enumerate() {
        assert_eq!(causes(change), ["OCTL215"], "case {case}");
    }
}

#[test]
fn hardware_that_refused_says_why() {
    let why = |capability| {
        let mut facts = facts();
        flow(&mut facts).path = Path::Software;
        facts.flowtables[0].hardware = true;
        facts.hardware = Some(vec![("lan1".into(), capability)]);
        explain(&facts).causes[0].why.clone()
    };
    assert!(why(Capability::No).contains("does not offer hw-tc-offload on lan1"));
    assert!(why(Capability::Off).contains("hw-tc-offload is switched off on lan1"));
    assert!(why(Capability::On).contains("the driver refused it"));
}

#[test]
fn hardware_with_one_direction_says_which() {
    let with = |bound| {
        let mut facts = facts();
        flow(&mut facts).path = Path::Hardware;
        facts.flowtables[0].hardware = true;
        facts.bound = Some(bound);
        let explanation = explain(&facts);
        (explanation.exit_code(), explanation.causes.first().map(|cause| (cause.id, cause.what.clone())))
    };
    assert_eq!(with([true, true]), (0, None));
    let (code, cause) = with([true, false]);
    assert_eq!((code, cause), (0, Some(("OCTL219", "hardware took the way there, and not the way back".into()))));
    assert_eq!(with([false, true]).1.unwrap().0, "OCTL219");
    assert!(with([false, false]).1.unwrap().1.contains("does not have it"));
}

#[test]
fn a_rule_for_answers_only_is_found() {
    let expressions = [from_device("wan", Verdict::Jump("forward_lan".into())), accepts_established()].to_vec();
    let back_only = |facts: &mut Facts| {
        facts.ruleset = forward(expressions);
        facts.ruleset.rules.extend(rules("forward_lan", 9, vec![adds()]));
    };
    assert_eq!(causes(back_only), ["OCTL215"]);
}

#[test]
fn jumps_come_back_and_gotos_do_not() {
    let trace_of = |verdict: Verdict, inside: Vec<Expression>| {
        let mut facts = facts();
        facts.ruleset = forward(vec![from_device("br-lan", verdict), adds()]);
        facts.ruleset.rules.extend(rules("forward_lan", 9, vec![inside]));
        let trace = facts.ruleset.trace(&facts.packet(false));
        let met: Vec<_> = trace.steps.iter().map(|step| (step.rule.handle, step.matched, step.depth)).collect();
        (met, trace.adds.is_some(), trace.dropped.is_some())
    };
    let counter = vec![Expression::Other("counter".into())];
    let (first, inner) = ((1, Match::Yes, 0), (9, Match::Yes, 1));
    let jump = || Verdict::Jump("forward_lan".into());
    let goto = Verdict::Goto("forward_lan".into());
    assert_eq!(trace_of(jump(), counter.clone()), (vec![first, inner, (2, Match::Yes, 0)], true, false));
    assert_eq!(trace_of(goto, counter.clone()), (vec![first, inner], false, true));
    let leave = vec![Expression::Verdict(Verdict::Return)];
    assert_eq!(trace_of(jump(), leave), (vec![first, inner, (2, Match::Yes, 0)], true, false));
    let accept = vec![Expression::Verdict(Verdict::Accept)];
    assert_eq!(trace_of(jump(), accept), (vec![first, inner], false, false));
}

#[test]
fn what_is_not_understood_applies_perhaps() {
    let trace_of = |first: Vec<Expression>| {
        let mut facts = facts();
        facts.ruleset = forward(vec![first, adds()]);
        let trace = facts.ruleset.trace(&facts.packet(false));
        (trace.steps[0].matched, trace.adds.is_some(), trace.is_certain())
    };
    let limit = |name: &str| vec![Expression::Other(name.into()), Expression::Verdict(Verdict::Accept)];
    assert_eq!(trace_of(limit("limit")), (Match::Perhaps, true, false));
    assert_eq!(trace_of(limit("counter")), (Match::Yes, false, true));
    // An unknown expression may have loaded the register that is compared next.
    let stale = vec![
        Expression::Meta { key: 16, to: 1 },
        Expression::Other("exthdr".into()),
        Expression::Compare { from: 1, operator: 0, value: vec![6] },
        Expression::Verdict(Verdict::Accept),
    ];
    assert_eq!(trace_of(stale), (Match::Perhaps, true, false));
    let unknown_set = vec![
        Expression::Meta { key: 16, to: 1 },
        Expression::Lookup { from: 1, set: "other".into(), map: false, inverted: false },
        Expression::Verdict(Verdict::Accept),
    ];
    assert_eq!(trace_of(unknown_set), (Match::Perhaps, true, false));
}

#[test]
fn addresses_ports_and_verdict_maps() {
    let applies = |expressions: Vec<Expression>| {
        let mut facts = facts();
        let element = plain(&2_u32.to_ne_bytes(), Some(Verdict::Accept));
        facts.ruleset = forward(vec![expressions]);
        facts.ruleset.sets.push(set("states", vec![element]));
        let trace = facts.ruleset.trace(&facts.packet(false));
        (trace.steps[0].matched, trace.accepted.len())
    };
    let load = |base, offset, length| Expression::Payload { base, offset, length, to: 1 };
    let is = |value: &[u8]| Expression::Compare { from: 1, operator: 0, value: value.to_vec() };
    assert_eq!(applies(vec![load(1, 12, 4), is(&[192, 168, 1, 10])]), (Match::Yes, 0));
    assert_eq!(applies(vec![load(1, 16, 4), is(&[10, 0, 0, 2])]), (Match::Yes, 0));
    assert_eq!(applies(vec![load(1, 16, 4), is(&[10, 0, 0, 3])]), (Match::No, 0));
    assert_eq!(applies(vec![load(1, 9, 1), is(&[6])]), (Match::Yes, 0));
    assert_eq!(applies(vec![load(2, 2, 2), is(&443_u16.to_be_bytes())]), (Match::Yes, 0));
    assert_eq!(applies(vec![load(2, 13, 1), is(&[2])]), (Match::Perhaps, 0));
    // Source and destination in neighbouring registers, by the other set of numbers.
    let ports = [
        Expression::Payload { base: 2, offset: 0, length: 2, to: 8 },
        Expression::Payload { base: 2, offset: 2, length: 2, to: 9 },
        is(&[0x9c, 0x40, 0, 0, 0x01, 0xbb, 0, 0]),
    ];
    assert_eq!(applies(ports.to_vec()), (Match::Yes, 0));
    let map = Expression::Lookup { from: 1, set: "states".into(), map: true, inverted: false };
    assert_eq!(applies(vec![Expression::Connection { key: 0, direction: None, to: 1 }, map.clone()]), (Match::Yes, 1));
    assert_eq!(applies(vec![Expression::Connection { key: 2, direction: None, to: 2 }, map]), (Match::Perhaps, 0));
}

#[test]
fn a_set_that_is_too_large_is_not_understood() {
    let mut facts = facts();
    facts.ruleset.sets[0].elements = None;
    let (_, trace) = facts.trace();
    assert_eq!((trace.steps[0].matched, trace.is_certain()), (Match::Perhaps, false));
}

#[test]
fn a_chain_that_calls_itself_ends() {
    let mut facts = facts();
    facts.ruleset = forward(vec![vec![Expression::Verdict(Verdict::Jump("forward".into()))]]);
    assert!(facts.ruleset.trace(&facts.packet(false)).steps.len() < 20);
}

#[test]
fn a_connection_is_found_by_any_of_its_addresses() {
    let flow = facts().flow.unwrap();
    let fits = |source, destination, protocol, port| {
        Question { source: address(source), destination: address(destination), protocol, port }.fits(&flow)
    };
    assert!(fits("192.168.1.10", "10.0.0.2", None, None));
    assert!(fits("10.0.0.2", "192.168.1.10", Some(6), Some(443)));
    assert!(fits("10.0.0.1", "10.0.0.2", None, Some(40000)));
    assert!(!fits("192.168.1.10", "10.0.0.2", Some(17), None));
    assert!(!fits("192.168.1.10", "10.0.0.2", Some(6), Some(80)));
    assert!(!fits("192.168.1.10", "10.0.0.1", None, None));
}

#[test]
fn the_answer_is_written_as_the_readme_shows() {
    let mut facts = facts();
    facts.ruleset = forward(vec![accepts_established(), adds()]);
    let explanation = explain(&facts);
    let mut out = Vec::new();
    answer::write(&mut out, &facts, &explanation).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(include_str!("../README.md").contains(&format!("```text\n{text}```\n")), "not in README.md:\n{text}");
    let json = json_of(&facts);
    assert!(include_str!("../README.md").contains(&format!("```json\n{json}```\n")), "not in README.md:\n{json}");
    assert_eq!(explanation.exit_code(), 1);
    flow(&mut facts).path = Path::Software;
    facts.ruleset = forward(vec![adds()]);
    assert_eq!(explain(&facts).exit_code(), 0);
    facts.flowtables[0].hardware = true;
    assert_eq!(explain(&facts).exit_code(), 0);
    facts.flowtables[0].devices.clear();
    assert_eq!(explain(&facts).exit_code(), 1);
}

fn json_of(facts: &Facts) -> String {
    let mut out = Vec::new();
    answer::write_json(&mut out, facts, &explain(facts)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_tells_what_is_not_known() {
    let mut facts = facts();
    flow(&mut facts).details.helper = Some(*b"ftp\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let json = json_of(&facts);
    assert!(json.contains("\"offloaded\": false") && json.contains("\"helper\": \"ftp\""), "{json}");
    assert!(json.contains("{\"id\": \"OCTL209\", \"what\": \"the helper ftp reads along\""), "{json}");
    facts.flow = None;
    facts.devices.1 = None;
    let json = json_of(&facts);
    assert!(json.contains("\"connection\": null") && json.contains("\"reply\": null"), "{json}");
    assert!(json.contains("\"id\": \"OCTL201\""), "{json}");
}

#[test]
fn of_an_unknown_connection_it_is_said_what_would_become_of_it() {
    let answer = |change: fn(&mut Facts)| {
        let mut facts = facts();
        facts.flow = None;
        facts.ruleset.rules.extend(rules("forward", 5, vec![accepts_new()]));
        change(&mut facts);
        let mut out = Vec::new();
        answer::write(&mut out, &facts, &explain(&facts)).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(answer(|_| {}).contains("is not known, and could be offloaded."));
    assert!(answer(|facts| facts.is_local = true).contains("is not known, and would not be offloaded."));
    assert!(answer(|facts| facts.flowtables.clear()).contains("is not known, and would not be offloaded."));
}

#[test]
fn one_of_several_is_said_to_be_so() {
    let mut facts = facts();
    facts.matching = 3;
    let mut out = Vec::new();
    answer::write(&mut out, &facts, &explain(&facts)).unwrap();
    assert!(String::from_utf8(out).unwrap().contains(", ESTABLISHED (the largest of 3)\n"));
}

/// The recorded table, with the sets that its rules name.
fn recorded() -> Ruleset {
    let state = |bit: u32| plain(&bit.to_ne_bytes(), Some(Verdict::Accept));
    let port = |port: u16, is_end| Element { is_end, ..plain(&port.to_be_bytes(), None) };
    Ruleset {
        chains: common::read_all(common::OPENWRT_CHAINS, |message| ruleset::chain(message).unwrap()),
        rules: common::read_all(common::OPENWRT_RULES, |message| ruleset::rule(message).unwrap()),
        sets: vec![
            set("__map0", vec![state(2), state(4)]),
            set("__set0", vec![plain(&[6], None), plain(&[17], None)]),
            Set {
                is_interval: true,
                ..set(
                    "__set1",
                    vec![port(0, true), port(443, false), port(444, true), port(5000, false), port(5011, true)],
                )
            },
        ],
    }
}

#[test]
fn a_packet_goes_through_a_recorded_firewall() {
    let mut facts = facts();
    facts.ruleset = recorded();
    let names: Vec<_> = facts
        .ruleset
        .chains
        .iter()
        .map(|chain| (&chain.name[..], chain.priority_at(Hook::Forward, 2), chain.drops))
        .collect();
    let expected = [
        ("forward", Some(0), true),
        ("forward_lan", None, false),
        ("handle_reject", None, false),
        ("srcnat", None, false),
    ];
    assert_eq!(names, expected);
    let place = "its packets are accepted before 'flow add': by inet fw4 forward handle 7";
    assert_eq!(explain(&facts).causes[0].what, place);

    // Without the rule that is in the way.
    facts.ruleset.rules.remove(0);
    assert_eq!(explain(&facts).causes[0].id, "OCTL215");
    // Without the one that adds flows, the zone's rule for ports accepts, as 443 is among them.
    facts.ruleset.rules.remove(0);
    let trace = facts.ruleset.trace(&facts.packet(false));
    let met: Vec<_> = trace.steps.iter().map(|step| (&step.rule.chain[..], step.matched)).collect();
    let expected = [("forward", Match::Yes), ("forward_lan", Match::Yes)];
    assert_eq!(met, expected);
    // It does not for another port, which is refused in the end.
    flow(&mut facts).reply.source_port = Some(80);
    let trace = facts.ruleset.trace(&facts.packet(false));
    let met: Vec<_> = trace.steps.iter().map(|step| (&step.rule.chain[..], step.matched)).collect();
    let expected = [
        ("forward", Match::Yes),
        ("forward_lan", Match::No),
        ("forward_lan", Match::Perhaps),
        ("forward_lan", Match::No),
        ("forward", Match::Yes),
        ("handle_reject", Match::Yes),
    ];
    assert_eq!(met, expected);
    assert!(matches!(trace.dropped, Some(Ok(rule)) if rule.chain == "handle_reject"));
    assert_eq!(explain(&facts).causes[0].id, "OCTL204");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let message = message(&bytes);
        let _ = (ruleset::chain(&message), ruleset::elements_in(&message), route::route(&message));
        if let Ok(rule) = ruleset::rule(&message) {
            let mut facts = facts();
            facts.ruleset = forward(vec![rule.expressions]);
            let _ = explain(&facts);
        }
    }

    #[test]
    fn every_changed_byte_of_the_recording_is_survived(at in 0..2000_usize, byte in any::<u8>()) {
        for mut datagram in common::datagrams(common::RULES) {
            let length = datagram.len();
            datagram[at % length] = byte;
            for message in offloadctl::netlink::messages(&datagram).flatten() {
                if let Ok(mut rule) = ruleset::rule(&message) {
                    let mut facts = facts();
                    facts.ruleset = forward(vec![std::mem::take(&mut rule.expressions)]);
                    let _ = explain(&facts);
                }
            }
        }
    }
}
