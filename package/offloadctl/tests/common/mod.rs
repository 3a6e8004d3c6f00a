//! Recorded answers of a kernel, and netlink bytes made by hand.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::time::Duration;

use offloadctl::conntrack::{self, Flow};
use offloadctl::devices::{Device, Kind};
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

/// The datagrams of a recording, as a kernel of this machine's byte order sends them.
pub(crate) fn datagrams(hex: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let mut datagrams: Vec<Vec<u8>> = hex.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect();
    if cfg!(target_endian = "big") {
        datagrams.iter_mut().for_each(|datagram| turn_messages(datagram));
    }
    datagrams
}

/// Headers of messages and attributes are in the kernel's byte order, which was the little-endian one; what the recorded
/// attributes hold is in that of the network.
fn turn_messages(mut bytes: &mut [u8]) {
    const HEADER: usize = 16;
    const NETFILTER: usize = 4;
    while bytes.len() >= HEADER {
        let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
        for field in [0..4, 4..6, 6..8, 8..12, 12..16] {
            bytes[field].reverse();
        }
        let (message, rest) = bytes.split_at_mut(length.next_multiple_of(4));
        turn_attributes(&mut message[HEADER + NETFILTER..length]);
        bytes = rest;
    }
}

/// The length of an attribute that may begin here.
fn attribute_length(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_le_bytes(*bytes.first_chunk()?));
    (4..=bytes.len()).contains(&length).then_some(length)
}

/// Whether this is nothing but attributes: nftables does not mark those that hold others.
fn are_attributes(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || attribute_length(bytes)
            .is_some_and(|length| are_attributes(bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn turn_attributes(mut bytes: &mut [u8]) {
    while let Some(length) = attribute_length(bytes) {
        bytes[..2].reverse();
        bytes[2..4].reverse();
        let end = length.next_multiple_of(4).min(bytes.len());
        let (attribute, rest) = bytes.split_at_mut(end);
        if are_attributes(&attribute[4..length]) {
            turn_attributes(&mut attribute[4..length]);
        }
        bytes = rest;
    }
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

/// A device that is nothing special.
pub(crate) fn device(name: &str, kind: Kind, below: &[&str]) -> Device {
    Device {
        name: name.into(),
        index: 0,
        mtu: 1500,
        kind,
        below: below.iter().copied().map(String::from).collect(),
        has_hardware: false,
        is_ethernet: true,
    }
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

/// A made-up system below a directory of its own, which goes with it.
pub(crate) struct Tree {
    root: std::path::PathBuf,
}

impl Tree {
    pub(crate) fn new(name: &str) -> Tree {
        let directory = format!("tree-{name}-{}", std::process::id());
        let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        Tree { root }
    }

    pub(crate) fn files(&self) -> offloadctl::files::Files {
        offloadctl::files::Files::below(&self.root)
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn kernel(&self, release: &str) {
        self.write("proc/sys/kernel/osrelease", &format!("{release}\n"));
    }

    /// A network device. `vlan`, `ppp` and `tunnel` are what their files say; every other word is a directory of its own.
    pub(crate) fn device(&self, name: &str, words: &str) {
        let directory = format!("sys/class/net/{name}");
        let link = match words {
            "ppp" => "512",
            "tunnel" => "768",
            _ => "1",
        };
        self.write(&format!("{directory}/type"), link);
        self.write(&format!("{directory}/uevent"), if words.contains("vlan") { "DEVTYPE=vlan\n" } else { "" });
        for word in words.split_whitespace().filter(|word| !matches!(*word, "vlan" | "ppp" | "tunnel")) {
            std::fs::create_dir_all(self.path(&format!("{directory}/{word}"))).unwrap();
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
