//! A release, as far as a miniature can stand for it: its SDK builds the packages, its image is booted and set up, and
//! scenarios run on it with real packets.

mod elsewhere;
mod feeds;
pub(crate) mod image;
pub(crate) mod release;

use formats::Format;
use model::{Accel, Cancel, Deadline};
use sdk::Recipes;
use vm::guest::Guest;
use vm::lab::{Plan, Side};
use vm::machine::{Kind, Links, Machine};
use vm::openwrt::{Files, Wiring, provision};
use vm::process::Qemu;
use vm::session::{Launch, boot};

use crate::place::{Place, may_not_compile, sources};
use crate::run::SLOW;
use image::{Parts, stock};
use release::MiniRelease;

fn recipes() -> Recipes {
    Recipes::load(&[sources().join("package/recipes")]).unwrap()
}

#[test]
fn an_image_becomes_the_router_of_the_lab() {
    let place = Place::warm();
    let (parts, scratch) = (Parts::of(&place), place.path("image"));
    std::fs::create_dir(&scratch).unwrap();
    std::fs::write(scratch.join("kernel.bin"), parts.kernel_image(&scratch)).unwrap();
    parts.rootfs(&scratch, &stock(&parts, &recipes(), Format::Ipk), Format::Ipk);
    let machine = Machine::load(&sources().join("qemu/machines/x86-64.yaml")).unwrap();
    let files = Files { kernel: Some(scratch.join("kernel.bin")), disk: Some(scratch.join("rootfs.img")) };
    let image = vm::openwrt::image(&machine, Kind::KernelRootfs, files);
    let cancel = Cancel::default();
    let lab = scenarios::listening(&Plan::leasing(), None, &cancel).unwrap();
    let qemu = Qemu::find(&machine.qemu).unwrap();
    let links = Some(Links { lan: lab.socket(Side::Lan).unwrap(), wan: lab.socket(Side::Wan).unwrap() });
    let (accel, saved) = (Accel::Tcg, false);
    let launch = Launch { qemu: &qemu, machine: &machine, image: &image, accel, links, saved, cancel: &cancel };
    let mut session = boot(&launch, soon()).unwrap();
    let wiring = Wiring {
        lan: ["192.168.1.1/24", "2001:db8:1::1/64"].map(Into::into).into(),
        wan: ["203.0.113.1/24", "2001:db8:2::1/64"].map(Into::into).into(),
    };
    provision(&mut session, &wiring, &cancel, soon()).unwrap();
    for (script, wanted) in [
        ("ip -4 -o address show dev br-lan", "192.168.1.1/24"),
        ("ip -6 -o address show dev eth1", "2001:db8:2::1/64"),
        ("uci get network.wan.proto; grep -A 3 \"interface 'wan'\" /etc/config/network", "static"),
        ("nft list chain inet fw4 srcnat_wan", "meta nfproto ipv6 masquerade"),
        ("nft list chain inet fw4 forward", "br-lan"),
        ("wc -c </etc/opkg/distfeeds.conf", "0"),
        ("ls /etc/hotplug.d/iface /etc/rc.d | grep -c 'firewall\\|dnsmasq\\|sysntpd'", "1"),
        ("opkg list-installed", "kmod-nft-offload - 6.12"),
        ("cat /proc/modules", "nft_flow_offload"),
        ("stat / || base64 x || stty", "not found"),
    ] {
        let said = session.script(script, soon()).unwrap().text();
        assert!(said.contains(wanted), "{script}:\n{said}");
    }
    // What was set up is the image's own from then on.
    session.reboot(soon()).unwrap();
    let network = session.get("/etc/config/network", soon()).unwrap();
    assert!(String::from_utf8_lossy(&network).contains("203.0.113.1/24"));
    assert!(session.kernel_log(soon()).unwrap().contains("Linux version"), "it has booted anew");
    session.power_off(soon()).unwrap();
}

fn soon() -> Deadline {
    Deadline::after(SLOW)
}

