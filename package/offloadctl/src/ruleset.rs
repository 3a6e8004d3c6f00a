//! Chains, rules and sets of nf_tables, as far as it takes to follow a packet to the `flow add` statement.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`. An expression that is not known keeps its name.

use crate::netlink::{Attribute, Attributes, Malformed, Message, Request};
use crate::nftables::{Family, collect};
use crate::socket::{self, Subsystem, Trouble};

const GET_CHAINS: u16 = 0x0a << 8 | 4;
const GET_RULES: u16 = 0x0a << 8 | 7;
const GET_ELEMENTS: u16 = 0x0a << 8 | 13;

/// The largest set that is kept.
const MOST_ELEMENTS: usize = 1000;
/// The name by which a limit of bytes is told from one of packets.
pub const LIMIT_BYTES: &str = "limit bytes";
/// `NF_INET_FORWARD`.
const HOOK_FORWARD: u32 = 2;

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Family of its table.
    pub family: Family,
    /// Name of its table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Its priority at the forward hook; `None` for every other chain.
    pub forward: Option<i32>,
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
    Meta { key: u32, to: Register },
    /// A property of the connection.
    Connection { key: u32, to: Register },
    /// Bytes of a header; `base` is 1 for the network's and 2 for the transport's.
    Payload { base: u32, offset: u32, length: u32, to: Register },
    /// And with `mask`, then exclusive or with `xor`.
    Bitwise { from: Register, to: Register, mask: Vec<u8>, xor: Vec<u8> },
    /// Goes on if the comparison holds: `operator` is 0 for equal, 1 for not equal, others are by size.
    Compare { from: Register, operator: u32, value: Vec<u8> },
    /// Goes on if the set has the value, or if it has not; a map takes the verdict that belongs to it.
    Lookup { from: Register, set: String, map: bool, inverted: bool },
    /// Decides.
    Verdict(Verdict),
    /// Adds the flow to a flowtable.
    FlowAdd(String),
    /// Anything else. [`Expression::is_harmless`] tells what cannot stop a packet.
    Other(String),
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass this hook's chain.
    Accept,
    /// It is gone, also to user space.
    Drop,
    /// It goes through another chain and comes back.
    Jump(String),
    /// It goes through another chain and does not come back.
    Goto(String),
    /// It goes back, or on.
    Return,
}

/// One element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its value, or the lower end of an interval.
    pub key: Vec<u8>,
    /// What a verdict map says about it.
    pub verdict: Option<Verdict>,
    /// It belongs to an interval, which is not followed here.
    pub is_interval: bool,
}

impl Expression {
    /// Whether it neither stops a packet nor changes what later ones look at.
    pub fn is_harmless(name: &str) -> bool {
        matches!(name, "counter" | "log" | "notrack" | "objref" | "masq" | "last")
    }

    /// Whether a rule with it may send a packet another way than on to the next rule.
    pub fn decides(&self) -> bool {
        match self {
            Expression::Verdict(_) | Expression::FlowAdd(_) | Expression::Lookup { map: true, .. } => true,
            Expression::Other(name) => matches!(&name[..], "fwd" | "queue" | "reject" | "synproxy" | "tproxy"),
            _ => false,
        }
    }

    /// In the words of nft, in short.
    pub fn text(&self) -> String {
        match self {
            Expression::Meta { key, .. } => format!("meta {}", meta_name(*key)),
            Expression::Connection { key, .. } => format!("ct {}", connection_name(*key)),
            Expression::Payload { base: 1, .. } => "network header".into(),
            Expression::Payload { base: 2, .. } => "transport header".into(),
            Expression::Payload { .. } => "link header".into(),
            Expression::Bitwise { .. } | Expression::Compare { .. } => String::new(),
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
            Verdict::Drop => "drop".into(),
            Verdict::Jump(chain) => format!("jump {chain}"),
            Verdict::Goto(chain) => format!("goto {chain}"),
            Verdict::Return => "return".into(),
        }
    }
}

