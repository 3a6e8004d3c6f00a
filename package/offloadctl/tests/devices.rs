//! Stacks of devices as routers have them, and on which device a flowtable sees their packets.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::fs;

use common::Tree;
use offloadctl::devices::{Devices, Kind, Seen, port_behind};
use offloadctl::ethtool::Capability;
use offloadctl::{hardware, include};

fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(String::from).collect()
}

/// What each device is on, in the words of the table below.
fn router(name: &str) -> Tree {
    let tree = Tree::new(name);
    tree.kernel("6.12.107");
    for (device, parts) in [
        ("eth0", "device"),
        ("eth1", "device"),
        ("eth1.7", "lower_eth1 vlan"),
        ("eth1.8", "lower_eth1 vlan"),
        ("br-lan", "bridge lower_eth0 lower_lan2"),
        ("lan2", "device lower_eth2"),
        ("eth2", "device dsa"),
        ("br-lan.10", "lower_br-lan vlan"),
        ("br-wlan", "bridge lower_phy0-ap0"),
        ("phy0-ap0", "device phy80211"),
        ("vwan1", "lower_eth1"),
        ("bond0", "lower_eth0 lower_eth1"),
        ("veth0", ""),
        ("pppoe-wan", "ppp"),
        ("empty", "bridge"),
        ("q3", "lower_q2 vlan"),
        ("q2", "lower_q1 vlan"),
        ("q1", "lower_eth0 vlan"),
    ] {
        tree.device(device, parts);
    }
    tree.write("proc/net/pppoe", "Id       Address              Device\n00000001 52:54:00:12:34:56   eth1.7\n");
    tree
}

#[test]
fn the_lowest_device_counts_or_the_topmost_and_none_between() {
    let tree = router("stacks");
    let devices = Devices::read(&tree.files());
    // The device with the route, the flowtable's, and where packets are seen: "-" for nowhere, "?" for not known.
    for (top, list, expected) in [
        ("eth1", "eth0 eth1", "eth1"),
        ("eth1", "eth0", "-"),
        ("eth1.7", "eth1", "eth1"),
        ("eth1.7", "eth1.7", "eth1.7"),
        ("eth1.7", "eth1 eth1.7", "eth1"),
        // What firewall4 writes for PPPoE over a VLAN.
        ("pppoe-wan", "eth0 eth1.7", "-"),
        ("pppoe-wan", "eth1", "eth1"),
        ("pppoe-wan", "pppoe-wan", "pppoe-wan"),
        ("pppoe-wan", "pppoe-*", "pppoe-wan"),
        ("pppoe-wan", "eth0 lo", "-"),
        ("br-lan", "br-lan", "br-lan"),
        ("br-lan", "eth0 lan2", "eth0"),
        ("br-lan", "eth0", "?"),
        ("br-lan", "eth0 br-lan", "eth0"),
        ("br-lan", "eth1", "-"),
        // A switch's port is where the kernel ends, not its conduit.
        ("br-lan", "eth2", "-"),
        ("br-lan.10", "br-lan", "-"),
        ("br-lan.10", "br-lan.10", "br-lan.10"),
        ("br-lan.10", "eth0 lan2", "eth0"),
        ("br-wlan", "br-wlan", "br-wlan"),
        ("br-wlan", "phy0-ap0", "?"),
        ("br-wlan", "eth0", "-"),
        // These are not looked through.
        ("vwan1", "eth1", "-"),
        ("vwan1", "vwan1", "vwan1"),
        ("bond0", "eth0 eth1", "-"),
        ("bond0", "bond0", "bond0"),
        ("veth0", "veth0", "veth0"),
        ("empty", "empty", "empty"),
        ("q3", "eth0", "-"),
        ("q3", "q3", "q3"),
        ("q2", "eth0", "eth0"),
    ] {
        let side = devices.side(top, None);
        let list = names(list);
        let seen = match side.seen(&list) {
            Seen::On(device) => device,
            Seen::Not => "-",
            Seen::Perhaps => "?",
        };
        assert_eq!(seen, expected, "{top} with {list:?}");
    }
}

