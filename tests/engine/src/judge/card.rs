//! What a card that offloads did, and what of it was left to the router's processor.

use model::{Count, Finding};

use super::{Observation, Way, finding};

/// What was seen of a direction at the ports of a card that offloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AtCard {
    /// What came up to the ingress hook.
    ingress: Meter,
    /// What the card sent on.
    taken: Meter,
    /// Whether the card has a rule for it.
    bound: bool,
}

/// A counter that begins again when what it belongs to is made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Meter {
    /// As it was last seen.
    last: Count,
    /// All that it ever counted.
    total: Count,
}

impl Meter {
    fn see(&mut self, now: Count) {
        let anew = now.packets < self.last.packets;
        self.total = self.total + if anew { now } else { now.since(self.last) };
        self.last = now;
    }
}

impl AtCard {
    /// Takes over what both say now: the ingress hook's counter, and that of the card's rule if there is one.
    pub(crate) fn see(&mut self, ingress: Count, rule: Option<Count>) {
        self.ingress.see(ingress);
        self.taken.see(rule.unwrap_or_default());
        self.bound = rule.is_some();
    }

    /// What the card sent on, and what came up from it, in packets.
    pub(super) fn packets(&self) -> (u64, u64) {
        (self.taken.total.packets, self.ingress.total.packets)
    }

    /// Whether the card has a rule for this direction.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }

    pub(super) fn since(mut self, before: AtCard) -> AtCard {
        self.ingress.total = self.ingress.total.since(before.ingress.total);
        self.taken.total = self.taken.total.since(before.taken.total);
        self
    }
}

/// A direction is in hardware when the card has a rule for it, its counter grew by what was sent, and nothing of that
/// came up: with offload in software the ingress hook sees every packet.
pub(super) fn in_hardware(seen: &Observation, name: &str, way: &Way, slow_packets: u64) -> Option<Finding> {
    if !way.card.is_some_and(|card| card.is_bound()) {
        return finding(
            "PROOF019",
            format!("the card has no rule for the way {name}: {}", seen.figures()),
            "the mark in conntrack is set when one direction is in hardware, so each is looked up in the card's table",
            "check `flags offload`, that the flowtable names both ports, and /sys/kernel/debug/nft_test_card/counts: refused, full",
        );
    }
    if way.is_in_hardware(slow_packets) {
        return None;
    }
    finding(
        "PROOF020",
        format!("on the way {name} packets were not sent on by the card: {}", seen.figures()),
        "the card has a rule, and sends on what it is for; what comes up is forwarded by the router's processor",
        "look whether the frames fit the rule in /sys/kernel/debug/ppe0/bind: VLAN, addresses, ports",
    )
}
