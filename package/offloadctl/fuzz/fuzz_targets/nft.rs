//! Datagrams of nf_tables: flowtables, chains, rules and elements of sets. Whatever rules they make, a packet's way through
//! them ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offloadctl::netlink;
use offloadctl::nftables;
use offloadctl::ruleset;
use offloadctl::trace::{Packet, Ruleset, STATE_NEW};

fuzz_target!(|datagram: &[u8]| {
    let mut found = Ruleset::default();
    for message in netlink::messages(datagram).flatten() {
        let _ = (nftables::flowtable(&message), nftables::flow_rule(&message));
        found.chains.extend(ruleset::chain(&message));
        if let Ok(rule) = ruleset::rule(&message) {
            rule.expressions.iter().for_each(|expression| drop(expression.text()));
            found.rules.push(rule);
        }
        if let (Ok(elements), Some(rule)) = (ruleset::elements_in(&message), found.rules.last()) {
            found.sets.push((rule.family, rule.table.clone(), "s".into(), ruleset::understood(elements)));
        }
    }
    for (source, destination) in [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")] {
        let packet = Packet {
            protocol: 6,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ports: Some((40_000, 443)),
            devices: (Some("lan".into()), None),
            state: STATE_NEW,
            status: 0,
            mark: 1,
        };
        let _ = found.trace(&packet);
    }
});
