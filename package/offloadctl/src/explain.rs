//! `explain`: why one connection is offloaded, or is not. Pure judgement over facts; [`crate::inquiry`] collects them.
//!
//! The conditions are those under which the kernel's `flow_offload` expression gives up, and those under which a flowtable
//! does not see the packets.

use std::net::IpAddr;

use crate::conntrack::{
    Flow, Path, STATUS_DESTINATION_NAT, STATUS_NAT, STATUS_REPLIED, STATUS_SEQUENCE_ADJUSTED, TCP_ESTABLISHED,
    protocol_text,
};
use crate::devices::{Seen, Side};
use crate::ethtool::Capability;
use crate::finding::Finding;
use crate::nftables::Flowtable;
use crate::ruleset::{Hook, Rule, Verdict};
use crate::trace::{self, Barrier, Packet, Ruleset, STATE_ESTABLISHED, STATE_NEW, Trace, Until};
use crate::xfrm::{self, Policy};

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;

/// Which connection the user asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// One end.
    pub source: IpAddr,
    /// The other end.
    pub destination: IpAddr,
    /// IP protocol number, where given.
    pub protocol: Option<u8>,
    /// Port at either end, where given.
    pub port: Option<u16>,
}

impl Question {
    /// The first packet of such a connection, as it comes in.
    pub fn packet(&self) -> Packet {
        Packet {
            family: trace::family(self.source),
            protocol: self.protocol.unwrap_or(TCP),
            source: Some(self.source),
            destination: Some(self.destination),
            ports: (None, self.port),
            state: STATE_NEW,
            status: Some(0),
            connection_mark: Some(0),
            mark: Some(0),
            is_back: Some(false),
            ..Packet::default()
        }
    }

    /// Whether a connection is meant. Both ends may be named as they are before or after translation.
    pub fn fits(&self, flow: &Flow) -> bool {
        let Flow { original, reply, .. } = flow;
        let near = [original.source, reply.destination];
        let far = [original.destination, reply.source];
        let between = |one: IpAddr, other: IpAddr| near.contains(&Some(one)) && far.contains(&Some(other));
        let ports = [original.source_port, original.destination_port, reply.source_port, reply.destination_port];
        (between(self.source, self.destination) || between(self.destination, self.source))
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && self.port.is_none_or(|port| ports.contains(&Some(port)))
    }
}

/// What is known about the connection and the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What was asked.
    pub question: Question,
    /// The connection; of several the one with the most bytes.
    pub flow: Option<Flow>,
    /// How many connections were meant.
    pub matching: u64,
    /// The devices towards the side that began and towards the other one, where routes lead there.
    pub devices: (Option<Side>, Option<Side>),
    /// One end is the router.
    pub is_local: bool,
    /// The marks that packets have when their route is chosen, in the direction in which it began and back, where they are
    /// known.
    pub marks: [Option<u32>; 2],
    /// Where the rules would send a connection that is not tracked yet, when they translate its destination.
    pub redirected: Option<(Option<IpAddr>, Option<u16>)>,
    /// Seconds after which an idle flow leaves the flowtable.
    pub timeout: Option<u32>,
    /// IPsec's policies for packets that leave.
    pub ipsec: Vec<Policy>,
    /// Chains, rules and sets.
    pub ruleset: Ruleset,
    /// Flowtables.
    pub flowtables: Vec<Flowtable>,
    /// What drivers say about hardware offload.
    pub hardware: Option<Vec<(String, Capability)>>,
    /// The directions that hardware has in its table, where it shows that.
    pub bound: Option<[bool; 2]>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The path that conntrack claims; `None` without connection.
    pub path: Option<Path>,
    /// What stands in the way, the most telling first. None when the connection is offloaded as it should be.
    pub causes: Vec<Finding>,
}

