//! Flowtables and the rules that fill them, as nf_tables tells them over netlink.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`; they are part of the kernel's user interface and never change.

use crate::netlink::{Malformed, Message, Request};
use crate::socket::{self, Consistency, Subsystem, Trouble};

/// `NFNL_SUBSYS_NFTABLES` in the high byte, `NFT_MSG_GETFLOWTABLE` in the low one.
const GET_FLOWTABLES: u16 = 0x0a << 8 | 23;
/// … and `NFT_MSG_GETRULE`.
const GET_RULES: u16 = 0x0a << 8 | 7;
/// How often to start again when rules change under a dump; a firewall reload is over long before.
const ATTEMPTS: usize = 5;

mod attribute {
    //! Attribute numbers by the message or attribute that holds them.
    pub(super) const FLOWTABLE_TABLE: u16 = 1;
    pub(super) const FLOWTABLE_NAME: u16 = 2;
    pub(super) const FLOWTABLE_HOOK: u16 = 3;
    pub(super) const FLOWTABLE_FLAGS: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const HOOK_DEVICES: u16 = 3;
    pub(super) const DEVICE_NAME: u16 = 1;
    /// Kernels with wildcard devices name them by their beginning.
    pub(super) const DEVICE_PREFIX: u16 = 2;
    pub(super) const RULE_TABLE: u16 = 1;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_HANDLE: u16 = 3;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const EXPRESSION_NAME: u16 = 1;
    pub(super) const EXPRESSION_DATA: u16 = 2;
    pub(super) const FLOW_TABLE_NAME: u16 = 1;
}

/// Address family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Family(pub u8);

impl Family {
    /// The word that nft uses for it.
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "inet",
            2 => "ip",
            3 => "arp",
            5 => "netdev",
            7 => "bridge",
            10 => "ip6",
            _ => "unknown",
        }
    }
}

/// One flowtable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flowtable {
    /// Family of the table it is in.
    pub family: Family,
    /// Name of that table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Hook number; 0 is ingress, and no other exists today.
    pub hook: u32,
    /// Priority at that hook: lower comes first.
    pub priority: i32,
    /// Devices whose packets it looks at; a trailing `*` stands for all that begin so.
    pub devices: Vec<String>,
    /// `NFT_FLOWTABLE_HW_OFFLOAD`: hardware is asked to take the flows.
    pub hardware: bool,
    /// `NFT_FLOWTABLE_COUNTER`: offloaded packets are counted in conntrack.
    pub counter: bool,
}

/// One rule with a `flow add` statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRule {
    /// Family of the table it is in.
    pub family: Family,
    /// Name of that table.
    pub table: String,
    /// Name of the chain.
    pub chain: String,
    /// The handle that `nft -a list chain` shows.
    pub handle: u64,
    /// The flowtable that it adds to, in the same table.
    pub flowtable: String,
}

impl Flowtable {
    /// The command that gives it more devices. What it does not repeat of the flowtable is gone afterwards: measured of
    /// `counter` on 6.12.
    pub fn adding(&self, devices: &str) -> String {
        let counter = if self.counter { " counter;" } else { "" };
        let flags = if self.hardware { " flags offload;" } else { "" };
        format!("nft add flowtable {} '{{ devices = {{ {devices} }};{counter}{flags} }}'", self.place())
    }

    /// Where it is, as nft's own commands want it.
    pub fn place(&self) -> String {
        format!("{} {} {}", self.family.name(), self.table, self.name)
    }
}

impl FlowRule {
    /// Whether this rule fills `flowtable`.
    pub fn fills(&self, flowtable: &Flowtable) -> bool {
        (self.family, &self.table, &self.flowtable) == (flowtable.family, &flowtable.table, &flowtable.name)
    }
}

/// All flowtables of this network namespace.
///
/// # Errors
/// What the kernel refused.
pub fn flowtables() -> Result<Vec<Flowtable>, Trouble> {
    collect(&Request::netfilter(GET_FLOWTABLES), |message| flowtable(message).map(Some))
}

