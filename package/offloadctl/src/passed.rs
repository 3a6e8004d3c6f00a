//! What offloaded packets pass by: rules at hooks that the flowtable comes before, and shapers on devices that it jumps over.

use crate::conntrack::{Counters, Direction};
use crate::devices::{Devices, Seen, Way};
use crate::nftables::Flowtable;
use crate::ruleset::{Base, Chain, Expression, Hook, Rule};
use crate::trace::{Named, Packet, Ruleset, STATE_ESTABLISHED, Until};

/// Hooks that every forwarded packet passes, and no offloaded one.
const HOOKS: [Hook; 3] = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
/// How far a connection is that is offloaded: rules for its first packets are not for it any more.
const COUNTED: Counters = Counters { packets: 1 << 30, bytes: 1 << 40 };
/// Queueing disciplines that delay nothing for the sake of a rate or of an order.
const PLAIN_QUEUES: [&str; 11] =
    ["noqueue", "mq", "pfifo_fast", "pfifo", "bfifo", "fq_codel", "fq", "codel", "ingress", "clsact", "noop"];

/// The ways of packets that flowtables see, each with its flowtable.
pub fn ways<'a>(devices: &Devices, flowtables: &'a [Flowtable]) -> Vec<(&'a Flowtable, Way)> {
    let mut found = Vec::new();
    for top in devices.tops() {
        for way in devices.ways(&top.name, None) {
            let seen = flowtables.iter().filter(|flowtable| way.seen(&flowtable.devices) != Seen::Not);
            found.extend(seen.map(|flowtable| (flowtable, way.clone())));
        }
    }
    found
}

/// Rules with a statement that offloaded packets would meet and do not.
pub fn rules<'a>(
    ruleset: &'a Ruleset,
    devices: &Devices,
    flowtables: &[Flowtable],
    wanted: &dyn Fn(&Rule) -> bool,
) -> Vec<&'a Rule> {
    if flowtables.is_empty() || !ruleset.rules.iter().any(wanted) {
        return Vec::new();
    }
    let ways = ways(devices, flowtables);
    let mut found: Vec<&Rule> = Vec::new();
    let mut collect = |chains: Option<&[&'a Chain]>, hook: Hook, packet: &Packet| {
        let trace = match chains {
            Some(chains) => ruleset.follow_in(chains, packet, Until::End),
            None => ruleset.follow(packet, hook, Until::End),
        };
        for rule in trace.met().filter(|rule| wanted(rule)) {
            if !found.iter().any(|known| std::ptr::eq(*known, rule)) {
                found.push(rule);
            }
        }
    };
    for packet in packets(devices, &ways) {
        for hook in HOOKS {
            collect(None, hook, &packet);
        }
        for chain in ruleset.chains.iter().filter(|chain| is_jumped_over(chain, devices, &ways)) {
            collect(Some(&[chain]), Hook::Ingress, &packet);
        }
    }
    found.sort_by_key(|rule| ruleset.rules.iter().position(|known| std::ptr::eq(known, *rule)));
    found
}

/// Packets of connections that may be offloaded: of both families and protocols, between all devices that are seen.
fn packets(devices: &Devices, ways: &[(&Flowtable, Way)]) -> Vec<Packet> {
    let mut ends: Vec<Option<Named>> = Vec::new();
    for (_, way) in ways {
        let end = way.devices.first().map(|top| (devices.index(top).unwrap_or(0), top.clone()));
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    // Where nothing is known of routes, any devices may be meant.
    if ends.is_empty() {
        ends.push(None);
    }
    let counted = Direction { counters: Some(COUNTED), ..Direction::default() };
    let mut packets = Vec::new();
    for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
        for (family, protocol) in [(2, 6), (2, 17), (10, 6), (10, 17)] {
            packets.push(Packet {
                family,
                protocol,
                devices: (from.clone(), to.clone()),
                state: STATE_ESTABLISHED,
                directions: Some([counted; 2]),
                ..Packet::default()
            });
        }
    }
    packets
}

/// A chain on a device that packets come to after the flowtable, or not at all.
fn is_jumped_over(chain: &Chain, devices: &Devices, ways: &[(&Flowtable, Way)]) -> bool {
    let Some(Base { hook, priority, devices: of, .. }) = &chain.base else { return false };
    ways.iter().any(|(flowtable, way)| {
        let place = |device: &str| way.devices.iter().position(|known| known == device);
        let leaves = devices.leaves_through(way, &flowtable.devices, flowtable.hardware);
        let (Seen::On(seen), Some(leaves)) = (way.seen(&flowtable.devices), leaves) else { return false };
        of.iter().filter_map(|device| place(device)).any(|at| match hook {
            Hook::Ingress => Some(at) < place(seen) || (Some(at) == place(seen) && *priority > flowtable.priority),
            Hook::Egress => Some(at) < place(leaves),
            _ => false,
        })
    })
}

/// Whether packets that leave by a device go past its queue.
pub fn is_queue_passed_by(device: &str, devices: &Devices, flowtables: &[Flowtable]) -> bool {
    ways(devices, flowtables).iter().any(|(flowtable, way)| {
        let Some(at) = way.devices.iter().position(|known| known == device) else { return false };
        let leaves = devices.leaves_through(way, &flowtable.devices, flowtable.hardware);
        let leaves = leaves.and_then(|leaves| way.devices.iter().position(|known| known == leaves));
        flowtable.hardware || leaves.is_some_and(|leaves| at < leaves)
    })
}

/// Whether a queueing discipline shapes or orders what leaves.
pub fn is_shaper(kind: &str) -> bool {
    !PLAIN_QUEUES.contains(&kind)
}

/// Where packets that a device redirects as they come in would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirected {
    /// They are taken away before the flowtable.
    Before,
    /// The flowtable takes them before.
    PassedBy,
    /// Neither.
    Unconcerned,
}

/// What becomes of packets of a way that a device redirects as they come in.
pub fn redirected_on(way: &Way, device: &str, list: &[String]) -> Redirected {
    let place = |device: &str| way.devices.iter().position(|known| known == device);
    let Seen::On(seen) = way.seen(list) else { return Redirected::Unconcerned };
    match (place(device), place(seen)) {
        (Some(at), Some(seen)) if at < seen => Redirected::PassedBy,
        (Some(at), Some(seen)) if at == seen => Redirected::Before,
        // On a device below they are taken away and come back, and are offloaded then.
        _ => Redirected::Unconcerned,
    }
}

/// What becomes of packets that a device redirects as they come in.
pub fn redirected(device: &str, devices: &Devices, flowtables: &[Flowtable]) -> Redirected {
    let mut answer = Redirected::Unconcerned;
    for (flowtable, way) in ways(devices, flowtables) {
        match redirected_on(&way, device, &flowtable.devices) {
            Redirected::Before => return Redirected::Before,
            Redirected::PassedBy => answer = Redirected::PassedBy,
            Redirected::Unconcerned => {}
        }
    }
    // A device without routes, or whose routes are not known.
    let is_listed = flowtables.iter().any(|flowtable| crate::devices::is_listed(&flowtable.devices, device));
    if answer == Redirected::Unconcerned && is_listed { Redirected::Before } else { answer }
}

/// Whether a rule has an expression of this name.
pub fn has(rule: &Rule, name: &str) -> bool {
    rule.expressions.iter().any(|expression| matches!(expression, Expression::Other(known) if known == name))
}
