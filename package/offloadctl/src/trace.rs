//! Follows one packet through the chains at the forward hook, up to the `flow add` statement.
//!
//! nf_tables' machine is imitated as far as firewalls commonly use it. What is not imitated makes a rule match *perhaps*,
//! never yes or no, so that the answer stays true where it is less exact.

use std::net::IpAddr;

use crate::nftables::Family;
use crate::ruleset::{Chain, Element, Expression, Register, Rule, Verdict};

/// `NFT_JUMP_STACK_SIZE`: the kernel refuses rules that jump deeper.
const DEEPEST: usize = 16;

/// What rules look at in a packet that is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// IP protocol number.
    pub protocol: u8,
    /// Sender, as it is at the forward hook.
    pub source: IpAddr,
    /// Receiver, as it is at the forward hook.
    pub destination: IpAddr,
    /// Ports, for protocols with ports.
    pub ports: Option<(u16, u16)>,
    /// Devices that it comes in and goes out through, where known.
    pub devices: (Option<String>, Option<String>),
    /// The connection's state as a bit of `ct state`.
    pub state: u32,
    /// The connection's status bits.
    pub status: u32,
    /// The connection's mark.
    pub mark: u32,
}

/// `ct state established`.
pub const STATE_ESTABLISHED: u32 = 2;
/// `ct state new`.
pub const STATE_NEW: u32 = 8;

/// Rules and what they refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// All chains.
    pub chains: Vec<Chain>,
    /// All rules, in order.
    pub rules: Vec<Rule>,
    /// Elements of sets, by family, table and name, where they could be read.
    pub sets: Vec<(Family, String, String, Vec<Element>)>,
}

/// Whether a rule applies to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It has a condition that is not understood here.
    Perhaps,
}

/// One rule that the packet met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether it applies.
    pub matched: Match,
    /// How many jumps deep it is.
    pub depth: usize,
}

/// What became of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// The rules it met, in order.
    pub steps: Vec<Step<'a>>,
    /// The rule that adds its flow, and the flowtable's name.
    pub adds: Option<(&'a Rule, &'a str)>,
    /// Its way is certain: no rule on it applies perhaps and could have ended it.
    pub is_certain: bool,
    /// Rules that accepted the packet for their chain.
    pub accepted: Vec<&'a Rule>,
    /// The rule that dropped it, or the name of the chain whose policy did.
    pub dropped: Option<Result<&'a Rule, &'a str>>,
}