impl Facts {
    /// A packet of the connection at the forward hook, or of the one that could be, in the direction in which it began or
    /// back.
    pub fn packet(&self, back: bool) -> Packet {
        let mut packet = match self.flow {
            Some(flow) => Packet {
                // At the forward hook the receiver is translated already, and the sender is not yet.
                destination: flow.reply.source,
                ports: (flow.original.source_port, flow.reply.source_port),
                ..Packet::arriving(&flow, false)
            },
            None => {
                let (address, port) = self.redirected.unwrap_or((None, None));
                Packet {
                    destination: Some(address.unwrap_or(self.question.destination)),
                    ports: (None, port.or(self.question.port)),
                    state: STATE_ESTABLISHED,
                    status: Some(STATUS_REPLIED | if self.redirected.is_some() { STATUS_DESTINATION_NAT } else { 0 }),
                    ..self.question.packet()
                }
            }
        };
        let device = |side: &Option<Side>| side.as_ref().map(|side| (side.index, side.name.clone()));
        packet.devices = (device(&self.devices.0), device(&self.devices.1));
        packet.is_back = Some(back);
        packet.mark = self.marks[usize::from(back)];
        if back {
            std::mem::swap(&mut packet.source, &mut packet.destination);
            packet.devices = (packet.devices.1, packet.devices.0);
            packet.ports = (packet.ports.1, packet.ports.0);
        }
        packet
    }

    /// The same packet as it leaves, with both addresses translated.
    fn packet_after(&self, back: bool) -> Option<Packet> {
        let flow = self.flow?;
        // What one direction leaves as is what the other one is answered to.
        let seen = if back { flow.original } else { flow.reply };
        Some(Packet {
            source: Some(seen.destination?),
            destination: Some(seen.source?),
            ports: (seen.destination_port, seen.source_port),
            ..self.packet(back)
        })
    }

    /// The way of a packet through the rules: that of an answer where only answers reach `flow add`, unless the packets that
    /// they would answer are dropped. Tells whether it is that of an answer.
    pub fn trace(&self) -> (bool, Trace<'_>) {
        let there = self.ruleset.trace(&self.packet(false));
        if there.adds.is_some() || (there.is_certain() && there.dropped.is_some()) {
            return (false, there);
        }
        let back = self.ruleset.trace(&self.packet(true));
        if back.adds.is_some() { (true, back) } else { (false, there) }
    }

    /// The flowtable that a rule fills.
    fn filled_by(&self, trace: &Trace<'_>) -> Option<&Flowtable> {
        let (rule, name) = trace.adds?;
        self.flowtables.iter().find(|flowtable| {
            (flowtable.family, &flowtable.table, &flowtable.name[..]) == (rule.family, &rule.table, name)
        })
    }
}

/// Judges the facts.
pub fn explain(facts: &Facts) -> Explanation {
    let (_, trace) = facts.trace();
    let path = facts.flow.map(|flow| flow.path);
    let mut causes: Vec<Finding> = about_ends(facts).into_iter().collect();
    if facts.is_local {
        return Explanation { path, causes };
    }
    let protocol = about_protocol(facts);
    // A protocol that is never offloaded is usually left out by the rules, too; that is no second cause.
    if protocol.is_none() {
        causes.extend(about_beginning(facts).or_else(|| about_rules(facts, &trace)));
    }
    causes.extend(protocol);
    causes.extend(about_ipsec(facts, &trace));
    causes.extend(about_connection(facts));
    causes.extend(about_devices(facts, &trace));
    match path {
        // What is offloaded has passed rules and conditions; only what the mark does not prove is left to say.
        Some(path @ (Path::Hardware | Path::Software)) => {
            causes.retain(|cause| cause.id == NOT_SEEN);
            causes.extend(about_translation(facts));
            causes.extend(if path == Path::Software { about_hardware(facts, &trace) } else { about_half(facts) });
        }
        Some(Path::Slow) if causes.is_empty() => causes.push(about_idleness(facts, &trace)),
        _ => {}
    }
    Explanation { path, causes }
}

fn about_idleness(facts: &Facts, trace: &Trace<'_>) -> Finding {
    let after = facts.timeout.map_or_else(|| "some time".to_owned(), |seconds| format!("{seconds} seconds"));
    Finding::new(
        "OCTL215",
        match trace.doubt {
            None => "nothing stands in its way".to_owned(),
            Some(rule) => format!("nothing stands in its way, unless it is {}", rule.place()),
        },
        format!(
            "it is idle or has just begun: a flow leaves the flowtable after {after} without packets, and enters it with \
             its next one"
        ),
        "look again while data flows; should it stay slow, look for conditions marked 'perhaps' above",
    )
}

