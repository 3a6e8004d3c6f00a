//! Who sits at which end of the wire: addresses as data.
//!
//! The default plan is the one the guest images are set up for: the router is `192.168.1.1` towards
//! the LAN and `203.0.113.1` towards the WAN (documentation addresses of RFC 5737 and RFC 3849, so a
//! mistake can never name a real host).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the largest IP packet over PPPoE: its headers take eight of Ethernet's 1,500.
pub const PPPOE_MTU: usize = 1492;

/// One of the two networks around the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The inner network: QEMU's first NIC.
    Lan,
    /// The outer network: QEMU's second NIC.
    Wan,
}

impl Side {
    /// The network on the other side of the router.
    pub fn other(self) -> Side {
        match self {
            Side::Lan => Side::Wan,
            Side::Wan => Side::Lan,
        }
    }

    /// The word in messages and file names.
    pub fn word(self) -> &'static str {
        match self {
            Side::Lan => "lan",
            Side::Wan => "wan",
        }
    }
}

/// One value for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Both<T> {
    /// For the LAN.
    pub lan: T,
    /// For the WAN.
    pub wan: T,
}

impl<T> Both<T> {
    /// The value of a side.
    pub fn get(&self, side: Side) -> &T {
        match side {
            Side::Lan => &self.lan,
            Side::Wan => &self.wan,
        }
    }

    /// The value of a side, to be changed.
    pub fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Lan => &mut self.lan,
            Side::Wan => &mut self.wan,
        }
    }
}

/// One of our two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// Hardware address.
    pub mac: [u8; 6],
    /// IPv4 address and prefix length.
    pub ipv4: (Ipv4Addr, u8),
    /// IPv6 address and prefix length.
    pub ipv6: (Ipv6Addr, u8),
    /// IPv6 link-local address: routers resolve neighbours from theirs.
    pub link_local: Ipv6Addr,
    /// Where packets for other IPv4 networks go, if anywhere.
    pub gateway4: Option<Ipv4Addr>,
    /// Where packets for other IPv6 networks go, if anywhere.
    pub gateway6: Option<Ipv6Addr>,
    /// Largest IP packet in bytes: 1,280 (the least that IPv6 allows) to 9,000.
    pub mtu: usize,
    /// The VLAN (1 to 4094) whose tag every frame of this side has, both ways; `None`: no tags.
    pub vlan: Option<u16>,
    /// Makes this host the access concentrator of a PPPoE line (RFC 2516) that gives the router this
    /// address; `None`: plain Ethernet. The MTU is then at most [`PPPOE_MTU`].
    pub pppoe: Option<Ipv4Addr>,
    /// The address that this host gives to whoever asks by DHCP (RFC 2131); `None`: it does not answer.
    pub dhcp: Option<Ipv4Addr>,
    /// Makes this host the far end of a tunnel, at this address; `None`: what comes in one is for nobody.
    pub tunnel: Option<(Tunnel, Ipv4Addr)>,
}

/// What a tunnel puts around its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// IPv4 in IPv4.
    Ipip,
    /// IPv6 in IPv4.
    Sit,
    /// Either in GRE, in IPv4.
    Gre,
    /// Either in WireGuard, in UDP over IPv4.
    WireGuard,
}

impl HostPlan {
    /// Whom a packet for `destination` is handed to on the wire; `None` without a route.
    pub fn next_hop(&self, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(address) => {
                let (own, prefix) = self.ipv4;
                let bits = 32 - u32::from(prefix.min(32));
                let near = u64::from(own.to_bits() ^ address.to_bits()) >> bits == 0;
                if near { Some(destination) } else { self.gateway4.map(IpAddr::V4) }
            }
            IpAddr::V6(address) => {
                let (own, prefix) = self.ipv6;
                let near = |other: Ipv6Addr, prefix: u8| {
                    let bits = 128 - u32::from(prefix.min(128));
                    (other.to_bits() ^ address.to_bits()).checked_shr(bits).unwrap_or(0) == 0
                };
                if near(own, prefix) || near(self.link_local, 64) {
                    Some(destination)
                } else {
                    self.gateway6.map(IpAddr::V6)
                }
            }
        }
    }
}

