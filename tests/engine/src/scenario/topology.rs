//! What surrounds the router, and times as scenario files write them.

use std::time::Duration;

use serde::Deserialize;
use vm::lab::Plan;

/// The two hosts around the router, where they differ from the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Topology {
    /// Whether the WAN host knows a way back to the LAN. Without one, it answers only what the router translated.
    #[serde(default)]
    pub routed: bool,
    /// The LAN host.
    #[serde(default)]
    pub lan: Host,
    /// The WAN host.
    #[serde(default)]
    pub wan: Host,
}

/// One of the two hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// Largest IP packet in bytes [default: 1500].
    pub mtu: Option<usize>,
    /// The VLAN that all its frames belong to.
    pub vlan: Option<u16>,
    /// Makes the host the provider's end of a PPPoE line: the router has to dial in, and gets the address that it
    /// has on this side otherwise.
    #[serde(default)]
    pub pppoe: bool,
    /// Makes the host a DHCP server that gives the router the address that it has on this side otherwise.
    #[serde(default)]
    pub dhcp: bool,
    /// Makes the host the far end of a tunnel, at the address that ends in 9.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel between the router and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// IPv4 in IPv4.
    Ipip,
    /// IPv6 in IPv4.
    Sit,
    /// Either in GRE.
    Gre,
    /// Either in WireGuard.
    WireGuard,
}

impl Topology {
    /// The lab's plan.
    pub fn plan(&self) -> Plan {
        let mut plan = if self.routed { Plan::routed() } else { Plan::masquerade() };
        let routed = Plan::routed();
        let sides = [(&mut plan.lan, &self.lan, routed.lan.gateway4), (&mut plan.wan, &self.wan, routed.wan.gateway4)];
        for (host, wanted, router) in sides {
            host.vlan = wanted.vlan;
            host.dhcp = router.filter(|_| wanted.dhcp);
            if wanted.pppoe {
                host.pppoe = router;
                host.mtu = vm::lab::PPPOE_MTU;
            }
            if let Some(tunnel) = wanted.tunnel {
                let [first, second, third, _] = host.ipv4.0.octets();
                let (kind, header) = tunnel.of_lab();
                host.tunnel = Some((kind, [first, second, third, 9].into()));
                host.mtu -= header;
            }
            host.mtu = wanted.mtu.unwrap_or(host.mtu);
        }
        plan
    }
}

impl Tunnel {
    /// As the lab calls it, and how many bytes it takes of each packet.
    fn of_lab(self) -> (vm::lab::Tunnel, usize) {
        match self {
            Tunnel::Ipip => (vm::lab::Tunnel::Ipip, 20),
            Tunnel::Sit => (vm::lab::Tunnel::Sit, 20),
            Tunnel::Gre => (vm::lab::Tunnel::Gre, 24),
            // What Linux takes: it leaves room for IPv6 outside.
            Tunnel::WireGuard => (vm::lab::Tunnel::WireGuard, 80),
        }
    }
}

/// A time, written as `10s` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Whole seconds.
    pub fn of(seconds: u64) -> Self {
        Seconds(Duration::from_secs(seconds))
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = if let Some(number) = text.strip_suffix("ms") {
            number.parse().ok().map(Duration::from_millis)
        } else {
            text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs)
        };
        time.map(Seconds).ok_or_else(|| format!("`{text}` is no time; write `10s` or `500ms`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pppoe_line_gives_the_router_its_usual_address_and_has_a_smaller_mtu() {
        let wan = Host { pppoe: true, vlan: Some(7), ..Host::default() };
        let topology = Topology { wan, lan: Host { dhcp: true, ..Host::default() }, routed: false };
        let plan = topology.plan();
        assert_eq!((plan.wan.pppoe, plan.wan.mtu, plan.wan.vlan), (Some([203, 0, 113, 1].into()), 1492, Some(7)));
        assert_eq!((plan.lan.pppoe, plan.lan.mtu), (None, 1500));
        assert_eq!((plan.lan.dhcp, plan.wan.dhcp), (Some([192, 168, 1, 1].into()), None));
        let wan = Host { tunnel: Some(Tunnel::Gre), ..Host::default() };
        let plan = Topology { wan, ..Topology::default() }.plan();
        assert_eq!((plan.wan.tunnel, plan.wan.mtu), (Some((vm::lab::Tunnel::Gre, [203, 0, 113, 9].into())), 1476));
    }
}