/// Releases of both managers and the stand-in, published together; and what OpenWrt released since.
#[test]
fn releases_are_rows_of_a_tree_beside_the_stand_in() {
    let place = Place::warm_elsewhere();
    // An SDK of `.apk` files packs no program that it does not know.
    let opkg = MiniRelease::publish(&place, Format::Ipk);
    place.run(&[&["build", "--release", "24.10", "--target", "x86/64"][..], &opkg.source()].concat()).fine();
    let releases = opkg.with(&place, Format::Apk);
    let rows = ["--release", "24.10,25.12,stand-in", "--target", "x86/64"];
    let publish = [&["dist", "--url", "https://example.org/feed"][..], &rows, &releases.source()].concat();
    place.run(&publish).fine();
    let again = place.run(&publish);
    again.fine();
    assert!(again.err.contains("nothing is different"), "{}", again.err);

    let tree = place.path("results/current");
    let verified = place.run(&["dist", "verify", tree.as_str()]);
    verified.fine();
    for (line, managers) in [("24.10/", ", opkg"), ("25.12/", ", apk"), ("stand-in/", ", opkg and apk")] {
        let said = verified.out.lines().find(|said| said.starts_with(line)).unwrap_or_default();
        assert!(said.ends_with(managers), "{line}: {}", verified.out);
    }
    for (line, release) in [("24.10", "24.10.8"), ("25.12", "25.12.5")] {
        let known = std::fs::read_to_string(tree.join(line).join("x86/64/releases.json")).unwrap();
        assert!(known.contains(&format!("\"{release}\": \"6.12.")), "{known}");
        let kernels = tree.join(line).join("x86/64/kmods").read_dir_utf8().unwrap();
        let [kernel] = kernels.map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>().try_into().unwrap();
        let build = std::fs::read_to_string(kernel.join("build.json")).unwrap();
        assert!(build.contains(&format!("openwrt-sdk-{release}-x86-64")), "{build}");
    }

    let drift = || {
        let words = ["dist", "drift", tree.as_str(), "--release", "24.10,25.12", "--target", "x86/64"];
        place.run(&[&words[..], &releases.source()].concat())
    };
    drift().fine();
    releases.mirror.publish_standard("25.12.6", "x86/64");
    let ran = drift();
    assert_eq!((ran.code, ran.out.trim()), (1, "25.12.6 is released, and feeds/matrix.yaml ends at 25.12.5"));
}

/// The whole way, from the signed list of a release to the proof on its image, whose own kmods are of another build.
#[test]
fn scenarios_run_on_the_image_of_a_release() {
    let place = Place::warm_elsewhere();
    let release = MiniRelease::publish(&place, Format::Ipk);
    let names = [
        "offload-ipv4-nat",
        "fw4-software",
        "install-and-load",
        "refuse-wrong-key",
        "modules-from-feed",
        "offloadctl-doctor",
    ];
    let passes = |release: &MiniRelease, manager: &str| {
        // A router subscribes to a published tree, and refuses what somebody changed.
        let trees = ["subscribe", "refuse-tree"].map(|name| format!("{name}-{manager}"));
        let names: Vec<&str> = names.into_iter().chain(trees.iter().map(String::as_str)).collect();
        let ran = place.start(&release.test(&names)).ends_within(2 * SLOW);
        ran.fine();
        for name in names {
            let verdict = if name == "install-and-load" { "skip" } else { "pass" };
            assert!(ran.err.contains(&format!("{verdict}    {name}/{manager}")), "{name}: {}", ran.err);
        }
    };
    passes(&release, "opkg");
    let apk_release = MiniRelease::publish(&place, Format::Apk);
    passes(&apk_release, "apk");

    // The image's own modules are told from the feed's, by their files and, once those are replaced, by what runs.
    let replace = "{manager: update}, {manager: replace, packages: [kmod-nft-offload, kmod-nf-flow]}, ";
    for (name, release, before, word) in [
        ("stock-file", &release, "", "has the digest"),
        ("stock-runs", &release, replace, "has the build id"),
        ("stock-is-silent", &apk_release, replace, "loaded all the time"),
    ] {
        let folder = place.path(name);
        std::fs::create_dir(&folder).unwrap();
        let steps = format!("steps: [{before}{{loaded-from-feed: [kmod-nf-flow]}}]");
        std::fs::write(folder.join(format!("{name}.yaml")), format!("version: 1\ntitle: {name}\n{steps}\n")).unwrap();
        let ran = place.run(&[&release.test(&[name])[..], &["--scenarios", folder.as_str()]].concat());
        ran.refused(1, "STEP009", &["nf_flow_table", "kmod-nf-flow", word]);
    }

    // Without its fast path the same router is noticed to have none.
    let ran = place.run(&[&release.test(&names[..2])[..], &["--sabotage", "no-fast-path"]].concat());
    ran.fine();
    assert!(!ran.err.contains("SELF001"), "{}", ran.err);
    assert_eq!(place.processes(), []);
}

/// Scenarios hold on a kernel that takes `flags offload` on any device, too.
#[test]
fn a_kernel_that_takes_hardware_offload_on_any_device_has_none() {
    if may_not_compile() {
        return;
    }
    let place = Place::after(&["test", "--exact", "hw-any-device", "--accel", "tcg"]);
    let release = MiniRelease::of(&place, &Parts::of_openwrts_kind(&place), Format::Ipk, &[]);
    let names = ["refuse-hardware", "offloadctl-enable", "offloadctl-ruleset", "offloadctl-status"];
    let ran = place.start(&[&release.test(&names)[..], &["-v"]].concat()).ends_within(6 * SLOW);
    ran.fine();
    for name in names {
        assert!(ran.err.contains(&format!("pass    {name}/opkg")), "{name}: {}", ran.err);
    }
    // The steps for such kernels were done, and those for others were not.
    let did = |step: &str| ran.err.lines().any(|line| line.contains("refuse-hardware/opkg") && line.contains(step));
    assert!(did("step 11,") && !did("step 8,"), "{}", ran.err);
}