fn meta_name(key: u32) -> &'static str {
    match key {
        3 => "mark",
        4 => "iif",
        5 => "oif",
        6 => "iifname",
        7 => "oifname",
        15 => "nfproto",
        16 => "l4proto",
        _ => "other",
    }
}

fn connection_name(key: u32) -> &'static str {
    match key {
        0 => "state",
        1 => "direction",
        2 => "status",
        3 => "mark",
        6 => "helper",
        _ => "other",
    }
}

/// All chains.
///
/// # Errors
/// What the kernel refused; so for the others.
pub fn chains() -> Result<Vec<Chain>, Trouble> {
    collect(&Request::netfilter(GET_CHAINS), |message| chain(message).map(Some))
}

/// All rules, in the order in which their chains have them.
pub fn rules() -> Result<Vec<Rule>, Trouble> {
    collect(&Request::netfilter(GET_RULES), |message| rule(message).map(Some))
}

/// The elements of one set; of one with too many to be kept, a single one that is not understood.
pub fn elements(family: Family, table: &str, set: &str) -> Result<Vec<Element>, Trouble> {
    let request = Request::dump(GET_ELEMENTS, &[family.0, 0, 0, 0])
        .with(1, format!("{table}\0").as_bytes())
        .with(2, format!("{set}\0").as_bytes());
    let mut found = Vec::new();
    socket::ask::<Trouble>(Subsystem::Netfilter, request, |message| {
        let more = elements_in(message)?;
        if found.len() <= MOST_ELEMENTS {
            found.extend(more);
        }
        Ok(())
    })?;
    Ok(understood(found))
}

/// A list of blocked addresses may have a hundred thousand elements, and is not worth their memory.
pub fn understood(elements: Vec<Element>) -> Vec<Element> {
    if elements.len() <= MOST_ELEMENTS {
        return elements;
    }
    vec![Element { key: Vec::new(), verdict: None, is_interval: true }]
}

/// Reads one `NFT_MSG_NEWCHAIN`.
///
/// # Errors
/// A length that does not fit; so for the others.
pub fn chain(message: &Message<'_>) -> Result<Chain, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let mut chain =
        Chain { family: Family(family), table: String::new(), name: String::new(), forward: None, drops: false };
    for found in attributes {
        let found = found?;
        match found.kind {
            1 => chain.table = found.text(),
            3 => chain.name = found.text(),
            4 => {
                let (mut hook, mut priority) = (None, 0);
                for part in found.nested() {
                    let part = part?;
                    match part.kind {
                        1 => hook = Some(part.u32()?),
                        2 => priority = part.u32()?.cast_signed(),
                        _ => {}
                    }
                }
                let is_routed = matches!(family, 1 | 2 | 10);
                chain.forward = (hook == Some(HOOK_FORWARD) && is_routed).then_some(priority);
            }
            5 => chain.drops = found.u32()? == 0,
            _ => {}
        }
    }
    Ok(chain)
}

/// Reads one `NFT_MSG_NEWRULE`.
pub fn rule(message: &Message<'_>) -> Result<Rule, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let mut rule =
        Rule { family: Family(family), table: String::new(), chain: String::new(), handle: 0, expressions: Vec::new() };
    for found in attributes {
        let found = found?;
        match found.kind {
            1 => rule.table = found.text(),
            2 => rule.chain = found.text(),
            3 => rule.handle = found.u64()?,
            4 => {
                for part in found.nested() {
                    rule.expressions.push(expression(&part?)?);
                }
            }
            _ => {}
        }
    }
    Ok(rule)
}