impl Ruleset {
    /// Follows a packet of an address family's number (`NFPROTO_IPV4` 2, `NFPROTO_IPV6` 10).
    pub fn trace(&self, packet: &Packet) -> Trace<'_> {
        let mut trace = Trace { steps: Vec::new(), adds: None, is_certain: true, accepted: Vec::new(), dropped: None };
        for chain in self.forward_chains(packet.family()) {
            match self.walk(chain, packet, 0, &mut trace) {
                End::Found => return trace,
                End::Dropped(rule) => {
                    trace.dropped = Some(Ok(rule));
                    return trace;
                }
                End::Accepted(rule) => trace.accepted.push(rule),
                End::Passed if chain.drops => {
                    trace.dropped = Some(Err(&chain.name));
                    return trace;
                }
                End::Passed => {}
            }
        }
        trace
    }

    /// Base chains at the forward hook that see packets of a family, in the order of their priorities.
    fn forward_chains(&self, family: u8) -> Vec<&Chain> {
        let mut chains: Vec<_> = self
            .chains
            .iter()
            .filter(|chain| chain.forward.is_some() && (chain.family == Family(1) || chain.family == Family(family)))
            .collect();
        chains.sort_by_key(|chain| chain.forward);
        chains
    }

    /// Rules with `flow add` in tables that see packets of this family.
    pub fn adding_rules(&self, family: u8) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| {
            (rule.family == Family(1) || rule.family == Family(family))
                && rule.expressions.iter().any(|expression| matches!(expression, Expression::FlowAdd(_)))
        })
    }

    fn walk<'a>(&'a self, chain: &'a Chain, packet: &Packet, depth: usize, trace: &mut Trace<'a>) -> End<'a> {
        let rules = self
            .rules
            .iter()
            .filter(|rule| (rule.family, &rule.table, &rule.chain) == (chain.family, &chain.table, &chain.name));
        for rule in rules {
            let Judged { matched, verdict, adds } = self.judge(rule, packet);
            trace.steps.push(Step { rule, matched, depth });
            if let (Match::Yes | Match::Perhaps, Some(flowtable)) = (matched, adds) {
                trace.adds = Some((rule, flowtable));
                trace.is_certain &= matched == Match::Yes;
                return End::Found;
            }
            if matched == Match::Perhaps && rule.expressions.iter().any(Expression::decides) {
                trace.is_certain = false;
            }
            let (Match::Yes | Match::Perhaps, Some(verdict)) = (matched, verdict) else { continue };
            let is_jump = matches!(verdict, Verdict::Jump(_));
            let end = match verdict {
                Verdict::Accept => End::Accepted(rule),
                Verdict::Drop => End::Dropped(rule),
                Verdict::Return => End::Passed,
                Verdict::Jump(name) | Verdict::Goto(name) => self.enter(chain, name, packet, depth, trace),
            };
            match (end, matched) {
                (End::Found, _) => return End::Found,
                // Perhaps it goes on here, and what comes next is what the user asks about.
                (_, Match::Perhaps) => {}
                (End::Passed, _) if is_jump => {}
                (end, _) => return end,
            }
        }
        End::Passed
    }

    fn enter<'a>(&'a self, from: &Chain, name: &str, packet: &Packet, depth: usize, trace: &mut Trace<'a>) -> End<'a> {
        let mut chains = self.chains.iter();
        let chain =
            chains.find(|chain| (chain.family, &chain.table, &chain.name[..]) == (from.family, &from.table, name));
        match chain {
            Some(chain) if depth < DEEPEST => self.walk(chain, packet, depth + 1, trace),
            _ => End::Passed,
        }
    }

    fn judge<'a>(&'a self, rule: &'a Rule, packet: &Packet) -> Judged<'a> {
        let mut registers = Registers::new();
        let mut judged = Judged { matched: Match::Yes, verdict: None, adds: None };
        for expression in &rule.expressions {
            let condition = match expression {
                Expression::Meta { key, to } => registers.load(*to, packet.meta(*key)),
                Expression::Connection { key, to } => registers.load(*to, packet.connection(*key)),
                Expression::Payload { base, offset, length, to } => {
                    registers.load(*to, packet.header(*base, *offset, *length))
                }
                Expression::Bitwise { from, to, mask, xor } => {
                    let value = registers.read(*from, mask.len());
                    let changed = value.map(|value| {
                        value.iter().zip(mask).zip(xor).map(|((value, mask), xor)| value & mask ^ xor).collect()
                    });
                    registers.load(*to, changed)
                }
                Expression::Compare { from, operator, value } => {
                    registers.read(*from, value.len()).map(|found| compares(&found, *operator, value))
                }
                Expression::Lookup { from, set, map, inverted } => {
                    let found = self.look_up(rule, set, *from, &registers);
                    if *map {
                        judged.verdict = found.flatten().and_then(|element| element.verdict.as_ref());
                    }
                    found.map(|element| element.is_some() != *inverted)
                }
                Expression::Verdict(verdict) => {
                    judged.verdict = Some(verdict);
                    Some(true)
                }
                Expression::FlowAdd(flowtable) => {
                    judged.adds = Some(flowtable);
                    Some(true)
                }
                Expression::Other(name) => {
                    registers = Registers::new();
                    Expression::is_harmless(name).then_some(true)
                }
            };
            match condition {
                Some(true) => {}
                Some(false) => return Judged { matched: Match::No, verdict: None, adds: None },
                None => judged.matched = Match::Perhaps,
            }
        }
        judged
    }

    /// The element that a register's value finds in a set: `None` when that cannot be said, `Some(None)` when there is none.
    fn look_up(&self, rule: &Rule, set: &str, from: Register, registers: &Registers) -> Option<Option<&Element>> {
        let mut sets = self.sets.iter();
        let (.., elements) =
            sets.find(|(family, table, name, _)| (*family, table, &name[..]) == (rule.family, &rule.table, set))?;
        if elements.iter().any(|element| element.is_interval) {
            return None;
        }
        let length = elements.first().map_or(0, |element| element.key.len());
        let value = registers.read(from, length)?;
        Some(elements.iter().find(|element| element.key == value))
    }
}