/// The id that tells that a flowtable does not see the packets, whatever the mark says.
const NOT_SEEN: &str = "OCTL210";

impl Explanation {
    /// 0 where the connection is offloaded, in software at least; 1 where it is not.
    pub fn exit_code(&self) -> u8 {
        let is_marked = matches!(self.path, Some(Path::Hardware | Path::Software));
        u8::from(!is_marked || self.causes.iter().any(|cause| cause.id == NOT_SEEN))
    }
}

fn about_ends(facts: &Facts) -> Option<Finding> {
    if facts.is_local {
        return Some(Finding::new(
            "OCTL216",
            "one end of it is this router",
            "only what is forwarded can be offloaded; these packets end or begin here",
            "ask about a connection that passes through",
        ));
    }
    facts.flow.is_none().then(|| {
        Finding::new(
            "OCTL201",
            "no such connection is tracked",
            "it has ended or not begun, does not come this way, or a 'notrack' rule keeps it from being tracked",
            "ask while data flows; what is said here holds for a connection that would begin now",
        )
    })
}

fn about_protocol(facts: &Facts) -> Option<Finding> {
    let protocol = facts.flow.map(|flow| flow.protocol).or(facts.question.protocol)?;
    let is_translated = facts.flow.is_some_and(|flow| flow.details.status & STATUS_NAT != 0);
    match protocol {
        TCP | UDP => None,
        GRE if !is_translated => None,
        _ => Some(Finding::new(
            "OCTL202",
            format!("{} is not offloaded", protocol_text(protocol)),
            "the kernel offloads TCP and UDP, and GRE as long as its addresses are not translated",
            "nothing needs fixing: such packets take the slow path",
        )),
    }
}

/// Packets that are to be encrypted add a flow, and then both directions are fast; packets that were decrypted add none.
fn about_ipsec(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    // What comes in from a tunnel is what would be sent into it.
    let is_decrypted = |back: bool| xfrm::transforms(&facts.ipsec, &facts.packet(!back));
    let adds = |back: bool| facts.ruleset.trace(&facts.packet(back)).adds.is_some();
    let is_ignored = trace.adds.is_some() && [false, true].into_iter().all(|back| is_decrypted(back) || !adds(back));
    is_ignored.then(|| {
        Finding::new(
            "OCTL212",
            "only packets that IPsec decrypted reach 'flow add'",
            "the kernel adds no flow for a packet that was decrypted; one that is yet to be encrypted adds it, for both \
             directions",
            "let 'flow add' see the packets of the other direction, too; from one tunnel into another nothing can be \
             offloaded",
        )
    })
}

/// A flow takes the route that its packets have at the forward hook, before addresses are translated, and keeps it.
fn about_translation(facts: &Facts) -> Option<Finding> {
    let is_missed = |back: bool| {
        let (before, after) = (facts.packet(back), facts.packet_after(back)?);
        let is_encrypted = |packet| xfrm::transforms(&facts.ipsec, packet);
        if is_encrypted(&after) && !is_encrypted(&before) { after.source } else { None }
    };
    let source = is_missed(false).or_else(|| is_missed(true))?;
    Some(Finding::new(
        "OCTL213",
        "an IPsec policy covers it, and its packets leave unencrypted",
        format!(
            "the policy is for packets from {source}, which they have after translation only; the flowtable asks IPsec \
             before, and does not ask again"
        ),
        "except it from 'flow add', or encrypt before translation, by a policy for the addresses of the LAN",
    ))
}

