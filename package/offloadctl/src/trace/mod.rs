//! Follows one packet through the chains at a hook.
//!
//! What is not imitated of nf_tables makes a rule match *perhaps*, never yes or no, so that the answer stays true where it is
//! less exact.

mod barrier;
mod machine;
mod packet;

pub use barrier::Barrier;
pub use packet::{Named, Packet, STATE_ESTABLISHED, STATE_NEW, family};

use std::net::IpAddr;

use crate::nftables::Family;
use crate::ruleset::{ADDRESS_SET, Chain, Expression, Hook, Rule, Set, Verdict};
use machine::Judged;

/// `NFT_JUMP_STACK_SIZE`: the kernel refuses rules that jump deeper.
const DEEPEST: usize = 16;

/// Rules and what they refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// All chains.
    pub chains: Vec<Chain>,
    /// All rules, in order.
    pub rules: Vec<Rule>,
    /// Sets that rules refer to.
    pub sets: Vec<Set>,
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
    /// What it decides, where it applies.
    pub verdict: Option<&'a Verdict>,
}

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The way to the first rule that adds the flow.
    Added,
    /// The whole way, as of a packet that cannot be added yet.
    End,
}

/// What became of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// The rules it met, in order.
    pub steps: Vec<Step<'a>>,
    /// The rule that adds its flow, and the flowtable's name.
    pub adds: Option<(&'a Rule, &'a str)>,
    /// The first rule that applies perhaps and could have ended its way.
    pub doubt: Option<&'a Rule>,
    /// Rules that accepted the packet for their chain.
    pub accepted: Vec<&'a Rule>,
    /// The rule that dropped it, or the name of the chain whose policy did.
    pub dropped: Option<Result<&'a Rule, &'a str>>,
    /// The marks that it has in the end, its own and its connection's, where they are known.
    pub marks: [Option<u32>; 2],
    /// Where a rule translated its destination to.
    pub redirected: Option<(Option<IpAddr>, Option<u16>)>,
}

impl<'a> Trace<'a> {
    /// Rules that it met and that apply, perhaps at least.
    pub fn met(&self) -> impl Iterator<Item = &'a Rule> {
        self.steps.iter().filter(|step| step.matched != Match::No).map(|step| step.rule)
    }

    /// Its way is certain: no rule on it applies perhaps and could have ended it.
    pub fn is_certain(&self) -> bool {
        self.doubt.is_none()
    }
}

impl Ruleset {
    /// Follows a packet through the forward chains.
    pub fn trace(&self, packet: &Packet) -> Trace<'_> {
        self.follow(packet, Hook::Forward, Until::Added)
    }

    /// Follows a packet through the chains at a hook.
    pub fn follow(&self, packet: &Packet, hook: Hook, until: Until) -> Trace<'_> {
        self.follow_in(&self.base_chains(hook, packet), packet, until)
    }

    /// Follows a packet through base chains.
    pub fn follow_in<'a>(&'a self, chains: &[&'a Chain], packet: &Packet, until: Until) -> Trace<'a> {
        let trace = Trace {
            steps: Vec::new(),
            adds: None,
            doubt: None,
            accepted: Vec::new(),
            dropped: None,
            marks: [packet.mark, packet.connection_mark],
            redirected: None,
        };
        let mut walk = Walk { rules: self, packet: packet.clone(), is_certain: true, until, trace };
        for chain in chains {
            match walk.chain(chain, 0) {
                End::Found => break,
                End::Dropped(rule) => {
                    walk.trace.dropped = Some(Ok(rule));
                    break;
                }
                End::Accepted(rule) => walk.trace.accepted.push(rule),
                End::Passed if chain.drops => {
                    walk.trace.dropped = Some(Err(&chain.name));
                    break;
                }
                End::Passed => {}
            }
        }
        walk.trace.marks = [walk.packet.mark, walk.packet.connection_mark];
        walk.trace
    }

    /// Base chains at a hook that see a packet, in their order: by priority, and of equal ones the youngest first. Translation
    /// looks at new connections only.
    fn base_chains(&self, hook: Hook, packet: &Packet) -> Vec<&Chain> {
        let sees = |chain: &&Chain| {
            let is_nat = chain.base.as_ref().is_some_and(|base| base.is_nat);
            chain.priority_at(hook, packet.family).is_some() && !(is_nat && packet.state != STATE_NEW)
        };
        let mut chains: Vec<_> = self.chains.iter().rev().filter(sees).collect();
        chains.sort_by_key(|chain| chain.priority_at(hook, packet.family));
        chains
    }

    /// Rules with `flow add` in tables that see packets of this family.
    pub fn adding_rules(&self, family: u8) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| {
            (rule.family == Family(1) || rule.family == Family(family))
                && rule.expressions.iter().any(|expression| matches!(expression, Expression::FlowAdd(_)))
        })
    }

    /// The chain that a rule of another one calls by its name.
    fn called(&self, from: &Rule, name: &str) -> Option<&Chain> {
        let mut chains = self.chains.iter();
        chains.find(|chain| (chain.family, &chain.table, &chain.name[..]) == (from.family, &from.table, name))
    }
}