/// How a chain was left.
enum End<'a> {
    Found,
    Accepted(&'a Rule),
    Dropped(&'a Rule),
    Passed,
}

struct Judged<'a> {
    matched: Match,
    verdict: Option<&'a Verdict>,
    adds: Option<&'a str>,
}

fn compares(found: &[u8], operator: u32, value: &[u8]) -> bool {
    match operator {
        0 => found == value,
        1 => found != value,
        2 => found < value,
        3 => found <= value,
        4 => found > value,
        _ => found >= value,
    }
}

/// The register file: 64 bytes that go by two sets of numbers, 1 to 4 for 16 bytes each and from 8 on for 4 each.
struct Registers([Option<u8>; 64]);

impl Registers {
    fn new() -> Registers {
        Registers([None; 64])
    }

    fn position(register: Register) -> Option<usize> {
        let register = usize::try_from(register).ok()?;
        match register {
            1..=4 => Some((register - 1) * 16),
            8..=23 => Some((register - 8) * 4),
            _ => None,
        }
    }

    /// Loads a value, or forgets one where it is not known. Loading is no condition.
    fn load(&mut self, register: Register, value: Option<Vec<u8>>) -> Option<bool> {
        let start = Registers::position(register)?;
        let bytes: Vec<Option<u8>> = match value {
            Some(value) => {
                let padding = value.len().next_multiple_of(4) - value.len();
                value.into_iter().map(Some).chain(std::iter::repeat_n(Some(0), padding)).collect()
            }
            None => vec![None; 16],
        };
        self.0.iter_mut().skip(start).zip(bytes).for_each(|(place, byte)| *place = byte);
        Some(true)
    }

    fn read(&self, register: Register, length: usize) -> Option<Vec<u8>> {
        let start = Registers::position(register)?;
        self.0.get(start..start + length)?.iter().copied().collect()
    }
}

impl Packet {
    /// `NFPROTO_*` of its addresses.
    pub fn family(&self) -> u8 {
        if self.source.is_ipv4() { 2 } else { 10 }
    }

    fn meta(&self, key: u32) -> Option<Vec<u8>> {
        let name = |device: &Option<String>| {
            let mut bytes = device.as_ref()?.clone().into_bytes();
            bytes.resize(16, 0);
            Some(bytes)
        };
        match key {
            6 => name(&self.devices.0),
            7 => name(&self.devices.1),
            15 => Some(vec![self.family()]),
            16 => Some(vec![self.protocol]),
            _ => None,
        }
    }

    fn connection(&self, key: u32) -> Option<Vec<u8>> {
        match key {
            0 => Some(self.state.to_ne_bytes().into()),
            2 => Some(self.status.to_ne_bytes().into()),
            3 => Some(self.mark.to_ne_bytes().into()),
            _ => None,
        }
    }

    fn header(&self, base: u32, offset: u32, length: u32) -> Option<Vec<u8>> {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        let (start, bytes) = match (base, self.source, self.destination) {
            (1, IpAddr::V4(source), IpAddr::V4(destination)) if offset >= 12 => {
                (12, [source.octets(), destination.octets()].concat())
            }
            (1, IpAddr::V4(_), _) if (offset, length) == (9, 1) => (9, vec![self.protocol]),
            (1, IpAddr::V6(source), IpAddr::V6(destination)) if offset >= 8 => {
                (8, [source.octets(), destination.octets()].concat())
            }
            (2, ..) => {
                let (source, destination) = self.ports?;
                (0, [source.to_be_bytes(), destination.to_be_bytes()].concat())
            }
            _ => return None,
        };
        bytes.get(offset - start..offset - start + length).map(<[u8]>::to_vec)
    }
}