fn about_connection(facts: &Facts) -> Vec<Finding> {
    let mut causes = Vec::new();
    let Some(flow) = facts.flow else { return causes };
    if let Some(helper) = flow.details.helper_name() {
        causes.push(Finding::new(
            "OCTL209",
            format!("the helper {helper} reads along"),
            "a helper has to see each packet of its control connection, so that one is never offloaded",
            "nothing needs fixing: the data connections that it announces are offloaded; to do without the helper, \
             remove it from the zone",
        ));
    }
    if flow.protocol == TCP && flow.details.tcp_state.is_some_and(|state| state != TCP_ESTABLISHED) {
        causes.push(Finding::new(
            "OCTL208",
            format!("it is not established: {}", flow.details.tcp_state_name().unwrap_or("in an unknown state")),
            "TCP is offloaded between the end of its handshake and the first FIN or RST",
            "if it stays so, look for packets that do not come back this way",
        ));
    }
    if flow.details.status & STATUS_SEQUENCE_ADJUSTED != 0 {
        causes.push(Finding::new(
            "OCTL211",
            "its sequence numbers are rewritten",
            "a helper or SYN proxy changed the length of its data, and each further packet has to be corrected",
            "nothing needs fixing: such a connection stays on the slow path",
        ));
    }
    causes
}

fn about_rules(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    if facts.flowtables.is_empty() {
        return Some(Finding::new("OCTL203", "there is no flowtable", "offload is off", "run: offloadctl enable"));
    }
    if trace.adds.is_some() {
        return None;
    }
    let adding: Vec<&Rule> = facts.ruleset.adding_rules(facts.packet(false).family).collect();
    if let Some(dropped) = about_drop(trace).filter(|_| !adding.is_empty()) {
        return Some(dropped);
    }
    let barriers: Vec<_> = adding.iter().map(|rule| (*rule, facts.ruleset.barrier(rule, trace))).collect();
    let accepted = |verdict: &Verdict| *verdict == Verdict::Accept;
    let left = |wanted: bool| {
        barriers.iter().find_map(|(rule, barrier)| match barrier {
            Barrier::Left(by, verdict) if accepted(verdict) == wanted => Some((*rule, *by, *verdict)),
            _ => None,
        })
    };
    if let Some((rule, by, _)) = left(true) {
        return Some(Finding::new(
            "OCTL205",
            format!("its packets are accepted before 'flow add': by {}", by.place()),
            "accepting ends the chain, so that the rule with 'flow add' never sees them",
            format!("put {} before that rule", rule.place()),
        ));
    }
    if let Some((rule, by, verdict)) = left(false) {
        return Some(Finding::new(
            "OCTL217",
            format!("its packets leave the chain before 'flow add': by {}: {}", by.place(), verdict.text()),
            format!("what comes after that rule, such as {}, never sees them", rule.place()),
            "if it should be offloaded, except it from that rule",
        ));
    }
    let mut jumps: Vec<_> = barriers
        .iter()
        .filter_map(|(rule, barrier)| match barrier {
            Barrier::Conditions => Some(rule.place()),
            Barrier::Jump(jump) => Some(jump.place()),
            _ => None,
        })
        .collect();
    jumps.dedup();
    let orphan = barriers.iter().find(|(_, barrier)| *barrier == Barrier::Orphan);
    match (jumps.is_empty(), orphan) {
        (false, _) => Some(Finding::new(
            "OCTL207",
            "no rule with 'flow add' applies to it",
            format!("its packets do not fulfil the conditions of {}", jumps.join(", nor of ")),
            "look at these conditions; the rules that its packets meet stand above",
        )),
        (true, Some((rule, _))) => Some(Finding::new(
            "OCTL218",
            format!("nothing leads to the rule with 'flow add': {}", rule.place()),
            "its chain is neither at the forward hook nor called from there",
            format!("in a chain at the forward hook, add: jump {}", rule.chain),
        )),
        (true, None) => Some(Finding::new(
            "OCTL204",
            "no rule adds such a connection to a flowtable",
            "a flowtable stays empty until a rule in a forward chain says so, in a table of the right family",
            "add 'flow add' to the forward chain, before any rule that accepts (offloadctl ruleset prints an example)",
        )),
    }
}

fn about_drop(trace: &Trace<'_>) -> Option<Finding> {
    let dropped = trace.dropped.as_ref()?;
    Some(Finding::new(
        "OCTL206",
        match dropped {
            Ok(rule) => format!("its packets are dropped by {}", rule.place()),
            Err(chain) => format!("its packets are dropped by the policy of chain {chain}"),
        },
        "they do not get as far as 'flow add'",
        "if it should pass, allow it in the firewall",
    ))
}

