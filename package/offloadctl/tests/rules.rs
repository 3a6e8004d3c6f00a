//! Rules that routers have in front of `flow add`, and what keeps a packet from it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::net::IpAddr;

use offloadctl::conntrack::{Counters, Direction};
use offloadctl::nftables::Family;
use offloadctl::ruleset::{ADDRESS_SET, Base, Chain, Element, Expression, Found, Hook, Rule, Set, Verdict};
use offloadctl::trace::{Barrier, Match, Packet, Ruleset, STATE_ESTABLISHED, STATE_NEW, Until};
use proptest::prelude::*;

const INET: Family = Family(1);

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// A datagram from the LAN to the WAN at the forward hook, of a connection with 200 packets each way.
fn packet() -> Packet {
    let counted = Direction { counters: Some(Counters { packets: 200, bytes: 200_000 }), ..Direction::default() };
    Packet {
        family: 2,
        protocol: 17,
        source: address("192.168.1.2"),
        destination: address("203.0.113.2"),
        ports: (Some(40_000), Some(7103)),
        devices: (Some((2, "eth0".into())), Some((3, "eth1".into()))),
        state: STATE_ESTABLISHED,
        status: Some(0),
        connection_mark: Some(0x100),
        mark: Some(0),
        is_back: Some(false),
        directions: Some([counted; 2]),
    }
}

fn chain(name: &str, hook: Option<(Hook, i32)>) -> Chain {
    let base = hook.map(|(hook, priority)| Base { hook, priority, is_nat: false, devices: Vec::new() });
    Chain { family: INET, table: "t".into(), name: name.into(), base, drops: false }
}

fn forward(name: &str, priority: i32) -> Chain {
    chain(name, Some((Hook::Forward, priority)))
}

/// Rules by their chain; handles count from 1.
fn ruleset(chains: Vec<Chain>, rules: Vec<(&str, Vec<Expression>)>) -> Ruleset {
    let rules = (1..).zip(rules).map(|(handle, (chain, expressions))| Rule {
        family: INET,
        table: "t".into(),
        chain: chain.into(),
        handle,
        expressions,
    });
    Ruleset { chains, rules: rules.collect(), sets: Vec::new() }
}

fn compare(operator: u32, value: &[u8]) -> Expression {
    Expression::Compare { from: 1, operator, value: value.to_vec() }
}

fn named(key: u32, device: &str) -> [Expression; 2] {
    let mut value = device.as_bytes().to_vec();
    value.resize(16, 0);
    [Expression::Meta { key, to: 1 }, compare(0, &value)]
}

/// `udp dport …`
fn port(port: u16) -> [Expression; 2] {
    [Expression::Payload { base: 2, offset: 2, length: 2, to: 1 }, compare(0, &port.to_be_bytes())]
}

fn then<const N: usize>(conditions: [Expression; N], verdict: Verdict) -> Vec<Expression> {
    conditions.into_iter().chain([Expression::Verdict(verdict)]).collect()
}

fn adds() -> Vec<Expression> {
    vec![Expression::FlowAdd("ft".into())]
}

/// The handle of the rule that decides over the first rule with `flow add`, and how.
fn barrier(rules: &Ruleset) -> (u64, &'static str) {
    let trace = rules.trace(&packet());
    let adding = rules.adding_rules(2).next().unwrap();
    match rules.barrier(adding, &trace) {
        Barrier::Left(rule, Verdict::Accept) => (rule.handle, "accept"),
        Barrier::Left(rule, Verdict::Return) => (rule.handle, "return"),
        Barrier::Left(rule, Verdict::Queue) => (rule.handle, "queue"),
        Barrier::Left(rule, _) => (rule.handle, "other"),
        Barrier::Conditions => (adding.handle, "conditions"),
        Barrier::Jump(rule) => (rule.handle, "jump"),
        Barrier::Orphan => (adding.handle, "orphan"),
    }
}

fn jump(chain: &str) -> Verdict {
    Verdict::Jump(chain.into())
}

