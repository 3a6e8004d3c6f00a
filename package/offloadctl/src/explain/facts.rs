//! What the judgement is about: the question, the connection and the router.

use std::net::IpAddr;

use crate::conntrack::{Flow, Path, STATUS_DESTINATION_NAT, STATUS_REPLIED};
use crate::devices::Side;
use crate::ethtool::Capability;
use crate::nftables::Flowtable;
use crate::queues::Redirects;
use crate::trace::{self, Packet, Ruleset, STATE_ESTABLISHED, STATE_NEW, Trace};
use crate::xfrm::{self, Policy};

use super::TCP;

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
    /// Devices that redirect packets as they come in.
    pub redirecting: Vec<(String, Redirects)>,
    /// Both ends are behind one bridge that shows its packets to the firewall: they may be bridged, and not routed.
    pub may_be_bridged: bool,
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
    pub(super) fn packet_after(&self, back: bool) -> Option<Packet> {
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

    /// Both sides, as the kernel takes them for this connection.
    pub(super) fn sides(&self) -> Vec<Side> {
        let is_encrypted = [false, true].into_iter().any(|back| xfrm::transforms(&self.ipsec, &self.packet(back)));
        let sides = [&self.devices.0, &self.devices.1].into_iter().flatten();
        sides.cloned().map(|side| if is_encrypted { side.encrypted() } else { side }).collect()
    }

    /// The flowtables of which one has the connection, or would have it. Where the rules do not tell now, any that a rule fills
    /// may have a connection that is marked.
    pub(super) fn may_be_in(&self, trace: &Trace<'_>) -> Vec<&Flowtable> {
        let is_marked = self.flow.is_some_and(|flow| flow.path != Path::Slow);
        match self.filled_by(trace) {
            Some(flowtable) if trace.is_certain() || !is_marked => vec![flowtable],
            None if !is_marked => Vec::new(),
            _ => {
                let rules: Vec<_> = self.ruleset.adding_rules(self.packet(false).family).collect();
                let fills = |flowtable: &&Flowtable| rules.iter().any(|rule| rule.fills(flowtable));
                self.flowtables.iter().filter(fills).collect()
            }
        }
    }

    /// The flowtable that a rule fills.
    pub(super) fn filled_by(&self, trace: &Trace<'_>) -> Option<&Flowtable> {
        let (rule, name) = trace.adds?;
        self.flowtables.iter().find(|flowtable| {
            (flowtable.family, &flowtable.table, &flowtable.name[..]) == (rule.family, &rule.table, name)
        })
    }
}