/// All rules with a `flow add` statement.
///
/// # Errors
/// What the kernel refused.
pub fn flow_rules() -> Result<Vec<FlowRule>, Trouble> {
    collect(&Request::netfilter(GET_RULES), flow_rule)
}

/// Asks until the list stood still during the answer; after that many changes the last answer is as good as any.
///
/// # Errors
/// What the kernel refused.
pub fn collect<T>(
    request: &Request,
    read: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
) -> Result<Vec<T>, Trouble> {
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        found.clear();
        let consistency = socket::ask::<Trouble>(Subsystem::Netfilter, request.clone(), |message| {
            found.extend(read(message)?);
            Ok(())
        })?;
        if consistency == Consistency::Steady {
            break;
        }
    }
    Ok(found)
}

/// Reads one `NFT_MSG_NEWFLOWTABLE`.
///
/// # Errors
/// A length that does not fit.
pub fn flowtable(message: &Message<'_>) -> Result<Flowtable, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let mut flowtable = Flowtable {
        family: Family(family),
        table: String::new(),
        name: String::new(),
        hook: 0,
        priority: 0,
        devices: Vec::new(),
        hardware: false,
        counter: false,
    };
    for found in attributes {
        let found = found?;
        match found.kind {
            attribute::FLOWTABLE_TABLE => flowtable.table = found.text(),
            attribute::FLOWTABLE_NAME => flowtable.name = found.text(),
            attribute::FLOWTABLE_FLAGS => {
                let flags = found.u32()?;
                flowtable.hardware = flags & 1 != 0;
                flowtable.counter = flags & 2 != 0;
            }
            attribute::FLOWTABLE_HOOK => {
                for part in found.nested() {
                    let part = part?;
                    match part.kind {
                        attribute::HOOK_NUMBER => flowtable.hook = part.u32()?,
                        attribute::HOOK_PRIORITY => flowtable.priority = part.u32()?.cast_signed(),
                        attribute::HOOK_DEVICES => flowtable.devices = devices(part.nested())?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(flowtable)
}

fn devices(list: crate::netlink::Attributes<'_>) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    for device in list {
        let device = device?;
        match device.kind {
            attribute::DEVICE_NAME => names.push(device.text()),
            attribute::DEVICE_PREFIX => names.push(device.text() + "*"),
            _ => {}
        }
    }
    Ok(names)
}

/// Reads one `NFT_MSG_NEWRULE`; `None` when it adds to no flowtable.
///
/// # Errors
/// A length that does not fit.
pub fn flow_rule(message: &Message<'_>) -> Result<Option<FlowRule>, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let (mut table, mut chain, mut handle, mut flowtable) = (String::new(), String::new(), 0, None);
    for found in attributes {
        let found = found?;
        match found.kind {
            attribute::RULE_TABLE => table = found.text(),
            attribute::RULE_CHAIN => chain = found.text(),
            attribute::RULE_HANDLE => handle = found.u64()?,
            attribute::RULE_EXPRESSIONS => {
                for expression in found.nested() {
                    flowtable = flow_add(&expression?)?.or(flowtable);
                }
            }
            _ => {}
        }
    }
    Ok(flowtable.map(|flowtable| FlowRule { family: Family(family), table, chain, handle, flowtable }))
}

/// The flowtable named by an expression, when that is `flow_offload`, nf_tables' own name for `flow add`.
fn flow_add(expression: &crate::netlink::Attribute<'_>) -> Result<Option<String>, Malformed> {
    let (mut name, mut flowtable) = (String::new(), None);
    for part in expression.nested() {
        let part = part?;
        match part.kind {
            attribute::EXPRESSION_NAME => name = part.text(),
            // The data of other expressions has other numbers, and need not be attributes that we know.
            attribute::EXPRESSION_DATA if name == "flow_offload" => {
                for datum in part.nested() {
                    let datum = datum?;
                    if datum.kind == attribute::FLOW_TABLE_NAME {
                        flowtable = Some(datum.text());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(flowtable)
}
