//! One rule and one packet: nf_tables' machine, as far as firewalls commonly use it.

use super::{Match, Packet, Ruleset};
use crate::ruleset::{Expression, Found, Register, Rule, Verdict};

/// What a rule would do.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) matched: Match,
    pub(super) verdict: Option<&'a Verdict>,
    pub(super) adds: Option<&'a str>,
    /// The marks that it sets, on the packet and on the connection; `Some(None)` for one that is not known.
    pub(super) marks: [Option<Option<u32>>; 2],
    /// Where it redirects to: address and port as bytes, as far as they are given and known.
    pub(super) redirects: Option<[Option<Vec<u8>>; 2]>,
}

impl Ruleset {
    pub(super) fn judge<'a>(&'a self, rule: &'a Rule, packet: &Packet) -> Judged<'a> {
        let mut registers = Registers::new();
        let judged_as = |matched| Judged { matched, verdict: None, adds: None, marks: [None; 2], redirects: None };
        let mut judged = judged_as(Match::Yes);
        for expression in &rule.expressions {
            let condition = match expression {
                Expression::Meta { key, to } => registers.load(*to, packet.meta(*key)),
                Expression::Connection { key, direction, to } => {
                    registers.load(*to, packet.connection(*key, *direction))
                }
                Expression::Payload { base, offset, length, to } => {
                    registers.load(*to, packet.header(*base, *offset, *length))
                }
                Expression::Immediate { to, value } => registers.load(*to, Some(value.clone())),
                Expression::Map { to } => {
                    registers.load(*to, None);
                    None
                }
                Expression::Reorder { from, to, length, size } => {
                    registers.load(*to, reordered(&registers, *from, *length, *size))
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
                Expression::Range { from, lowest, highest, inverted } => {
                    let value = registers.read(*from, lowest.len());
                    value.map(|value| (*lowest <= value && value <= *highest) != *inverted)
                }
                Expression::Lookup { from, set, map, inverted } => match self.look_up(rule, set, *from, &registers) {
                    Found::Unknown => None,
                    Found::Nothing => Some(*inverted),
                    Found::Element(element) => {
                        if *map {
                            judged.verdict = element.verdict.as_ref();
                        }
                        Some(!*inverted)
                    }
                },
                Expression::Verdict(verdict) => {
                    judged.verdict = Some(verdict);
                    Some(true)
                }
                Expression::FlowAdd(flowtable) => {
                    judged.adds = Some(flowtable);
                    Some(true)
                }
                Expression::SetMark(from) => {
                    judged.marks[0] = Some(registers.number(*from));
                    Some(true)
                }
                Expression::SetConnectionMark(from) => {
                    judged.marks[1] = Some(registers.number(*from));
                    Some(true)
                }
                Expression::Redirect { address, port } => {
                    let length = if packet.family == 2 { 4 } else { 16 };
                    let read = |register: &Option<Register>, length| registers.read((*register)?, length);
                    judged.redirects = Some([read(address, length), read(port, 2)]);
                    Some(true)
                }
                Expression::Other(name) => {
                    registers = Registers::new();
                    Expression::is_harmless(name).then_some(true)
                }
            };
            match condition {
                Some(true) => {}
                Some(false) => return judged_as(Match::No),
                None => judged.matched = Match::Perhaps,
            }
        }
        judged
    }

    fn look_up(&self, rule: &Rule, set: &str, from: Register, registers: &Registers) -> Found<'_> {
        let mut sets = self.sets.iter();
        let found = sets.find(|known| (known.family, &known.table, &known.name[..]) == (rule.family, &rule.table, set));
        let Some(found) = found else { return Found::Unknown };
        found.find(registers.read(from, found.length()).as_deref())
    }
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

fn reordered(registers: &Registers, from: Register, length: u32, size: u32) -> Option<Vec<u8>> {
    let (length, size) = (usize::try_from(length).ok()?, usize::try_from(size).ok()?);
    let mut value = registers.read(from, length)?;
    if cfg!(target_endian = "little") {
        value.chunks_mut(size.max(1)).for_each(<[u8]>::reverse);
    }
    Some(value)
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

    /// A number in the order of the machine.
    fn number(&self, register: Register) -> Option<u32> {
        let bytes = self.read(register, 4)?;
        bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    fn read(&self, register: Register, length: usize) -> Option<Vec<u8>> {
        let start = Registers::position(register)?;
        self.0.get(start..start + length)?.iter().copied().collect()
    }
}