#[test]
fn the_rule_that_decides_is_named() {
    let one = || vec![forward("f", 0), chain("offload", None), chain("inner", None)];
    let accept = || vec![Expression::Verdict(Verdict::Accept)];
    for (name, chains, rules, expected) in [
        (
            "a jump that does not match, and an accept that comes later",
            vec![forward("lans", -1), chain("offload", None), forward("f", 0)],
            vec![("lans", then(named(6, "br-guest"), jump("offload"))), ("offload", adds()), ("f", accept())],
            (1, "jump"),
        ),
        ("nothing leads there", one(), vec![("offload", adds()), ("f", accept())], (1, "orphan")),
        (
            "only a chain that nothing leads to leads there",
            one(),
            vec![("inner", vec![Expression::Verdict(jump("offload"))]), ("offload", adds())],
            (2, "orphan"),
        ),
        (
            "a return",
            one(),
            vec![
                ("f", vec![Expression::Verdict(jump("offload"))]),
                ("offload", then(port(7103), Verdict::Return)),
                ("offload", adds()),
            ],
            (2, "return"),
        ),
        (
            "an accept before the jump",
            one(),
            vec![("f", accept()), ("f", vec![Expression::Verdict(jump("offload"))]), ("offload", adds())],
            (1, "accept"),
        ),
        (
            "an accept in a chain that was jumped to before",
            one(),
            vec![("f", vec![Expression::Verdict(jump("inner"))]), ("inner", accept()), ("f", adds())],
            (2, "accept"),
        ),
        (
            "a goto that does not come back",
            one(),
            vec![("f", vec![Expression::Verdict(Verdict::Goto("inner".into()))]), ("f", adds())],
            (1, "other"),
        ),
        ("its own conditions", one(), vec![("f", [&port(443)[..], &adds()].concat())], (1, "conditions")),
        (
            "a jump two chains up",
            one(),
            vec![
                ("f", then(named(7, "wg0"), jump("inner"))),
                ("inner", vec![Expression::Verdict(jump("offload"))]),
                ("offload", adds()),
            ],
            (1, "jump"),
        ),
        (
            "a program in the same chain",
            one(),
            vec![("f", vec![Expression::Verdict(Verdict::Queue)]), ("f", adds())],
            (1, "queue"),
        ),
    ] {
        assert_eq!(barrier(&ruleset(chains, rules)), expected, "{name}");
    }
}

#[test]
fn a_queue_in_a_chain_of_its_own_is_no_drop() {
    let rules = ruleset(
        vec![forward("ips", -5), forward("f", 0)],
        vec![("ips", vec![Expression::Verdict(Verdict::Queue)]), ("f", adds())],
    );
    let trace = rules.trace(&packet());
    assert_eq!((trace.steps[0].matched, trace.dropped.is_none(), trace.is_certain()), (Match::Perhaps, true, true));
    assert!(trace.adds.is_some());
    assert_eq!(rules.rules[0].expressions[0].text(), "queue");
}

#[test]
fn what_can_be_come_to() {
    let rules = ruleset(
        vec![forward("f", 0), chain("a", None), chain("b", None), chain("c", None)],
        vec![
            ("f", then(named(6, "nowhere"), jump("a"))),
            ("a", vec![Expression::Lookup { from: 1, set: "map".into(), map: true, inverted: false }]),
            ("b", adds()),
            ("c", adds()),
            ("c", vec![Expression::Verdict(jump("c"))]),
        ],
    );
    let element = Element { key: vec![1], verdict: Some(jump("b")), ..Element::default() };
    let map =
        Set { family: INET, table: "t".into(), name: "map".into(), elements: Some(vec![element]), ..Set::default() };
    let rules = Ruleset { sets: vec![map], ..rules };
    let reachable =
        |handle: u64| rules.is_reachable(rules.rules.iter().find(|rule| rule.handle == handle).unwrap(), Hook::Forward);
    assert_eq!([1, 2, 3, 4, 5].map(reachable), [true, true, true, false, false]);
}

#[test]
fn base_chains_come_by_priority_and_the_youngest_first() {
    let rules = ruleset(
        vec![forward("late", 5), forward("old", 0), forward("young", 0), forward("early", -5)],
        ["late", "old", "young", "early"].map(|name| (name, vec![Expression::Other("counter".into())])).into(),
    );
    let order: Vec<_> = rules.trace(&packet()).steps.iter().map(|step| step.rule.chain.clone()).collect();
    assert_eq!(order, ["early", "young", "old", "late"]);
}

#[test]
fn numbers_of_packets_are_compared() {
    let matched = |operator, number: u64, direction| {
        let expressions = vec![
            Expression::Connection { key: 14, direction, to: 1 },
            Expression::Reorder { from: 1, to: 1, length: 8, size: 8 },
            compare(operator, &number.to_be_bytes()),
        ];
        ruleset(vec![forward("f", 0)], vec![("f", expressions)]).trace(&packet()).steps[0].matched
    };
    assert_eq!(matched(5, 30, Some(0)), Match::Yes);
    assert_eq!(matched(5, 300, Some(0)), Match::No);
    assert_eq!(matched(5, 300, None), Match::Yes);
    let mut uncounted = packet();
    uncounted.directions = None;
    let packets = vec![Expression::Connection { key: 14, direction: None, to: 1 }, compare(0, &[0; 8])];
    let rules = ruleset(vec![forward("f", 0)], vec![("f", packets)]);
    assert_eq!(rules.trace(&uncounted).steps[0].matched, Match::Perhaps);
}

