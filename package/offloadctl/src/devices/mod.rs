//! Network devices, how they are stacked, and the one question of all commands: on which device of a stack does a
//! flowtable see packets?
//!
//! The kernel asks each device of a stack for the one below (`dev_fill_forward_path`): VLANs, bridges and PPPoE answer,
//! all others are where it ends. The flow is looked for on the **lowest** device that it found; where the flowtable does not have
//! that one, on the **topmost**, which has the route. One in the middle never counts.

mod bridge;
mod stack;

pub use bridge::{link_address, port_behind};
pub use stack::{Reach, Seen, Side, Way};

use std::collections::BTreeSet;

use crate::files::Files;

/// Where the kernel lists devices.
const NET: &str = "/sys/class/net";
/// `ARPHRD_ETHER` and `ARPHRD_PPP`.
const KIND_ETHERNET: u32 = 1;
const KIND_PPP: u32 = 512;
/// `ARPHRD_TUNNEL` and `ARPHRD_TUNNEL6`.
const KINDS_TUNNEL: [u32; 2] = [768, 769];
/// `ARPHRD_SIT`.
const KIND_SIX_IN_FOUR: u32 = 776;

/// What a device is, as far as it matters for what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A card, a port of a switch, or anything else that the kernel does not look through: macvlan, bond, veth, WireGuard.
    Plain,
    /// A VLAN on another device.
    Vlan,
    /// A bridge.
    Bridge,
    /// A PPP session, over Ethernet or over something else.
    Ppp,
    /// A tunnel of IP in IP, below which the kernel looks since 6.19.
    Tunnel,
    /// A tunnel of IPv6 in IPv4, below which it does not.
    SixInFour,
    /// A radio, whose driver may lead the kernel elsewhere when it is the port of a bridge.
    Radio,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Bytes that a packet may have.
    pub mtu: u32,
    /// What it is.
    pub kind: Kind,
    /// Devices below it, in the order of their names: ports of a bridge, what carries a VLAN.
    pub below: Vec<String>,
    /// It has hardware of its own, and is no conduit of a switch.
    pub has_hardware: bool,
    /// It is an Ethernet device.
    pub is_ethernet: bool,
}

/// All devices of a router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Devices {
    /// Each of them, by name.
    pub list: Vec<Device>,
    /// What carries sessions of PPPoE, from `/proc/net/pppoe`. It does not tell which session is whose.
    pub carriers: BTreeSet<String>,
    /// How many sessions of PPPoE there are.
    pub sessions: usize,
    /// Devices that routes lead to.
    pub routed: BTreeSet<String>,
    /// First two numbers of the kernel's release.
    pub kernel: (u32, u32),
    /// The kernel does not look below any device.
    pub is_old: bool,
}

impl Devices {
    /// Reads what the kernel tells.
    pub fn read(files: &Files) -> Devices {
        let mut names = files.names(NET);
        names.sort();
        let release = files.read_or_empty("/proc/sys/kernel/osrelease");
        let kernel = version(&release).unwrap_or((u32::MAX, 0));
        // OpenWrt's 5.10 has the search for lower devices from 5.13.
        let sessions: Vec<String> = carriers(&files.read_or_empty("/proc/net/pppoe")).collect();
        let is_backported = kernel == (5, 10) && files.exists("/etc/openwrt_release");
        Devices {
            list: names.into_iter().map(|name| device(files, name)).collect(),
            sessions: sessions.len(),
            carriers: sessions.into_iter().collect(),
            routed: routed(&files.read_or_empty("/proc/net/route"), &files.read_or_empty("/proc/net/ipv6_route")),
            kernel,
            is_old: kernel < (5, 13) && !is_backported,
        }
    }

    /// The device of a name.
    pub fn get(&self, name: &str) -> Option<&Device> {
        self.list.iter().find(|device| device.name == name)
    }

    /// The name of a device with this number.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.list.iter().find(|device| device.index == index).map(|device| &device.name[..])
    }

    /// The number of a device.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.get(name).map(|device| device.index)
    }

    /// The side that a device leads to, by a port of a bridge where that is known.
    pub fn side(&self, name: &str, port: Option<&str>) -> Side {
        Side { name: name.to_owned(), index: self.index(name).unwrap_or(0), ways: self.ways(name, port) }
    }

    /// Devices that packets are routed through: those with a route, and PPP sessions.
    pub fn tops(&self) -> impl Iterator<Item = &Device> {
        self.list.iter().filter(|device| self.routed.contains(&device.name) || device.kind == Kind::Ppp)
    }
}