/// How a chain was left.
enum End<'a> {
    Found,
    Accepted(&'a Rule),
    Dropped(&'a Rule),
    Passed,
}

struct Walk<'a> {
    rules: &'a Ruleset,
    packet: Packet,
    /// No jump that applies perhaps has led here.
    is_certain: bool,
    until: Until,
    trace: Trace<'a>,
}

impl<'a> Walk<'a> {
    fn chain(&mut self, chain: &'a Chain, depth: usize) -> End<'a> {
        for rule in self.rules.rules.iter().filter(|rule| rule.is_in(chain)) {
            let Judged { mut matched, verdict, adds, marks, redirects } = self.rules.judge(rule, &self.packet);
            let is_queued = matched == Match::Yes && verdict == Some(&Verdict::Queue);
            if is_queued {
                matched = Match::Perhaps;
            }
            self.trace.steps.push(Step { rule, matched, depth, verdict });
            if matched == Match::No {
                continue;
            }
            self.change(matched, marks, redirects);
            if rule.expressions.iter().any(|expression| *expression == Expression::Other(ADDRESS_SET.into())) {
                self.packet = Packet { source: None, destination: None, ports: (None, None), ..self.packet.clone() };
            }
            if let (Some(flowtable), Until::Added) = (adds, self.until) {
                self.trace.adds = Some((rule, flowtable));
                if matched == Match::Perhaps {
                    self.trace.doubt.get_or_insert(rule);
                }
                return End::Found;
            }
            if matched == Match::Perhaps && !is_queued && rule.expressions.iter().any(Expression::decides) {
                self.trace.doubt.get_or_insert(rule);
            }
            let Some(verdict) = verdict else { continue };
            let is_jump = matches!(verdict, Verdict::Jump(_));
            let end = match verdict {
                // What a program decides is not known, and what follows here is not seen either way.
                Verdict::Accept | Verdict::Queue => End::Accepted(rule),
                Verdict::Drop => End::Dropped(rule),
                Verdict::Return => End::Passed,
                Verdict::Jump(name) | Verdict::Goto(name) => match self.rules.called(rule, name) {
                    Some(chain) if depth < DEEPEST => {
                        let was_certain = self.is_certain;
                        self.is_certain &= matched == Match::Yes;
                        let end = self.chain(chain, depth + 1);
                        self.is_certain = was_certain;
                        end
                    }
                    _ => End::Passed,
                },
            };
            match (end, matched) {
                (End::Found, _) => return End::Found,
                // Perhaps it goes on here, and what comes next is what the user asks about.
                (_, Match::Perhaps) if !is_queued => {}
                (End::Passed, _) if is_jump => {}
                (end, _) => return end,
            }
        }
        End::Passed
    }

    /// What the rule changes of the packet, for the rules that follow.
    fn change(&mut self, matched: Match, marks: [Option<Option<u32>>; 2], redirects: Option<[Option<Vec<u8>>; 2]>) {
        let certain = matched == Match::Yes && self.is_certain;
        let [mark, connection_mark] = marks.map(|mark| mark.map(|mark| mark.filter(|_| certain)));
        self.packet.mark = mark.unwrap_or(self.packet.mark);
        self.packet.connection_mark = connection_mark.unwrap_or(self.packet.connection_mark);
        let Some([address, port]) = redirects.filter(|_| certain) else { return };
        let address = address.and_then(|bytes| {
            let v4 = <[u8; 4]>::try_from(&bytes[..]).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(&bytes[..]).map(IpAddr::from)).ok()
        });
        let port = port.and_then(|bytes| bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)));
        self.trace.redirected.get_or_insert((address, port));
    }
}
