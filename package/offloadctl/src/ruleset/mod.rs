//! Chains, rules and sets of nf_tables, as far as it takes to follow a packet.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`. An expression that is not known keeps its name.

mod read;
mod set;

pub use read::{chain, chains, elements_in, fill, rule, rules, set, sets};
pub use set::{Element, Found, Set};

use crate::nftables::{Family, Flowtable};

/// The name by which changed addresses and ports are told from other bytes of a packet.
pub const ADDRESS_SET: &str = "address set";
/// The name by which a limit of bytes is told from one of packets.
pub const LIMIT_BYTES: &str = "limit bytes";

/// Where packets come by, for tables that see routed packets; `NF_INET_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the route is chosen.
    Prerouting,
    /// To the router itself.
    Input,
    /// Through the router.
    Forward,
    /// From the router itself.
    Output,
    /// Before packets leave.
    Postrouting,
    /// On a device, before everything else.
    Ingress,
    /// On a device, after everything else.
    Egress,
}

/// Where a chain is called from without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The place.
    pub hook: Hook,
    /// Lower ones come first.
    pub priority: i32,
    /// Its rules see the first packet of a connection only, and translate its addresses.
    pub is_nat: bool,
    /// Devices, at the hooks that have them.
    pub devices: Vec<String>,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Family of its table.
    pub family: Family,
    /// Name of its table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Where it begins; `None` where rules have to call it.
    pub base: Option<Base>,
    /// Whether what reaches its end is dropped.
    pub drops: bool,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Family of its table.
    pub family: Family,
    /// Name of its table.
    pub table: String,
    /// Name of its chain.
    pub chain: String,
    /// The handle that `nft -a list chain` shows.
    pub handle: u64,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
}

/// A register of nf_tables' machine, by its number.
pub type Register = u32;

