//! Datagrams of nf_tables: flowtables, chains, rules and elements of sets. Whatever rules they make, a packet's way through
//! them ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offloadctl::netlink;
use offloadctl::nftables;
use offloadctl::ruleset::{self, Hook, Set};
use offloadctl::trace::{self, Packet, Ruleset, STATE_NEW};

fuzz_target!(|datagram: &[u8]| {
    let mut found = Ruleset::default();
    for message in netlink::messages(datagram).flatten() {
        let _ = (nftables::flowtable(&message), nftables::flow_rule(&message));
        found.chains.extend(ruleset::chain(&message));
        if let Ok(rule) = ruleset::rule(&message) {
            rule.expressions.iter().for_each(|expression| drop(expression.text()));
            found.rules.push(rule);
        }
        found.sets.extend(ruleset::set(&message));
        if let (Ok(elements), Some(rule)) = (ruleset::elements_in(&message), found.rules.last()) {
            let (family, table) = (rule.family, rule.table.clone());
            let is_interval = elements.len() % 2 == 0;
            found.sets.push(Set { family, table, name: "s".into(), is_interval, elements: Some(elements) });
        }
    }
    for (source, destination) in [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")] {
        let packet = Packet {
            family: trace::family(source.parse().unwrap()),
            protocol: 6,
            source: source.parse().ok(),
            destination: destination.parse().ok(),
            ports: (Some(40_000), Some(443)),
            devices: (Some((2, "lan".into())), None),
            state: STATE_NEW,
            mark: Some(1),
            ..Packet::default()
        };
        let trace = found.trace(&packet);
        for rule in &found.rules {
            let _ = (found.barrier(rule, &trace), found.is_reachable(rule, Hook::Forward));
        }
    }
});