/// Both hosts.
pub type Plan = Both<HostPlan>;

/// Plans that scenarios start from.
impl Plan {
    /// The LAN host routes through the router; the WAN host knows its own network only, so it
    /// answers nothing but what the router translated (masquerade).
    pub fn masquerade() -> Plan {
        let lan6 = |host| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host);
        let wan6 = |host| Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, host);
        Plan {
            lan: HostPlan {
                mac: [0x02, 0, 0, 0, 0x01, 0x02],
                ipv4: (Ipv4Addr::new(192, 168, 1, 2), 24),
                ipv6: (lan6(2), 64),
                link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 2),
                gateway4: Some(Ipv4Addr::new(192, 168, 1, 1)),
                gateway6: Some(lan6(1)),
                mtu: 1500,
                vlan: None,
                pppoe: None,
                dhcp: None,
                tunnel: None,
            },
            wan: HostPlan {
                mac: [0x02, 0, 0, 0, 0x02, 0x02],
                ipv4: (Ipv4Addr::new(203, 0, 113, 2), 24),
                ipv6: (wan6(2), 64),
                link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 2, 2),
                gateway4: None,
                gateway6: None,
                mtu: 1500,
                vlan: None,
                pppoe: None,
                dhcp: None,
                tunnel: None,
            },
        }
    }

    /// As [`Plan::masquerade`], and the WAN host gives the router its address by DHCP: for images that ask for one.
    pub fn leasing() -> Plan {
        let mut plan = Plan::masquerade();
        plan.wan.dhcp = Some(Ipv4Addr::new(203, 0, 113, 1));
        plan
    }

    /// As [`Plan::masquerade`], over a PPPoE line on the WAN side. The router has the same addresses.
    pub fn pppoe() -> Plan {
        let mut plan = Plan::masquerade();
        plan.wan.pppoe = Some(Ipv4Addr::new(203, 0, 113, 1));
        plan.wan.mtu = PPPOE_MTU;
        plan
    }

    /// As [`Plan::masquerade`], and the WAN host has a route back: for forwarding without NAT, and
    /// for flows that start on the WAN.
    pub fn routed() -> Plan {
        let mut plan = Plan::masquerade();
        plan.wan.gateway4 = Some(Ipv4Addr::new(203, 0, 113, 1));
        plan.wan.gateway6 = Some(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_is_the_neighbour_itself_or_the_gateway() {
        let plan = Plan::masquerade();
        let hop = |host: &HostPlan, to: &str| host.next_hop(to.parse().unwrap()).map(|hop| hop.to_string());
        assert_eq!(hop(&plan.lan, "192.168.1.77").as_deref(), Some("192.168.1.77"));
        assert_eq!(hop(&plan.lan, "203.0.113.2").as_deref(), Some("192.168.1.1"));
        assert_eq!(hop(&plan.lan, "2001:db8:1::9").as_deref(), Some("2001:db8:1::9"));
        assert_eq!(hop(&plan.lan, "fe80::9").as_deref(), Some("fe80::9"));
        assert_eq!(hop(&plan.lan, "2001:db8:2::2").as_deref(), Some("2001:db8:1::1"));
        assert_eq!(hop(&plan.wan, "192.168.1.2"), None);
        assert_eq!(hop(&plan.wan, "2001:db8:1::2"), None);
        assert_eq!(hop(&Plan::routed().wan, "192.168.1.2").as_deref(), Some("203.0.113.1"));

        let mut everything_near = plan.wan;
        everything_near.ipv4.1 = 0;
        everything_near.ipv6.1 = 0;
        assert_eq!(hop(&everything_near, "1.2.3.4").as_deref(), Some("1.2.3.4"));
        assert_eq!(hop(&everything_near, "2001:4::1").as_deref(), Some("2001:4::1"));
    }
}