/// Whether a flowtable's list of names has a device; a trailing `*` stands for all that begin so.
pub fn is_listed(list: &[String], device: &str) -> bool {
    list.iter().any(|listed| match listed.strip_suffix('*') {
        Some(prefix) => device.starts_with(prefix),
        None => listed == device,
    })
}

/// The first two numbers of a kernel's release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn device(files: &Files, name: String) -> Device {
    let number = |file: &str| files.read_or_empty(&format!("{NET}/{name}/{file}")).trim().parse().unwrap_or(0);
    let has = |part: &str| files.exists(&format!("{NET}/{name}/{part}"));
    let event = files.read_or_empty(&format!("{NET}/{name}/uevent"));
    let is_type = |wanted: &str| event.lines().any(|line| line.strip_prefix("DEVTYPE=") == Some(wanted));
    let link = number("type");
    let is_radio = has("phy80211") || is_type("wlan");
    let kind = if has("bridge") {
        Kind::Bridge
    } else if is_type("vlan") || files.exists(&format!("/proc/net/vlan/{name}")) {
        Kind::Vlan
    } else if link == KIND_PPP {
        Kind::Ppp
    } else if KINDS_TUNNEL.contains(&link) {
        Kind::Tunnel
    } else if link == KIND_SIX_IN_FOUR {
        Kind::SixInFour
    } else if is_radio {
        Kind::Radio
    } else {
        Kind::Plain
    };
    let lower = |link: &String| link.strip_prefix("lower_").map(String::from);
    let mut below: Vec<_> = files.names(&format!("{NET}/{name}")).iter().filter_map(lower).collect();
    below.sort();
    Device {
        index: number("ifindex"),
        mtu: number("mtu"),
        kind,
        below,
        has_hardware: has("device") && !has("dsa") && !is_radio,
        is_ethernet: link == KIND_ETHERNET,
        name,
    }
}

/// Devices in `/proc/net/pppoe`: the last word of each line after the first.
fn carriers(text: &str) -> impl Iterator<Item = String> {
    text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(2)).map(String::from)
}

/// Devices of routes: the first word of `/proc/net/route`, after a line of headings, and the last of
/// `/proc/net/ipv6_route`, where every device has routes for its link and for multicast.
fn routed(v4: &str, v6: &str) -> BTreeSet<String> {
    let v4 = v4.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next());
    let v6 = v6.lines().filter(|line| !line.starts_with("fe80") && !line.starts_with("ff"));
    let v6 = v6.filter_map(|line| line.split_ascii_whitespace().last());
    v4.chain(v6).filter(|name| *name != "lo").map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        let pppoe = "Id       Address              Device\n00000001 52:54:00:00:00:01   eth1.7\n";
        assert_eq!(carriers(pppoe).collect::<Vec<_>>(), ["eth1.7"]);
        let v4 = "Iface\tDestination\tGateway\nbr-lan\t0001A8C0\t00000000\n";
        let v6 = "fe800000000000000000000000000000 40 0 00 0 00000100 1 0 00000001     eth0\n\
                  20010db8000100000000000000000000 40 0 00 0 00000100 1 0 00000001   br-lan\n\
                  20010db8000200000000000000000000 40 0 00 0 00000100 1 0 00000001      wan\n\
                  00000000000000000000000000000001 80 0 00 0 00000100 1 0 00000001       lo\n";
        assert_eq!(routed(v4, v6), BTreeSet::from(["br-lan".to_owned(), "wan".to_owned()]));
        assert_eq!(version("6.12.107+deb13-amd64\n"), Some((6, 12)));
        assert_eq!(version("rolling"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}(\n\\PC{0,80}){0,4}") {
            let lines = text.lines().count();
            prop_assert!(carriers(&text).count() <= lines);
            prop_assert!(routed(&text, &text).len() <= 2 * lines);
            let _ = version(&text);
        }
    }
}
