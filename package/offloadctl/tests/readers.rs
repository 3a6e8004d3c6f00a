//! The readers of foreign bytes: what a kernel said, what the documented layout allows, and what nobody should send.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{NOW, attribute, message, payload};
use offloadctl::conntrack::{self, Counters, Details, Flow, Path, STATUS_REPLIED, TCP_STATES};
use offloadctl::ethtool::{self, Capability};
use offloadctl::netlink;
use offloadctl::nftables::{self, Family, FlowRule, Flowtable};
use offloadctl::route;
use offloadctl::ruleset::{self, Element, Expression, Hook, Verdict};
use proptest::prelude::*;

#[test]
fn recorded_flowtable() {
    let expected = Flowtable {
        family: Family(1),
        table: "fw4".into(),
        name: "ft".into(),
        hook: 0,
        priority: 0,
        devices: vec!["wan".into(), "lan".into()],
        hardware: false,
        counter: true,
    };
    assert_eq!(common::recorded_flowtables(), [expected]);
}

#[test]
fn recorded_rules_of_which_one_adds_flows() {
    let all = common::read_all(common::RULES, |message| nftables::flow_rule(message).unwrap());
    assert_eq!(all.len(), 2);
    let [rule] = &common::recorded_rules()[..] else { panic!("{all:?}") };
    let expected =
        FlowRule { family: Family(1), table: "fw4".into(), chain: "forward".into(), handle: 5, flowtable: "ft".into() };
    assert_eq!(*rule, expected);
    assert!(rule.fills(&common::recorded_flowtables()[0]));
}

#[test]
fn a_rule_fills_only_the_flowtable_of_its_own_table() {
    let rule = &common::recorded_rules()[0];
    let flowtable = &common::recorded_flowtables()[0];
    assert!(!rule.fills(&Flowtable { family: Family(2), ..flowtable.clone() }));
    assert!(!rule.fills(&Flowtable { table: "other".into(), ..flowtable.clone() }));
    assert!(!rule.fills(&Flowtable { name: "other".into(), ..flowtable.clone() }));
}

#[test]
fn netlink_and_proc_tell_the_same() {
    let mut by_netlink = common::recorded_connections();
    let mut by_proc: Vec<Flow> =
        common::PROC_LIST.lines().map(|line| conntrack::from_proc_line(line).unwrap()).collect();
    let key = |flow: &Flow| (flow.protocol, flow.original.source);
    by_netlink.sort_by_key(key);
    by_proc.sort_by_key(key);
    for flow in by_netlink.iter_mut().chain(&mut by_proc) {
        assert_ne!(flow.details.status & STATUS_REPLIED, 0);
        flow.details.status = 0;
        // An offloaded flow has no state in the list.
        flow.details.tcp_state = None;
    }
    assert_eq!(by_netlink, by_proc);
    assert_eq!(by_netlink.len(), 4);
}

#[test]
fn recorded_masqueraded_flow() {
    let flows = common::recorded_connections();
    let flow = flows.iter().find(|flow| flow.original.source_port == Some(40000)).unwrap();
    assert_eq!((flow.path, flow.protocol), (Path::Software, 17));
    assert_eq!(flow.original.counters, Some(Counters { packets: 200, bytes: 205_600 }));
    assert_eq!(flow.reply.destination, Some(IpAddr::from([10, 0, 0, 1])));
    let ping = flows.iter().find(|flow| flow.protocol == 1).unwrap();
    assert_eq!((ping.path, ping.original.source_port), (Path::Slow, None));
}

#[test]
fn flowtable_flags_priority_and_wildcard_devices() {
    for (flags, hardware, counter) in [(0, false, false), (1, true, false), (2, false, true), (3, true, true)] {
        let devices = [attribute(1, b"eth0\0"), attribute(2, b"ppp\0")].concat();
        let hook = [attribute(1, &[0, 0, 0, 0]), attribute(2, &(-5_i32).to_be_bytes()), attribute(3, &devices)];
        // The nested flag on one of them must not matter.
        let payload = payload(2, &[attribute(0x8003, &hook.concat()), attribute(7, &[0, 0, 0, flags])]);
        let found = nftables::flowtable(&message(&payload)).unwrap();
        assert_eq!((found.hardware, found.counter, found.priority), (hardware, counter, -5));
        assert_eq!(found.devices, ["eth0", "ppp*"]);
        assert_eq!(found.family.name(), "ip");
    }
}