fn expression(attribute: &Attribute<'_>) -> Result<Expression, Malformed> {
    let (mut name, mut data) = (String::new(), None);
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            1 => name = part.text(),
            2 => data = Some(part.nested()),
            _ => {}
        }
    }
    let fields = Fields::read(data)?;
    Ok(match name.as_str() {
        "meta" if fields.has(1) => Expression::Meta { key: fields.number(2)?, to: fields.number(1)? },
        "ct" if fields.has(1) => Expression::Connection { key: fields.number(2)?, to: fields.number(1)? },
        "payload" if fields.has(1) => Expression::Payload {
            base: fields.number(2)?,
            offset: fields.number(3)?,
            length: fields.number(4)?,
            to: fields.number(1)?,
        },
        "bitwise" if fields.has(4) && fields.has(5) => Expression::Bitwise {
            from: fields.number(1)?,
            to: fields.number(2)?,
            mask: fields.value(4)?,
            xor: fields.value(5)?,
        },
        "cmp" => Expression::Compare { from: fields.number(1)?, operator: fields.number(2)?, value: fields.value(3)? },
        "lookup" => Expression::Lookup {
            from: fields.number(2)?,
            set: fields.text(1),
            map: fields.has(3),
            inverted: fields.has(5) && fields.number(5)? & 1 != 0,
        },
        "immediate" => match verdict(fields.get(2)?)? {
            Some(verdict) => Expression::Verdict(verdict),
            None => Expression::Other(name),
        },
        // Its type says whether packets are limited or bytes.
        "limit" if fields.has(4) && fields.number(4)? == 1 => Expression::Other(LIMIT_BYTES.into()),
        "reject" | "queue" => Expression::Verdict(Verdict::Drop),
        "flow_offload" => Expression::FlowAdd(fields.text(1)),
        _ => Expression::Other(name),
    })
}

/// The verdict in an `NFTA_DATA_*`, where it holds one.
fn verdict(data: &Attribute<'_>) -> Result<Option<Verdict>, Malformed> {
    for part in data.nested() {
        let part = part?;
        if part.kind != 2 {
            continue;
        }
        let fields = Fields::read(Some(part.nested()))?;
        // NF_DROP, NF_ACCEPT, and the verdicts of nf_tables itself, which are negative.
        return Ok(match fields.number(1)?.cast_signed() {
            0 => Some(Verdict::Drop),
            1 => Some(Verdict::Accept),
            -3 => Some(Verdict::Jump(fields.text(2))),
            -4 => Some(Verdict::Goto(fields.text(2))),
            -5 => Some(Verdict::Return),
            _ => None,
        });
    }
    Ok(None)
}

/// Reads one `NFT_MSG_NEWSETELEM`.
pub fn elements_in(message: &Message<'_>) -> Result<Vec<Element>, Malformed> {
    let (_, attributes) = message.netfilter()?;
    let mut elements = Vec::new();
    for found in attributes {
        let found = found?;
        if found.kind != 3 {
            continue;
        }
        for part in found.nested() {
            let fields = Fields::read(Some(part?.nested()))?;
            elements.push(Element {
                // An element without a key stands for everything else.
                key: if fields.has(1) { fields.value(1)? } else { Vec::new() },
                verdict: if fields.has(2) { verdict(fields.get(2)?)? } else { None },
                is_interval: fields.has(10) || !fields.has(1) || (fields.has(3) && fields.number(3)? != 0),
            });
        }
    }
    Ok(elements)
}

/// The attributes of one expression, by number.
struct Fields<'a>(Vec<Attribute<'a>>);

impl<'a> Fields<'a> {
    fn read(attributes: Option<Attributes<'a>>) -> Result<Fields<'a>, Malformed> {
        let Some(attributes) = attributes else { return Ok(Fields(Vec::new())) };
        Ok(Fields(attributes.collect::<Result<_, _>>()?))
    }

    fn get(&self, kind: u16) -> Result<&Attribute<'a>, Malformed> {
        self.0.iter().find(|attribute| attribute.kind == kind).ok_or(Malformed)
    }

    fn has(&self, kind: u16) -> bool {
        self.get(kind).is_ok()
    }

    fn number(&self, kind: u16) -> Result<u32, Malformed> {
        self.get(kind)?.u32()
    }

    fn text(&self, kind: u16) -> String {
        self.get(kind).map(Attribute::text).unwrap_or_default()
    }

    /// The bytes in an `NFTA_DATA_VALUE`.
    fn value(&self, kind: u16) -> Result<Vec<u8>, Malformed> {
        for part in self.get(kind)?.nested() {
            let part = part?;
            if part.kind == 1 {
                return Ok(part.value.to_vec());
            }
        }
        Err(Malformed)
    }
}