/// One step of a rule. Fields `from` and `to` are registers, `key` is the number of a property in the kernel's list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are explained together, above")]
pub enum Expression {
    /// A property of the packet.
    Meta {
        key: u32,
        to: Register,
    },
    /// A property of the connection, or of one direction of it: 0 is the one in which it began.
    Connection {
        key: u32,
        direction: Option<u8>,
        to: Register,
    },
    /// A value.
    Immediate {
        to: Register,
        value: Vec<u8>,
    },
    /// The bytes of each number of `size` bytes turned round, where the machine's order is not the network's.
    Reorder {
        from: Register,
        to: Register,
        length: u32,
        size: u32,
    },
    /// Bytes of a header; `base` is 1 for the network's and 2 for the transport's.
    Payload {
        base: u32,
        offset: u32,
        length: u32,
        to: Register,
    },
    /// And with `mask`, then exclusive or with `xor`.
    Bitwise {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    /// Goes on if the comparison holds: `operator` is 0 for equal, 1 for not equal, others are by size.
    Compare {
        from: Register,
        operator: u32,
        value: Vec<u8>,
    },
    /// Goes on if the value is between the two, or, inverted, if it is not.
    Range {
        from: Register,
        lowest: Vec<u8>,
        highest: Vec<u8>,
        inverted: bool,
    },
    /// Goes on if the set has the value, or if it has not; a map takes the verdict that belongs to it.
    Lookup {
        from: Register,
        set: String,
        map: bool,
        inverted: bool,
    },
    /// Loads what a map has for the value.
    Map {
        to: Register,
    },
    /// Sets the packet's mark; the connection's mark.
    SetMark(Register),
    SetConnectionMark(Register),
    /// Translates the destination; registers have the address and the port, where they are given.
    Redirect {
        address: Option<Register>,
        port: Option<Register>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Adds the flow to a flowtable.
    FlowAdd(String),
    /// Anything else. [`Expression::is_harmless`] tells what cannot stop a packet.
    Other(String),
}

impl Chain {
    /// Where it stands at a hook, for packets of an address family.
    pub fn priority_at(&self, hook: Hook, family: u8) -> Option<i32> {
        let sees = self.family == Family(1) || self.family == Family(family);
        self.base.as_ref().filter(|base| sees && base.hook == hook).map(|base| base.priority)
    }
}

impl Rule {
    /// Whether it stands in a chain.
    pub fn is_in(&self, chain: &Chain) -> bool {
        (self.family, &self.table, &self.chain) == (chain.family, &chain.table, &chain.name)
    }

    /// Whether it fills a flowtable.
    pub fn fills(&self, flowtable: &Flowtable) -> bool {
        let adds = |expression: &Expression| matches!(expression, Expression::FlowAdd(name) if *name == flowtable.name);
        (self.family, &self.table) == (flowtable.family, &flowtable.table) && self.expressions.iter().any(adds)
    }

    /// Where it is, as nft's own commands want it.
    pub fn place(&self) -> String {
        format!("{} {} {} handle {}", self.family.name(), self.table, self.chain, self.handle)
    }
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass this hook's chain.
    Accept,
    /// A program decides; either way this chain is over.
    Queue,
    /// It is gone, also to user space.
    Drop,
    /// It goes through another chain and comes back.
    Jump(String),
    /// It goes through another chain and does not come back.
    Goto(String),
    /// It goes back, or on.
    Return,
}

impl Expression {
    /// Whether it neither stops a packet nor changes what later ones look at.
    pub fn is_harmless(name: &str) -> bool {
        matches!(
            name,
            "counter"
                | "log"
                | "notrack"
                | "masq"
                | "nat"
                | "redir"
                | "last"
                | "dup"
                | "payload set"
                | ADDRESS_SET
                | "meta set"
                | "ct set"
                | "exthdr set"
                | "ct helper"
                | "ct timeout"
                | "ct expectation"
                | "secmark"
        )
    }

    /// Whether a rule with it may send a packet another way than on to the next rule.
    pub fn decides(&self) -> bool {
        match self {
            Expression::Verdict(_) | Expression::FlowAdd(_) | Expression::Lookup { map: true, .. } => true,
            Expression::Other(name) => matches!(&name[..], "fwd" | "synproxy" | "tproxy"),
            _ => false,
        }
    }

    /// In the words of nft, in short.
    pub fn text(&self) -> String {
        match self {
            Expression::Meta { key, .. } => name_of(&META, "meta", *key),
            Expression::Connection { key, .. } => name_of(&CONNECTION, "ct", *key),
            Expression::Payload { base: 1, .. } => "network header".into(),
            Expression::Payload { base: 2, .. } => "transport header".into(),
            Expression::Payload { .. } => "link header".into(),
            Expression::Bitwise { .. }
            | Expression::Compare { .. }
            | Expression::Range { .. }
            | Expression::Immediate { .. }
            | Expression::Reorder { .. } => String::new(),
            Expression::Map { .. } => "map".into(),
            Expression::SetMark(_) => "meta mark set".into(),
            Expression::SetConnectionMark(_) => "ct mark set".into(),
            Expression::Redirect { .. } => "dnat".into(),
            Expression::Lookup { set, map: true, .. } => format!("vmap @{set}"),
            Expression::Lookup { set, .. } => format!("@{set}"),
            Expression::Verdict(verdict) => verdict.text(),
            Expression::FlowAdd(flowtable) => format!("flow add @{flowtable}"),
            Expression::Other(name) => name.clone(),
        }
    }
}

impl Verdict {
    /// In the words of nft.
    pub fn text(&self) -> String {
        match self {
            Verdict::Accept => "accept".into(),
            Verdict::Queue => "queue".into(),
            Verdict::Drop => "drop".into(),
            Verdict::Jump(chain) => format!("jump {chain}"),
            Verdict::Goto(chain) => format!("goto {chain}"),
            Verdict::Return => "return".into(),
        }
    }
}

/// Names of properties, by their number.
const META: [(u32, &str); 9] = [
    (1, "protocol"),
    (3, "mark"),
    (4, "iif"),
    (5, "oif"),
    (6, "iifname"),
    (7, "oifname"),
    (15, "nfproto"),
    (16, "l4proto"),
    (17, "ibrname"),
];
const CONNECTION: [(u32, &str); 11] = [
    (0, "state"),
    (1, "direction"),
    (2, "status"),
    (3, "mark"),
    (6, "helper"),
    (8, "saddr"),
    (9, "daddr"),
    (11, "proto-src"),
    (12, "proto-dst"),
    (14, "packets"),
    (15, "bytes"),
];

fn name_of(names: &[(u32, &str)], what: &str, key: u32) -> String {
    let name = names.iter().find(|(known, _)| *known == key).map_or("other", |(_, name)| name);
    format!("{what} {name}")
}