#[test]
fn a_flowtable_from_before_flags_has_none() {
    let found = nftables::flowtable(&message(&payload(1, &[attribute(1, b"t\0"), attribute(2, b"f\0")]))).map(|f| {
        assert!(f.devices.is_empty());
        (f.hardware, f.counter)
    });
    assert_eq!(found, Ok((false, false)));
}

#[test]
fn conntrack_status_tells_the_path() {
    for (status, path) in
        [(0x18e, Path::Slow), (0x418e, Path::Software), (0xc18e, Path::Hardware), (0x818e, Path::Hardware)]
    {
        let payload = payload(2, &[attribute(3, &u32::to_be_bytes(status))]);
        assert_eq!(conntrack::from_netlink(&message(&payload), NOW).unwrap().path, path, "{status:#x}");
    }
}

#[test]
fn the_age_is_counted_from_the_start_that_the_kernel_tells() {
    let age_of = |start: Duration| {
        let start = u64::try_from(start.as_nanos()).unwrap().to_be_bytes();
        let payload = payload(2, &[attribute(20, &attribute(1, &start))]);
        conntrack::from_netlink(&message(&payload), NOW).unwrap().age
    };
    assert_eq!(age_of(NOW - Duration::from_millis(90_500)), Some(90));
    assert_eq!(age_of(NOW + Duration::from_secs(5)), Some(0));
    assert_eq!(conntrack::from_netlink(&message(&payload(2, &[])), NOW).unwrap().age, None);
    let line = "ipv4 2 udp 17 9 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 \
                mark=0 delta-time=90 use=2";
    assert_eq!(conntrack::from_proc_line(line).unwrap().age, Some(90));
}

#[test]
fn details_of_a_connection() {
    let state = attribute(4, &attribute(1, &attribute(1, &[3])));
    let helper = attribute(5, &attribute(1, b"ftp\0"));
    let payload = payload(2, &[state, helper, attribute(8, &[0, 0, 1, 2])]);
    let details = conntrack::from_netlink(&message(&payload), NOW).unwrap().details;
    assert_eq!(details.tcp_state_name(), Some("ESTABLISHED"));
    assert_eq!(details.helper_name().as_deref(), Some("ftp"));
    assert_eq!(details.mark, 0x102);
}

#[test]
fn short_values_are_malformed_not_guessed() {
    for wrong in [
        attribute(3, &[1, 2]),
        attribute(9, &attribute(1, &[0; 4])),
        attribute(1, &attribute(1, &attribute(1, &[0; 3]))),
    ] {
        assert!(conntrack::from_netlink(&message(&payload(2, &[wrong])), NOW).is_err());
    }
    assert!(nftables::flowtable(&message(&[1, 0])).is_err());
    assert!(nftables::flow_rule(&message(&payload(1, &[attribute(3, &[0; 4])]))).is_err());
}

#[test]
fn proc_lines_are_read_by_field() {
    let slow = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.1.2 dst=10.2.2.2 sport=1234 dport=80 packets=5 bytes=300 \
                src=10.2.2.2 dst=10.1.1.2 sport=80 dport=1234 packets=4 bytes=900 [ASSURED] mark=0 zone=0 use=2";
    let hardware = slow.replace("431999 ESTABLISHED ", "").replace("[ASSURED]", "[HW_OFFLOAD]");
    let uncounted = "ipv4 2 udp 17 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 [OFFLOAD] mark=0 use=2";
    let slow = conntrack::from_proc_line(slow).unwrap();
    assert_eq!(slow.path, Path::Slow);
    assert_eq!(slow.reply.counters, Some(Counters { packets: 4, bytes: 900 }));
    assert_eq!(slow.details.tcp_state_name(), Some("ESTABLISHED"));
    let hardware = conntrack::from_proc_line(&hardware).unwrap();
    assert_eq!(hardware.details.tcp_state, None);
    assert_eq!(hardware, Flow { path: Path::Hardware, details: hardware.details, ..slow });
    let uncounted = conntrack::from_proc_line(uncounted).unwrap();
    assert_eq!((uncounted.path, uncounted.original.counters), (Path::Software, None));
    assert_eq!(uncounted.details.status & STATUS_REPLIED, 0);
    assert_eq!(uncounted.reply.source_port, Some(2));
}

#[test]
fn foreign_lines_are_no_flows() {
    for line in
        ["", "ipv4 2 tcp", "ipv4 2 tcp six src=1.1.1.1", "ipv4 2 udp 17 src=1.1.1.1 dst=2.2.2.2", "a b c 6 src=x"]
    {
        assert_eq!(conntrack::from_proc_line(line), None, "{line}");
    }
}