#[test]
fn ranges_and_values_of_other_registers() {
    let matched = |expressions: Vec<Expression>| {
        ruleset(vec![forward("f", 0)], vec![("f", expressions)]).trace(&packet()).steps[0].matched
    };
    let range = |lowest: u16, inverted| {
        let load = Expression::Payload { base: 2, offset: 2, length: 2, to: 1 };
        let (lowest, highest) = (lowest.to_be_bytes().to_vec(), 7200_u16.to_be_bytes().to_vec());
        vec![load, Expression::Range { from: 1, lowest, highest, inverted }]
    };
    assert_eq!(matched(range(7100, false)), Match::Yes);
    assert_eq!(matched(range(7100, true)), Match::No);
    assert_eq!(matched(range(7150, false)), Match::No);
    let unknown = vec![Expression::Meta { key: 20, to: 1 }, compare(0, &[0])];
    assert_eq!(matched(unknown), Match::Perhaps, "the processor's number");
    assert_eq!(matched(vec![Expression::Map { to: 1 }]), Match::Perhaps);
    for (key, value) in [(4, 2_u32), (5, 3)] {
        assert_eq!(matched(vec![Expression::Meta { key, to: 1 }, compare(0, &value.to_ne_bytes())]), Match::Yes);
    }
}

#[test]
fn marks_go_from_the_connection_to_the_packet() {
    let prerouting = || vec![chain("p", Some((Hook::Prerouting, -150)))];
    let restore = vec![Expression::Connection { key: 3, direction: None, to: 1 }, Expression::SetMark(1)];
    let marks = |rules| ruleset(prerouting(), rules).follow(&packet(), Hook::Prerouting, Until::End).marks;
    assert_eq!(marks(vec![("p", restore.clone())]), [Some(0x100), Some(0x100)]);
    let elsewhere = [&named(6, "eth1")[..], &restore].concat();
    assert_eq!(marks(vec![("p", elsewhere)]), [Some(0), Some(0x100)]);
    let perhaps = [&[Expression::Other("numgen".into())][..], &restore].concat();
    assert_eq!(marks(vec![("p", perhaps)]), [None, Some(0x100)]);
    let set =
        vec![Expression::Immediate { to: 1, value: 7_u32.to_ne_bytes().into() }, Expression::SetConnectionMark(1)];
    assert_eq!(marks(vec![("p", set), ("p", restore)]), [Some(7), Some(7)]);
}

#[test]
fn a_forwarded_port_is_followed_for_connections_that_begin() {
    let mut nat = chain("dstnat", Some((Hook::Prerouting, -100)));
    nat.base.as_mut().unwrap().is_nat = true;
    let address_and_port = [
        Expression::Immediate { to: 1, value: vec![192, 168, 1, 2] },
        Expression::Immediate { to: 2, value: 7101_u16.to_be_bytes().into() },
        Expression::Redirect { address: Some(1), port: Some(2) },
    ];
    let rules = ruleset(vec![nat], vec![("dstnat", [&port(7103)[..], &address_and_port].concat())]);
    let redirected = |state| rules.follow(&Packet { state, ..packet() }, Hook::Prerouting, Until::End).redirected;
    assert_eq!(redirected(STATE_NEW), Some((address("192.168.1.2"), Some(7101))));
    assert_eq!(redirected(STATE_ESTABLISHED), None);
}

/// What a rule changes that applies perhaps, or behind a jump that does, is not known afterwards; nor are rewritten addresses.
#[test]
fn what_may_have_changed_is_not_known() {
    let marks =
        |value: u32| vec![Expression::Immediate { to: 1, value: value.to_ne_bytes().into() }, Expression::SetMark(1)];
    let limit = || Expression::Other("limit".into());
    let marked = || [Expression::Meta { key: 3, to: 1 }, compare(0, &7_u32.to_ne_bytes())];
    let behind = |jump: Vec<Expression>| {
        let rules = vec![("f", jump), ("called", marks(7)), ("f", then(marked(), Verdict::Drop)), ("f", adds())];
        ruleset(vec![forward("f", 0), chain("called", None)], rules)
    };
    let certain = behind(vec![Expression::Verdict(jump("called"))]);
    assert!(certain.trace(&packet()).dropped.is_some());
    let rules = behind(vec![limit(), Expression::Verdict(jump("called"))]);
    let trace = rules.trace(&packet());
    assert!(trace.adds.is_some() && trace.dropped.is_none() && !trace.is_certain(), "{trace:?}");

    let to = |what: &str| {
        let first = vec![Expression::Other(what.into())];
        let rules = vec![("f", first), ("f", then(port(7103), Verdict::Drop)), ("f", adds())];
        ruleset(vec![forward("f", 0)], rules)
    };
    assert!(to("payload set").trace(&packet()).dropped.is_some());
    let rules = to(ADDRESS_SET);
    assert!(rules.trace(&packet()).dropped.is_none() && !rules.trace(&packet()).is_certain());
}