/// Sessions that are not PPPoE's, tunnels, and kernels on which nothing was measured.
#[test]
fn what_is_not_known_is_perhaps() {
    let seen = |tree: &Tree, top: &str, list: &str| {
        let devices = Devices::read(&tree.files());
        let side = devices.side(top, None);
        match side.seen(&names(list)) {
            Seen::On(device) => device.to_owned(),
            Seen::Not => "-".into(),
            Seen::Perhaps => "?".into(),
        }
    };
    let tree = router("perhaps");
    tree.device("l2tp-vpn", "ppp");
    tree.device("ipip0", "tunnel");
    for (top, list, expected) in [
        ("l2tp-vpn", "eth1", "?"),
        ("l2tp-vpn", "l2tp-vpn", "l2tp-vpn"),
        ("l2tp-vpn", "eth0", "-"),
        ("ipip0", "eth1", "-"),
        ("ipip0", "ipip0", "ipip0"),
    ] {
        assert_eq!(seen(&tree, top, list), expected, "{top} with {list}");
    }
    for (kernel, list, expected) in [
        ("6.18.1", "br-lan.10", "br-lan.10"),
        ("6.19.0", "br-lan.10", "?"),
        ("7.1.9", "br-lan.10", "?"),
        ("7.1.9", "eth0 lan2", "eth0"),
        ("7.2.13", "br-lan.10", "-"),
        ("7.2.13", "eth0 lan2", "eth0"),
    ] {
        tree.kernel(kernel);
        assert_eq!(seen(&tree, "br-lan.10", list), expected, "{kernel} with {list}");
        let below_tunnels = if expected == "br-lan.10" { "-" } else { "?" };
        assert_eq!(seen(&tree, "ipip0", "eth1"), below_tunnels, "{kernel}");
    }
}

#[test]
fn a_known_port_decides() {
    let tree = router("port");
    let mut table = vec![0; 32];
    table[..8].copy_from_slice(&[2, 0, 0, 0, 0, 9, 7, 0]);
    table[16..24].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0]);
    fs::write(tree.path("sys/class/net/br-lan/brforward"), table).unwrap();
    tree.write("sys/class/net/br-lan/brif/eth0/port_no", "0x1\n");
    tree.write("sys/class/net/br-lan/brif/lan2/port_no", "0x2\n");
    let files = tree.files();
    let port = port_behind(&files, "br-lan", &[2, 0, 0, 0, 0, 1]);
    assert_eq!(port.as_deref(), Some("lan2"));
    assert_eq!(port_behind(&files, "br-lan", &[2, 0, 0, 0, 0, 2]), None);
    let devices = Devices::read(&files);
    let side = devices.side("br-lan.10", port.as_deref());
    assert_eq!(side.ways[0].devices, ["br-lan.10", "br-lan", "lan2"]);
    assert_eq!(side.seen(&names("lan2")), Seen::On("lan2"));
    assert_eq!(side.seen(&names("eth0")), Seen::Not);
}

#[test]
fn what_does_not_help_is_told_apart() {
    let tree = router("useless");
    let devices = Devices::read(&tree.files());
    let useless = |top, list| devices.side(top, None).useless(&names(list));
    assert!(useless("pppoe-wan", "eth0 eth1.7").unwrap().starts_with("eth1.7 stands between pppoe-wan and eth1: "));
    assert!(useless("br-lan.10", "br-lan").unwrap().starts_with("br-lan stands between br-lan.10 and eth0: "));
    let below = useless("vwan1", "eth1").unwrap();
    assert_eq!(below, "the kernel does not look below vwan1, so that eth1 does not count");
    assert_eq!(useless("pppoe-wan", "eth0"), None);
    assert_eq!(devices.side("pppoe-wan", None).wanted(), "eth1");
    assert_eq!(devices.side("vwan1", None).wanted(), "vwan1");
    assert_eq!(devices.side("br-lan", None).wanted(), "br-lan");
}

#[test]
fn a_session_over_something_else_or_over_one_of_several() {
    let tree = router("sessions");
    tree.write("proc/net/pppoe", "Id       Address              Device\n");
    let devices = Devices::read(&tree.files());
    // PPTP, L2TP, a modem: nothing below counts.
    assert_eq!(devices.side("pppoe-wan", None).seen(&names("eth1")), Seen::Not);
    assert_eq!(devices.side("pppoe-wan", None).seen(&names("pppoe-wan")), Seen::On("pppoe-wan"));
    let two = "Id Address Device\n00000001 52:54:00:12:34:56 eth1.7\n00000002 52:54:00:12:34:57 eth0\n";
    tree.write("proc/net/pppoe", two);
    let devices = Devices::read(&tree.files());
    assert_eq!(devices.side("pppoe-wan", None).seen(&names("eth1")), Seen::Perhaps);
    assert_eq!(devices.side("pppoe-wan", None).seen(&names("eth0 eth1")), Seen::On("eth0"));
    assert_eq!(devices.side("pppoe-wan", None).seen(&names("eth2")), Seen::Not);
}