/// A set of features as ethtool tells it: a list of members, or all names with a mark on the members.
fn features(list: bool, names: &[(&str, bool)]) -> Vec<u8> {
    let bit = |(name, set): &(&str, bool)| {
        let mark = if *set && !list { attribute(3, &[]) } else { Vec::new() };
        attribute(0x8001, &[attribute(1, &[9, 0, 0, 0]), attribute(2, format!("{name}\0").as_bytes()), mark].concat())
    };
    let bits = names.iter().filter(|(_, set)| *set || !list).flat_map(bit).collect::<Vec<_>>();
    let flag = if list { attribute(1, &[]) } else { Vec::new() };
    [flag, attribute(0x8003, &bits)].concat()
}

#[test]
fn what_a_driver_says_about_hardware() {
    let cases = [
        (true, true, false, Capability::On),
        (true, false, false, Capability::Off),
        (false, false, false, Capability::No),
        (true, false, true, Capability::No),
        // Fixed to on.
        (false, true, true, Capability::On),
    ];
    for (possible, active, fixed, expected) in cases {
        let header = attribute(0x8001, &[attribute(1, &[2, 0, 0, 0]), attribute(2, b"eth0\0")].concat());
        let other = ("tx-checksum-ipv4", true);
        let payload = payload(
            11,
            &[
                header,
                attribute(0x8002, &features(false, &[other, ("hw-tc-offload", possible)])),
                attribute(0x8003, &features(true, &[other])),
                attribute(0x8004, &features(true, &[("hw-tc-offload", active), other])),
                attribute(0x8005, &features(false, &[("hw-tc-offload", fixed), other])),
            ],
        );
        assert_eq!(ethtool::capability(&message(&payload)), Ok(("eth0".into(), expected)));
    }
}

/// All readers over one datagram; what they find does not matter, that they end does.
fn read_everything(datagram: &[u8]) {
    for message in netlink::messages(datagram).flatten() {
        let _ = (nftables::flowtable(&message), nftables::flow_rule(&message), conntrack::from_netlink(&message, NOW));
        let _ = ethtool::capability(&message);
    }
}

#[test]
fn every_truncation_of_the_recordings_is_survived() {
    for hex in [common::FLOWTABLES, common::RULES, common::CONNECTIONS] {
        for datagram in common::datagrams(hex) {
            for end in 0..datagram.len() {
                read_everything(&datagram[..end]);
                // The framing notices each cut that is not between two messages.
                let whole: usize = netlink::messages(&datagram[..end]).flatten().map(|m| m.payload.len() + 16).sum();
                assert!(whole == end || netlink::messages(&datagram[..end]).any(|m| m.is_err()));
            }
        }
    }
}

#[test]
fn recorded_rules_are_understood() {
    let rules = common::read_all(common::RULES, |message| ruleset::rule(message).unwrap());
    assert_eq!(rules.len(), 2);
    let [.., adds] = &rules[0].expressions[..] else { panic!("{rules:?}") };
    assert_eq!(*adds, Expression::FlowAdd("ft".into()));
    assert_eq!(rules[0].expressions[0], Expression::Meta { key: 16, to: 1 });
    assert!(matches!(&rules[0].expressions[1], Expression::Lookup { from: 1, map: false, inverted: false, .. }));
    // oifname "wan" masquerade
    let mut name = b"wan".to_vec();
    name.resize(rules[1].expressions.len().max(4), 0);
    assert_eq!(rules[1].expressions[0], Expression::Meta { key: 7, to: 1 });
    assert!(
        matches!(&rules[1].expressions[1], Expression::Compare { from: 1, operator: 0, value } if value.starts_with(&name))
    );
}

#[test]
fn chains_elements_and_routes_made_by_hand() {
    let hook = attribute(4, &[attribute(1, &[0, 0, 0, 2]), attribute(2, &(-150_i32).to_be_bytes())].concat());
    let chain = [attribute(1, b"fw4\0"), attribute(3, b"forward\0"), hook, attribute(5, &[0; 4])];
    let found = ruleset::chain(&message(&payload(1, &chain))).unwrap();
    let priority = found.priority_at(Hook::Forward, 2);
    assert_eq!((priority, found.drops, &found.name[..]), (Some(-150), true, "forward"));
    // Of a bridge: nothing there is routed.
    assert_eq!(ruleset::chain(&message(&payload(7, &chain))).unwrap().base, None);

    let accept = attribute(2, &attribute(1, &[0, 0, 0, 1]));
    let elements = [
        attribute(1, &[attribute(1, &attribute(1, &[2, 0, 0, 0])), attribute(2, &accept)].concat()),
        attribute(1, &[attribute(1, &attribute(1, &[9])), attribute(3, &[0, 0, 0, 1])].concat()),
    ];
    let list = payload(1, &[attribute(3, &elements.concat())]);
    let found = ruleset::elements_in(&message(&list)).unwrap();
    assert_eq!(found[0], Element { key: vec![2, 0, 0, 0], verdict: Some(Verdict::Accept), ..Element::default() });
    assert!(found[1].is_end && !found[1].is_default);

    let mut answer = vec![2, 32, 0, 0, 254, 0, 0, 2, 0, 0, 0, 0];
    answer.extend(attribute(4, &7_u32.to_ne_bytes()));
    let found = route::route(&message(&answer)).unwrap();
    assert_eq!((found.device, found.is_local), (7, true));
    assert!(route::route(&message(&answer[..5])).is_err());
}

