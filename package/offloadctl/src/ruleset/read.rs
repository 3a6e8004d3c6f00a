//! Reading them: what the kernel answers.

use super::{ADDRESS_SET, Base, Chain, Element, Expression, Hook, LIMIT_BYTES, Rule, Set, Verdict};
use crate::netlink::{Attribute, Attributes, Malformed, Message, Request};
use crate::nftables::{Family, collect};
use crate::socket::{self, Subsystem, Trouble};

const GET_CHAINS: u16 = 0x0a << 8 | 4;
const GET_RULES: u16 = 0x0a << 8 | 7;
const GET_SETS: u16 = 0x0a << 8 | 10;
const GET_ELEMENTS: u16 = 0x0a << 8 | 13;
/// `NFT_SET_INTERVAL`.
const IS_INTERVAL: u32 = 4;
/// `NFPROTO_NETDEV`.
const NETDEV: u8 = 5;

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

/// All sets, without their elements.
pub fn sets() -> Result<Vec<Set>, Trouble> {
    collect(&Request::netfilter(GET_SETS), |message| set(message).map(Some))
}

/// Reads the elements of a set; of one that cannot be read nothing is known, which is true.
pub fn fill(set: &mut Set) {
    let request = Request::dump(GET_ELEMENTS, &[set.family.0, 0, 0, 0])
        .with(1, format!("{}\0", set.table).as_bytes())
        .with(2, format!("{}\0", set.name).as_bytes());
    let mut found = Vec::new();
    let read = socket::ask::<Trouble>(Subsystem::Netfilter, request, |message| {
        let more = elements_in(message)?;
        if found.len() <= Set::MOST {
            found.extend(more);
        }
        Ok(())
    });
    set.elements = read.ok().filter(|_| found.len() <= Set::MOST).map(|_| found);
}

/// Reads one `NFT_MSG_NEWCHAIN`.
///
/// # Errors
/// A length that does not fit; so for the others.
pub fn chain(message: &Message<'_>) -> Result<Chain, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let mut chain =
        Chain { family: Family(family), table: String::new(), name: String::new(), base: None, drops: false };
    let (mut base, mut is_nat) = (None, false);
    for found in attributes {
        let found = found?;
        match found.kind {
            1 => chain.table = found.text(),
            3 => chain.name = found.text(),
            4 => base = base_of(family, found.nested())?,
            5 => chain.drops = found.u32()? == 0,
            7 => is_nat = found.text() == "nat",
            _ => {}
        }
    }
    chain.base = base.map(|base| Base { is_nat, ..base });
    Ok(chain)
}

/// Reads `NFTA_CHAIN_HOOK`; hooks of bridges and of ARP concern nothing that is routed.
fn base_of(family: u8, attributes: Attributes<'_>) -> Result<Option<Base>, Malformed> {
    let (mut hook, mut priority, mut devices) = (None, 0, Vec::new());
    for part in attributes {
        let part = part?;
        match part.kind {
            1 => hook = Some(part.u32()?),
            2 => priority = part.u32()?.cast_signed(),
            3 => devices.push(part.text()),
            4 => {
                for device in part.nested() {
                    devices.push(device?.text());
                }
            }
            _ => {}
        }
    }
    let hook = match (family, hook) {
        (NETDEV, Some(0)) | (1, Some(5)) => Hook::Ingress,
        (NETDEV, Some(1)) => Hook::Egress,
        (1 | 2 | 10, Some(0)) => Hook::Prerouting,
        (1 | 2 | 10, Some(1)) => Hook::Input,
        (1 | 2 | 10, Some(2)) => Hook::Forward,
        (1 | 2 | 10, Some(3)) => Hook::Output,
        (1 | 2 | 10, Some(4)) => Hook::Postrouting,
        _ => return Ok(None),
    };
    Ok(Some(Base { hook, priority, is_nat: false, devices }))
}