#[test]
fn old_kernels_look_below_nothing() {
    let seen = |kernel: &str, is_openwrt: bool| {
        let tree = router(&format!("old-{kernel}-{is_openwrt}"));
        tree.kernel(kernel);
        if is_openwrt {
            tree.write("etc/openwrt_release", "");
        }
        let devices = Devices::read(&tree.files());
        devices.side("eth1.7", None).seen(&names("eth1")) == Seen::On("eth1")
    };
    assert!(!seen("5.10.0-30-amd64", false));
    assert!(seen("5.10.176", true));
    assert!(!seen("5.4.188", true));
    assert!(seen("5.15.1", false));
    let tree = router("old-top");
    tree.kernel("5.4.1");
    let devices = Devices::read(&tree.files());
    assert_eq!(devices.side("eth1.7", None).seen(&names("eth1.7")), Seen::On("eth1.7"));
    assert!(devices.is_old);
}

#[test]
fn where_packets_leave_shows_which_shapers_see_them() {
    let tree = router("leaves");
    let leaves = |kernel: &str, top: &str, list: &str, hardware: bool| {
        tree.kernel(kernel);
        let devices = Devices::read(&tree.files());
        let side = devices.side(top, None);
        devices.leaves_through(&side.ways[0], &names(list), hardware).map(String::from)
    };
    for (kernel, top, list, hardware, expected) in [
        ("6.12.1", "pppoe-wan", "eth1", false, Some("pppoe-wan")),
        ("6.12.1", "pppoe-wan", "eth1", true, Some("pppoe-wan")),
        ("7.2.0", "pppoe-wan", "eth1", false, Some("eth1")),
        ("7.2.0", "pppoe-wan", "pppoe-wan", false, None),
        ("6.12.1", "eth1.7", "eth1", false, Some("eth1.7")),
        ("7.2.0", "eth1.7", "eth1", false, Some("eth1")),
        // A bridge is passed by on every kernel.
        ("6.1.0", "br-lan", "eth0", false, Some("eth0")),
        ("6.1.0", "br-lan", "br-lan", false, Some("br-lan")),
        ("6.1.0", "br-lan.10", "eth0", false, Some("br-lan.10")),
        ("6.12.1", "eth1.7", "eth0", false, None),
    ] {
        assert_eq!(leaves(kernel, top, list, hardware).as_deref(), expected, "{kernel} {top} {list}");
    }
}

#[test]
fn rules_are_printed_with_what_the_kernel_can_use() {
    let tree = router("ruleset");
    tree.write("proc/net/route", "Iface\tDestination\nvwan1\t00000000\nbr-lan\t0001A8C0\nveth0\t0001A8C0\n");
    let devices = Devices::read(&tree.files());
    assert_eq!(include::devices(&devices).unwrap(), ["eth0", "eth1", "lan2", "veth0", "vwan1"]);
    let (corrected, notes) = include::corrected(&devices, names("br-lan eth1.7"));
    assert_eq!(corrected, ["br-lan", "eth1"]);
    assert!(notes[0].starts_with("With eth1 for eth1.7: eth1.7 stands between pppoe-wan and eth1"), "{notes:?}");
    let (corrected, notes) = include::corrected(&devices, names("br-lan eth1"));
    assert_eq!((corrected.len(), notes.len()), (2, 1), "vwan1 has the route, and eth1 below it does not count");
    assert_eq!(include::corrected(&devices, names("br-lan vwan1")).1, [""; 0]);
}

#[test]
fn what_a_device_is() {
    let tree = router("kinds");
    let devices = Devices::read(&tree.files());
    for (name, kind) in [
        ("eth1", Kind::Plain),
        ("eth1.7", Kind::Vlan),
        ("br-lan", Kind::Bridge),
        ("pppoe-wan", Kind::Ppp),
        ("phy0-ap0", Kind::Radio),
    ] {
        assert_eq!(devices.get(name).unwrap().kind, kind, "{name}");
    }
    assert!(!devices.get("eth2").unwrap().has_hardware, "a conduit");
}

#[test]
fn a_port_of_a_switch_can_as_much_as_its_conduit() {
    let tree = Tree::new("conduit");
    for (name, event, index, link) in
        [("eth0", "", 2, 2), ("lan1", "DEVTYPE=dsa\n", 3, 2), ("eth1", "", 4, 4), ("lan2", "DEVTYPE=dsa\n", 5, 4)]
    {
        for (file, text) in
            [("uevent", event.to_owned()), ("ifindex", format!("{index}\n")), ("iflink", format!("{link}\n"))]
        {
            tree.write(&format!("sys/class/net/{name}/{file}"), &text);
        }
    }
    for eth1 in [Capability::On, Capability::Off, Capability::No] {
        let on = ["eth0", "lan1", "lan2"].map(|name| (name.to_owned(), Capability::On));
        let said = hardware::through_conduits(&tree.files(), on.into_iter().chain([("eth1".into(), eth1)]).collect());
        let of = |name: &str| said.iter().find(|(known, _)| known == name).unwrap().1;
        assert_eq!((of("lan1"), of("lan2"), of("eth1")), (Capability::On, eth1, eth1));
    }
}
