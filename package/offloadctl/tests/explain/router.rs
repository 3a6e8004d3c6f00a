//! A router like OpenWrt's, its rules and a connection, to be changed by the tests.

use std::net::IpAddr;

use offloadctl::conntrack::{Details, Direction, Flow, STATUS_REPLIED};
use offloadctl::devices::{Devices, Kind, Side};
use offloadctl::ethtool::Capability;
use offloadctl::explain::{Facts, Question, explain};
use offloadctl::nftables::{Family, Flowtable};
use offloadctl::ruleset::{Base, Chain, Element, Expression, Hook, Rule, Set, Verdict};
use offloadctl::trace::Ruleset;
use offloadctl::xfrm::Policy;

use crate::common;

pub(crate) const INET: Family = Family(1);

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A device with its route; each of `below` is a port of a bridge.
pub(crate) fn side(name: &str, below: &[&str]) -> Option<Side> {
    let mut devices = Devices { kernel: (6, 12), ..Devices::default() };
    devices.list.push(common::device(name, if below.is_empty() { Kind::Plain } else { Kind::Bridge }, below));
    Some(devices.side(name, None))
}

/// `meta l4proto { tcp, udp } flow add @ft`
pub(crate) fn adds() -> Vec<Expression> {
    vec![
        Expression::Meta { key: 16, to: 1 },
        Expression::Lookup { from: 1, set: "protocols".into(), map: false, inverted: false },
        Expression::FlowAdd("ft".into()),
    ]
}

/// `ct state established,related accept`
pub(crate) fn accepts_established() -> Vec<Expression> {
    vec![
        Expression::Connection { key: 0, direction: None, to: 1 },
        Expression::Bitwise { from: 1, to: 1, mask: 6_u32.to_ne_bytes().into(), xor: vec![0; 4] },
        Expression::Compare { from: 1, operator: 1, value: vec![0; 4] },
        Expression::Verdict(Verdict::Accept),
    ]
}

/// `iifname "…" …`
pub(crate) fn from_device(name: &str, verdict: Verdict) -> Vec<Expression> {
    let mut value = name.as_bytes().to_vec();
    value.resize(16, 0);
    vec![
        Expression::Meta { key: 6, to: 1 },
        Expression::Compare { from: 1, operator: 0, value },
        Expression::Verdict(verdict),
    ]
}

pub(crate) fn rules(chain: &str, first: u64, expressions: Vec<Vec<Expression>>) -> Vec<Rule> {
    let rule =
        |(handle, expressions)| Rule { family: INET, table: "fw4".into(), chain: chain.into(), handle, expressions };
    (first..).zip(expressions).map(rule).collect()
}

pub(crate) fn plain(key: &[u8], verdict: Option<Verdict>) -> Element {
    Element { key: key.into(), verdict, ..Element::default() }
}

pub(crate) fn set(name: &str, elements: Vec<Element>) -> Set {
    Set { family: INET, table: "fw4".into(), name: name.into(), is_interval: false, elements: Some(elements) }
}

/// `ct state new accept`, where the table lets connections begin.
pub(crate) fn accepts_new() -> Vec<Expression> {
    vec![
        Expression::Connection { key: 0, direction: None, to: 1 },
        Expression::Compare { from: 1, operator: 0, value: 8_u32.to_ne_bytes().into() },
        Expression::Verdict(Verdict::Accept),
    ]
}

pub(crate) fn forward(expressions: Vec<Vec<Expression>>) -> Ruleset {
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
pub(crate) fn facts() -> Facts {
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
        redirecting: Vec::new(),
        may_be_bridged: false,
    }
}

/// Encrypts packets from one address, or all of 0.0.0.0, to another.
pub(crate) fn policy(source: &str, destination: &str) -> Policy {
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

pub(crate) fn causes(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = facts();
    change(&mut facts);
    explain(&facts).causes.iter().map(|cause| cause.id).collect()
}

pub(crate) fn flow(facts: &mut Facts) -> &mut Flow {
    facts.flow.as_mut().unwrap()
}
