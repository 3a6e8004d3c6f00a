//! `ruleset`: a flowtable and the chain that fills it, for those who write nftables rules themselves.
//!
//! It is a table of its own, so that it may be loaded by `nft -f` as well as by an include of OpenWrt's firewall, and a
//! second time without harm.

use std::collections::BTreeSet;

use crate::devices::{Devices, Kind, Seen};
use crate::files::Files;
use crate::finding::Finding;
use crate::hardware;
use crate::program::{self, PATIENCE};

/// Where `nft` may be.
const NFT: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];
/// `IFNAMSIZ`, without the zero at the end.
const LONGEST_NAME: usize = 15;

/// Devices that are worth being in a flowtable: wired ones with hardware of their own, and what packets are routed through
/// without the kernel looking below, such as a macvlan. A switch's conduit is left out, as the packets belong to its ports,
/// and so are radios.
///
/// # Errors
/// There is none.
pub fn devices(devices: &Devices) -> Result<Vec<String>, Finding> {
    let ends = devices.tops().filter(|top| top.kind == Kind::Plain && top.is_ethernet);
    let wired = devices.list.iter().filter(|device| device.has_hardware);
    let names: BTreeSet<_> = wired.chain(ends).map(|device| device.name.clone()).collect();
    if names.is_empty() {
        return Err(Finding::new(
            "OCTL023",
            "no devices were found for the flowtable",
            "no wired device with hardware of its own is in /sys/class/net",
            "name the LAN and the WAN device: --devices br-lan,wan",
        ));
    }
    Ok(names.into_iter().collect())
}

/// Puts those in the place of named devices that the kernel looks for instead, and says so.
pub fn corrected(devices: &Devices, names: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut corrected, mut notes) = (names.clone(), Vec::new());
    for top in devices.tops() {
        let side = devices.side(&top.name, None);
        let Some(why) = side.useless(&names).filter(|_| side.seen(&names) == Seen::Not) else { continue };
        let useless: Vec<&str> = side.ways.iter().filter_map(|way| way.useless(&names)).collect();
        corrected.retain(|name| !useless.contains(&&name[..]) || devices.routed.contains(name));
        corrected.push(side.wanted().to_owned());
        notes.push(format!("With {} for {}: {why}.", side.wanted(), useless.join(" ")));
    }
    (corrected, notes)
}

/// Refuses names that no device can have, as they would end up in a program's input.
///
/// # Errors
/// The first such name.
pub fn checked(names: &str) -> Result<Vec<String>, Finding> {
    let is_name = |name: &str| {
        let plain = |character: char| !character.is_whitespace() && !character.is_control();
        !name.is_empty()
            && name.len() <= LONGEST_NAME
            && name.chars().all(plain)
            && !name.contains(['/', '"', '\\', '*'])
    };
    match names.split(',').find(|name| !is_name(name)) {
        None => Ok(names.split(',').map(String::from).collect()),
        Some(name) => Err(Finding::new(
            "OCTL024",
            format!("'{name}' is no name of a device"),
            "it is empty, longer than 15 bytes, or has a character that the kernel refuses",
            "separate the names by commas: --devices br-lan,wan",
        )),
    }
}

/// The rules. The table's name must not be one of nft's own words, as `offload` is.
pub fn text(devices: &[String], hardware: bool) -> String {
    let devices: Vec<_> = devices.iter().map(|name| format!("\"{name}\"")).collect();
    let flags = if hardware { "\n\t\tflags offload" } else { "" };
    format!(
        "\
# Flow offload, printed by offloadctl. It takes the place of flow_offloading in
# /etc/config/firewall: leave that off. To have OpenWrt load it, save it as
# /usr/share/nftables.d/ruleset-post/offload.nft and restart the firewall.
# Elsewhere: nft -f FILE
table inet offloadctl
delete table inet offloadctl
table inet offloadctl {{
	flowtable ft {{
		hook ingress priority filter
		devices = {{ {} }}
		counter{flags}
	}}

	chain forward {{
		type filter hook forward priority filter - 1; policy accept;
		meta l4proto {{ tcp, udp }} flow add @ft
	}}
}}
",
        devices.join(", ")
    )
}

/// Refuses to ask for what none of the devices can, as `nft` passes it on OpenWrt's kernels.
///
/// # Errors
/// The kernel says of all of them that they cannot.
pub fn check_hardware(devices: &Devices, names: &[String], files: &Files) -> Result<(), Finding> {
    let capabilities = hardware::capabilities(files);
    let below = |name: &String| devices.ways(name, None).into_iter().flat_map(|way| way.devices);
    let concerned: BTreeSet<String> = names.iter().flat_map(below).collect();
    let offers =
        hardware::offers(capabilities.as_deref(), hardware::bound(files).is_some(), |name| concerned.contains(name));
    if offers != Some(false) {
        return Ok(());
    }
    Err(unloadable(format!("no driver offers hw-tc-offload on {}", names.join(" "))))
}

fn unloadable(why: String) -> Finding {
    Finding::new(
        "OCTL025",
        "these rules would not do what they say",
        why,
        "correct the devices; one that is not there, that is named twice, or that cannot do hardware offload is refused; to \
         see the rules all the same, add --no-check",
    )
}

/// Has `nft` check the rules without loading them. `false` where there is no `nft`.
///
/// # Errors
/// They do not pass, for instance because a device is not there or is in another flowtable.
pub fn check(files: &Files, text: &str) -> Result<bool, Finding> {
    let Some(nft) = NFT.into_iter().find(|name| program::exists(files, name)) else { return Ok(false) };
    program::run(files, nft, &["-c", "-f", "-"], text, PATIENCE)
        .map(|()| true)
        .map_err(|cause| unloadable(format!("{}: {}", cause.what, cause.why)))
}
