//! The machine that follows packets through the rules, on rules by hand and on recorded ones.

use offloadctl::explain::{Facts, explain};
use offloadctl::route;
use offloadctl::ruleset::{self, Element, Expression, Hook, Set, Verdict};
use offloadctl::trace::{Match, Ruleset};
use proptest::prelude::*;

use crate::common::{self, message};
use crate::router::*;

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