#[test]
fn each_state_has_a_name() {
    for (number, name) in (0..).zip(TCP_STATES) {
        let details = Details { tcp_state: Some(number), ..Details::default() };
        assert_eq!(details.tcp_state_name(), Some(name));
    }
    assert_eq!(Details { tcp_state: Some(10), ..Details::default() }.tcp_state_name(), None);
}

proptest! {
    #[test]
    fn any_payload_is_survived(family: u8, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let payload = [&[family, 0, 0, 0][..], &bytes].concat();
        let message = message(&payload);
        let _ = (nftables::flowtable(&message), nftables::flow_rule(&message), conntrack::from_netlink(&message, NOW));
        let _ = ethtool::capability(&message);
    }

    #[test]
    fn a_changed_byte_is_survived(which in 0..3_usize, at: prop::sample::Index, value: u8) {
        let hex = [common::FLOWTABLES, common::RULES, common::CONNECTIONS][which];
        let mut datagram = common::datagrams(hex).remove(0);
        let at = at.index(datagram.len());
        datagram[at] = value;
        read_everything(&datagram);
    }

    #[test]
    fn any_line_is_survived(line in "(ipv[46] [0-9]{1,2} (tcp|udp) [0-9]{1,3})?( (src|dst|sport|bytes|x)=[0-9a-f.:]{0,20}|\\PC{0,10}){0,12}") {
        let _ = conntrack::from_proc_line(&line);
    }

    #[test]
    fn addresses_and_counters_come_back(
        source: [u8; 16], destination: [u8; 16], port: u16, packets: u64, bytes: u64,
    ) {
        let addresses = [attribute(3, &source), attribute(4, &destination)].concat();
        let ports = [attribute(1, &[17]), attribute(2, &port.to_be_bytes())].concat();
        let tuple = [attribute(1, &addresses), attribute(2, &ports)].concat();
        let counters = [attribute(1, &packets.to_be_bytes()), attribute(2, &bytes.to_be_bytes())].concat();
        let payload = payload(10, &[attribute(1, &tuple), attribute(9, &counters)]);
        let flow = conntrack::from_netlink(&message(&payload), NOW).unwrap();
        prop_assert_eq!(flow.original.source, Some(IpAddr::from(source)));
        prop_assert_eq!(flow.original.destination, Some(IpAddr::from(destination)));
        prop_assert_eq!(flow.original.source_port, Some(port));
        prop_assert_eq!(flow.original.counters, Some(Counters { packets, bytes }));
    }
}

/// The attributes of a request, by number.
fn asked(paths: &[Path]) -> Vec<(u16, u32)> {
    let bytes = conntrack::request(paths).into_bytes();
    let message = netlink::messages(&bytes).next().unwrap().unwrap();
    let (_, attributes) = message.netfilter().unwrap();
    attributes.map(|attribute| attribute.map(|found| (found.kind, found.u32().unwrap())).unwrap()).collect()
}

#[test]
fn the_kernel_is_asked_to_leave_out_other_paths() {
    const OFFLOAD: u32 = 1 << 14;
    const HARDWARE: u32 = 1 << 15;
    // CTA_STATUS and CTA_STATUS_MASK.
    let filter = |status, mask| vec![(3, status), (26, mask)];
    assert_eq!(asked(&Path::ALL), []);
    assert_eq!(asked(&[Path::Hardware, Path::Software]), filter(OFFLOAD, OFFLOAD));
    assert_eq!(asked(&[Path::Hardware]), filter(HARDWARE, HARDWARE));
    assert_eq!(asked(&[Path::Software]), filter(OFFLOAD, OFFLOAD | HARDWARE));
    assert_eq!(asked(&[Path::Slow]), filter(0, OFFLOAD | HARDWARE));
}