/// Reads one `NFT_MSG_NEWSET`.
pub fn set(message: &Message<'_>) -> Result<Set, Malformed> {
    let (family, attributes) = message.netfilter()?;
    let mut set = Set { family: Family(family), ..Set::default() };
    for found in attributes {
        let found = found?;
        match found.kind {
            1 => set.table = found.text(),
            2 => set.name = found.text(),
            3 => set.is_interval = found.u32()? & IS_INTERVAL != 0,
            _ => {}
        }
    }
    Ok(set)
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
        "meta" if fields.number(2)? == 3 => Expression::SetMark(fields.number(3)?),
        "ct" if fields.has(1) => Expression::Connection {
            key: fields.number(2)?,
            direction: fields.get(3).ok().and_then(|direction| direction.value.first().copied()),
            to: fields.number(1)?,
        },
        "ct" if fields.number(2)? == 3 => Expression::SetConnectionMark(fields.number(4)?),
        "byteorder" => Expression::Reorder {
            from: fields.number(1)?,
            to: fields.number(2)?,
            length: fields.number(4)?,
            size: fields.number(5)?,
        },
        "range" => Expression::Range {
            from: fields.number(1)?,
            inverted: fields.number(2)? == 1,
            lowest: fields.value(3)?,
            highest: fields.value(4)?,
        },
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
        // A register other than that of verdicts, which is 0.
        "lookup" if fields.has(3) && fields.number(3)? != 0 => Expression::Map { to: fields.number(3)? },
        "lookup" => Expression::Lookup {
            from: fields.number(2)?,
            set: fields.text(1),
            map: fields.has(3),
            inverted: fields.has(5) && fields.number(5)? & 1 != 0,
        },
        "immediate" => match (verdict(fields.get(2)?)?, fields.value(2)) {
            (Some(verdict), _) => Expression::Verdict(verdict),
            (None, Ok(value)) => Expression::Immediate { to: fields.number(1)?, value },
            (None, Err(_)) => Expression::Other(name),
        },
        "nat" if fields.number(1)? == 1 => {
            Expression::Redirect { address: fields.number(3).ok(), port: fields.number(5).ok() }
        }
        // Its type says whether packets are limited or bytes.
        "limit" if fields.has(4) && fields.number(4)? == 1 => Expression::Other(LIMIT_BYTES.into()),
        "reject" => Expression::Verdict(Verdict::Drop),
        "queue" => Expression::Verdict(Verdict::Queue),
        "payload" if is_address(fields.number(2)?, fields.number(3)?, fields.number(4)?) => {
            Expression::Other(ADDRESS_SET.into())
        }
        "payload" | "meta" | "ct" => Expression::Other(name + " set"),
        "exthdr" if fields.has(7) => Expression::Other("exthdr set".into()),
        "objref" => Expression::Other(object(&fields).into()),
        "flow_offload" => Expression::FlowAdd(fields.text(1)),
        _ => Expression::Other(name),
    })
}

/// Whether bytes of a header may be those of addresses or ports, whichever of the two families the header is of.
fn is_address(base: u32, offset: u32, length: u32) -> bool {
    match base {
        1 => offset >= 12 || length >= 16,
        2 => offset < 4,
        _ => false,
    }
}

/// What a named object is, by its number; one out of a map may be any.
fn object(fields: &Fields<'_>) -> &'static str {
    match fields.number(1) {
        Ok(1) => "counter",
        Ok(2) => "quota",
        Ok(3) => "ct helper",
        Ok(4) => LIMIT_BYTES,
        Ok(7) => "ct timeout",
        Ok(8) => "secmark",
        Ok(9) => "ct expectation",
        Ok(10) => "synproxy",
        _ => "objref",
    }
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
            // `NF_QUEUE`, with the number of the queue in the upper half.
            code if code & 0xff == 3 => Some(Verdict::Queue),
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
            let flags = if fields.has(3) { fields.number(3)? } else { 0 };
            elements.push(Element {
                key: if fields.has(1) { fields.value(1)? } else { Vec::new() },
                to: if fields.has(10) { Some(fields.value(10)?) } else { None },
                verdict: if fields.has(2) { verdict(fields.get(2)?)? } else { None },
                is_end: flags & 1 != 0,
                is_default: !fields.has(1),
                is_conditional: fields.has(7) || fields.has(11),
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