fn interval(ends: &[(&[u8], bool)]) -> Set {
    let element = |(key, is_end): &(&[u8], bool)| Element { key: key.to_vec(), is_end: *is_end, ..Element::default() };
    Set { is_interval: true, elements: Some(ends.iter().map(element).collect()), ..Set::default() }
}

#[test]
fn intervals_are_half_open_and_may_have_no_end() {
    let has = |set: &Set, value: [u8; 4]| matches!(set.find(Some(&value)), Found::Element(_));
    // 0.0.0.0/0: a beginning alone.
    let all = interval(&[(&[0; 4], false)]);
    assert!(has(&all, [0; 4]) && has(&all, [203, 0, 113, 2]) && has(&all, [255; 4]));
    let private = interval(&[(&[0; 4], true), (&[10, 0, 0, 0], false), (&[11, 0, 0, 0], true)]);
    assert!(has(&private, [10, 0, 0, 0]) && has(&private, [10, 255, 255, 255]));
    assert!(!has(&private, [11, 0, 0, 0]) && !has(&private, [9, 255, 255, 255]) && !has(&private, [203, 0, 113, 2]));
    // One follows on another, in whatever order the kernel tells them.
    let two =
        interval(&[(&[20, 0, 0, 0], true), (&[15, 0, 0, 0], false), (&[15, 0, 0, 0], true), (&[10, 0, 0, 0], false)]);
    assert!(
        has(&two, [15, 0, 0, 0]) && has(&two, [19, 0, 0, 0]) && has(&two, [14, 0, 0, 0]) && !has(&two, [20, 0, 0, 0])
    );
    assert_eq!(all.find(None), Found::Unknown);
    assert_eq!(Set::default().find(Some(&[0])), Found::Unknown, "one that could not be read");
    assert_eq!(interval(&[]).find(None), Found::Nothing);
}

#[test]
fn fields_defaults_and_statements_of_elements() {
    let plain = |key: &[u8]| Element { key: key.to_vec(), ..Element::default() };
    let set = |elements| Set { elements: Some(elements), ..Set::default() };
    // Address and port, each in its own range.
    let fields = Element { to: Some(vec![10, 0, 0, 9, 0, 90, 0, 0]), ..plain(&[10, 0, 0, 1, 0, 80, 0, 0]) };
    let fields = set(vec![fields]);
    assert!(matches!(fields.find(Some(&[10, 0, 0, 5, 0, 85, 0, 0])), Found::Element(_)));
    assert_eq!(fields.find(Some(&[10, 0, 0, 5, 0, 95, 0, 0])), Found::Nothing);
    assert_eq!(fields.find(Some(&[10, 0, 0, 10, 0, 85, 0, 0])), Found::Nothing);
    let default = set(vec![plain(&[1]), Element { is_default: true, ..Element::default() }]);
    assert!(matches!(default.find(Some(&[2])), Found::Element(element) if element.is_default));
    let limited = set(vec![Element { is_conditional: true, ..plain(&[1]) }]);
    assert_eq!((limited.find(Some(&[1])), limited.find(Some(&[2]))), (Found::Unknown, Found::Nothing));
}

proptest! {
    /// An interval set holds exactly what lies between a beginning and the next end.
    #[test]
    fn intervals_hold_what_lies_in_them(mut ends in proptest::collection::btree_set(any::<u8>(), 2..9), value: u8) {
        if ends.len() % 2 == 1 {
            ends.pop_first();
        }
        let ends: Vec<u8> = ends.into_iter().collect();
        let elements: Vec<_> = ends.iter().enumerate().map(|(at, end)| ([*end], at % 2 == 1)).collect();
        let slices: Vec<(&[u8], bool)> = elements.iter().map(|(key, is_end)| (&key[..], *is_end)).collect();
        let expected = ends.chunks(2).any(|pair| pair[0] <= value && value < pair[1]);
        prop_assert_eq!(matches!(interval(&slices).find(Some(&[value])), Found::Element(_)), expected);
    }
}
