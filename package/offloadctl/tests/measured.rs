//! What scenarios measured, and what explain says of it: a flow of which packets took the slow path is never "offloaded".
//!
//! Each row was counted by the probe of the suite on Linux 6.12, where a mark is set in all of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::sync::LazyLock;

use common::Tree;
use offloadctl::conntrack::{Details, Direction, Flow, Path, STATUS_REPLIED};
use offloadctl::devices::Devices;
use offloadctl::explain::{Facts, Question, explain};
use offloadctl::nftables::{Family, Flowtable};
use offloadctl::ruleset::{Base, Chain, Expression, Hook, Rule};
use offloadctl::trace::Ruleset;
use proptest::prelude::*;

/// The devices towards both ends, those of the flowtable, and whether all packets but the first were fast.
const MEASURED: [(&str, &str, &str, bool); 22] = [
    ("eth0", "eth1", "eth0 eth1", true),
    ("eth0", "eth1", "eth0", false),
    ("eth0", "eth1", "lo", false),
    // offloadctl-stacks-pppoe
    ("eth0", "pppoe-wan", "eth0 eth1.7", false),
    ("eth0", "pppoe-wan", "eth0 eth1.7 eth1", true),
    ("eth0", "pppoe-wan", "eth0 lo", false),
    ("eth0", "pppoe-wan", "eth0 pppoe-wan", true),
    // offloadctl-stacks-bridge
    ("br-lan.10", "eth1", "br-lan eth1", false),
    ("br-lan.10", "eth1", "br-lan eth1 eth0", true),
    ("br-lan.10", "eth1", "br-lan.10 eth1", true),
    // offloadctl-trunk
    ("cpu0.1", "cpu0.2", "cpu0", true),
    // offload-vlan-wan, offload-bridge-port
    ("eth0", "eth1.7", "eth0 eth1", true),
    ("br-lan", "eth1", "eth0 eth1", true),
    ("br-lan", "eth1", "br-lan eth1", true),
    // A macvlan above the card.
    ("eth0", "vwan1", "eth0 eth1", false),
    ("eth0", "vwan1", "eth0 vwan1", true),
    ("eth0", "vwan1", "vwan1", false),
    // offloadctl-stacks-others
    ("eth0", "bond1.7", "eth0 eth2", false),
    ("eth0", "bond1.7", "eth0 eth2 bond1", true),
    ("eth0", "mac0", "eth0 bond1", false),
    ("eth0", "mac0", "eth0 bond1 mac0", true),
    // Through a tunnel of IPv6 in IPv4.
    ("eth0", "tunnel", "eth0 eth1", false),
];

fn router(name: &str) -> Devices {
    let tree = Tree::new(name);
    tree.kernel("6.12.107");
    for (device, parts) in [
        ("eth0", "device"),
        ("eth1", "device"),
        ("eth1.7", "lower_eth1 vlan"),
        ("br-lan", "bridge lower_eth0"),
        ("br-lan.10", "lower_br-lan vlan"),
        ("vwan1", "lower_eth1"),
        ("pppoe-wan", "ppp"),
        ("cpu0", ""),
        ("cpu0.1", "lower_cpu0 vlan"),
        ("cpu0.2", "lower_cpu0 vlan"),
        ("eth2", "device"),
        ("bond1", "lower_eth2"),
        ("bond1.7", "lower_bond1 vlan"),
        ("mac0", "lower_bond1.7"),
        ("tunnel", ""),
        ("lo", ""),
    ] {
        tree.device(device, parts);
    }
    tree.write("proc/net/pppoe", "Id       Address              Device\n00000001 52:54:00:12:34:56   eth1.7\n");
    Devices::read(&tree.files())
}

static ROUTER: LazyLock<Devices> = LazyLock::new(|| router("property"));

/// A flow that is marked, with a rule that adds every flow.
fn facts(devices: &Devices, near: &str, far: &str, list: &str) -> Facts {
    let direction = |source: &str, destination: &str| Direction {
        source: source.parse().ok(),
        destination: destination.parse().ok(),
        source_port: Some(7101),
        destination_port: Some(7101),
        counters: None,
    };
    let (family, table, chain) = (Family(1), "fw4".to_owned(), "forward".to_owned());
    let base = Base { hook: Hook::Forward, priority: 0, is_nat: false, devices: Vec::new() };
    Facts {
        question: Question {
            source: "192.168.1.2".parse().unwrap(),
            destination: "203.0.113.2".parse().unwrap(),
            protocol: None,
            port: None,
        },
        flow: Some(Flow {
            path: Path::Software,
            protocol: 17,
            details: Details { status: STATUS_REPLIED, ..Details::default() },
            original: direction("192.168.1.2", "203.0.113.2"),
            reply: direction("203.0.113.2", "203.0.113.1"),
            ..Flow::default()
        }),
        matching: 1,
        devices: (Some(devices.side(near, None)), Some(devices.side(far, None))),
        is_local: false,
        marks: [Some(0); 2],
        redirected: None,
        timeout: Some(30),
        ipsec: Vec::new(),
        ruleset: Ruleset {
            chains: vec![Chain { family, table: table.clone(), name: chain.clone(), base: Some(base), drops: false }],
            rules: vec![Rule {
                family,
                table: table.clone(),
                chain,
                handle: 1,
                expressions: vec![Expression::FlowAdd("ft".into())],
            }],
            sets: Vec::new(),
        },
        flowtables: vec![Flowtable {
            family,
            table,
            name: "ft".into(),
            hook: 0,
            priority: 0,
            devices: list.split_whitespace().map(String::from).collect(),
            hardware: false,
            counter: true,
        }],
        hardware: None,
        bound: None,
        redirecting: Vec::new(),
        may_be_bridged: false,
    }
}

#[test]
fn offloaded_is_what_was_measured_to_be_fast() {
    let devices = router("measured");
    for (near, far, list, is_fast) in MEASURED {
        let explanation = explain(&facts(&devices, near, far, list));
        assert_eq!(explanation.exit_code() == 0, is_fast, "{near} to {far} with {list}");
        assert_eq!(
            explanation.causes.iter().any(|cause| cause.id == "OCTL210"),
            !is_fast,
            "{near} to {far} with {list}"
        );
    }
}

proptest! {
    /// Whatever the flowtable has: without the lowest and the topmost device of a side the flow is not said to be offloaded.
    #[test]
    fn no_flow_is_offloaded_that_a_side_keeps_from_it(row in 0..MEASURED.len(), mut list in proptest::collection::vec(
        prop::sample::select(vec!["eth0", "eth1", "eth1.7", "br-lan", "br-lan.10", "vwan1", "pppoe-wan", "cpu0", "bond1", "mac0", "eth2", "lo"]),
        0..5,
    )) {
        let devices = &ROUTER;
        let (near, far, ..) = MEASURED[row];
        let side = devices.side(far, None);
        let ends = [side.name.as_str(), side.ways[0].devices.last().unwrap()].map(String::from);
        list.retain(|device| !ends.contains(&device.to_string()));
        prop_assert_eq!(explain(&facts(devices, near, far, &list.join(" "))).exit_code(), 1);
    }
}