/// What becomes of the first packet of a connection that is not tracked yet.
fn about_beginning(facts: &Facts) -> Option<Finding> {
    if facts.flow.is_some() {
        return None;
    }
    let packet = facts.packet(false);
    let status = packet.status.map(|status| status & !STATUS_REPLIED);
    let first = Packet { state: STATE_NEW, status, ..packet };
    let trace = facts.ruleset.follow(&first, Hook::Forward, Until::End);
    about_drop(&trace).filter(|_| trace.is_certain())
}

fn about_devices(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    let flowtable = facts.filled_by(trace)?;
    let list = &flowtable.devices;
    let sides = [&facts.devices.0, &facts.devices.1].into_iter().flatten();
    let missing: Vec<&Side> = sides.filter(|side| side.seen(list) == Seen::Not).collect();
    let mut names: Vec<_> = missing.iter().map(|side| side.wanted()).collect();
    names.dedup();
    let first = names.first()?;
    let (family, table) = (flowtable.family.name(), &flowtable.table);
    let useless = missing.iter().find_map(|side| side.useless(list));
    Some(Finding::new(
        NOT_SEEN,
        format!("flowtable {family} {table} {} does not have its devices: {}", flowtable.name, names.join(" ")),
        useless.unwrap_or_else(|| {
            "a flowtable sees the packets of its own devices only; packets that come in elsewhere take the slow path, \
             even where kernels up to 6.12 mark the connection as offloaded"
                .into()
        }),
        format!(
            "add {} to the flowtable, which has: {}; until the next reload, and for new connections, run: nft add \
             flowtable {family} {table} {} '{{ devices = {{ {} }}; }}'",
            if names.len() == 1 { first.to_string() } else { names.join(" and ") },
            list.join(" "),
            flowtable.name,
            names.join(", ")
        ),
    ))
}

fn about_hardware(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    if !facts.filled_by(trace)?.hardware {
        return None;
    }
    // Of a stack the lowest device has the hardware.
    let sides = [&facts.devices.0, &facts.devices.1].into_iter().flatten();
    let names: Vec<_> = sides.flat_map(|side| side.ways.iter().filter_map(|way| way.devices.last())).collect();
    let that_are = |wanted: Capability| -> Option<String> {
        let devices = facts.hardware.iter().flatten();
        let concerned = devices.filter(|(name, capability)| *capability == wanted && names.contains(&name));
        let list: Vec<_> = concerned.map(|(name, _)| name.as_str()).collect();
        (!list.is_empty()).then(|| list.join(" "))
    };
    let no = that_are(Capability::No).filter(|_| facts.bound.is_none());
    let (why, fix) = match (no, that_are(Capability::Off)) {
        (Some(devices), _) => (
            format!("the driver does not offer hw-tc-offload on {devices}"),
            "nothing needs fixing: this device has no hardware offload, and software works".to_owned(),
        ),
        (None, Some(devices)) => (
            format!("hw-tc-offload is switched off on {devices}"),
            format!("for each of them, run: ethtool -K DEVICE hw-tc-offload on ({devices})"),
        ),
        (None, None) => (
            "the driver refused it: its table is full, or it does not know this encapsulation".to_owned(),
            "look at the driver's documentation; a young connection may be taken within a second".to_owned(),
        ),
    };
    Some(Finding::new("OCTL214", "hardware did not take it, and software forwards it", why, fix))
}

/// The mark says hardware as soon as one direction was taken.
fn about_half(facts: &Facts) -> Option<Finding> {
    let what = match facts.bound? {
        [true, true] => return None,
        [true, false] => "hardware took the way there, and not the way back",
        [false, true] => "hardware took the way back, and not the way there",
        [false, false] => "it is marked as being in hardware, and the hardware's table does not have it",
    };
    Some(Finding::new(
        "OCTL219",
        what,
        "the mark is set when one direction was taken; what is not in the table of the hardware (ppe, in debugfs) goes through \
         the processor",
        "look whether the flowtable has the devices of both sides; the driver may not know one side's encapsulation",
    ))
}
