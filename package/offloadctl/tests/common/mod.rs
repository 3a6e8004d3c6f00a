//! Recorded answers of a kernel, and netlink bytes made by hand.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::time::Duration;

use offloadctl::conntrack::{self, Flow};
use offloadctl::netlink::{self, KIND_DONE, Message};
use offloadctl::nftables::{self, FlowRule, Flowtable};

pub(crate) const FLOWTABLES: &str = include_str!("../recorded/flowtables.hex");
pub(crate) const RULES: &str = include_str!("../recorded/rules.hex");
pub(crate) const OPENWRT_CHAINS: &str = include_str!("../recorded/openwrt_chains.hex");
pub(crate) const OPENWRT_RULES: &str = include_str!("../recorded/openwrt_rules.hex");
pub(crate) const CONNECTIONS: &str = include_str!("../recorded/connections.hex");
/// The clock of the tests, since 1970.
pub(crate) const NOW: Duration = Duration::from_secs(1_700_000_000);
pub(crate) const PROC_LIST: &str = include_str!("../recorded/nf_conntrack.txt");

/// The datagrams of a recording.
pub(crate) fn datagrams(hex: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// Reads each message of a recording except the ends of dumps.
pub(crate) fn read_all<T>(hex: &str, read: impl Fn(&Message<'_>) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for datagram in datagrams(hex) {
        for message in netlink::messages(&datagram) {
            let message = message.unwrap();
            if message.kind != KIND_DONE {
                found.push(read(&message));
            }
        }
    }
    found
}

pub(crate) fn recorded_flowtables() -> Vec<Flowtable> {
    read_all(FLOWTABLES, |message| nftables::flowtable(message).unwrap())
}

pub(crate) fn recorded_rules() -> Vec<FlowRule> {
    read_all(RULES, |message| nftables::flow_rule(message).unwrap()).into_iter().flatten().collect()
}

pub(crate) fn recorded_connections() -> Vec<Flow> {
    read_all(CONNECTIONS, |message| conntrack::from_netlink(message, NOW).unwrap())
}

/// An attribute with its header and padding.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The payload of a netfilter message: `struct nfgenmsg` and attributes.
pub(crate) fn payload(family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    [&[family, 0, 0, 0][..], &attributes.concat()].concat()
}

/// A message around a payload.
pub(crate) fn message(payload: &[u8]) -> Message<'_> {
    Message { kind: 0, flags: 0, sequence: 1, payload }
}
