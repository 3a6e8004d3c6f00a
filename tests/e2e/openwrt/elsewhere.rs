//! A target whose boards QEMU has not: its own SDK makes the packages, and routers of the same instruction set prove them.

use formats::Format;
use sdk::local::Kernel;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};

use super::image::{modules_of, release_of};
use super::recipes;
use super::release::program;
use crate::place::Place;
use crate::run::SLOW;

/// How scenarios are chosen for both runs: that of the stand-in, and that of the release, which finds its stages done.
const PROOF: [&str; 6] = ["offload-ipv4-nat", "--exact", "--format", "ipk", "--accel", "tcg"];

#[test]
fn packages_for_a_board_that_qemu_has_not_are_proven_on_another_router() {
    let place = Place::after(&[&["test", "--target", "ramips/mt7621"][..], &PROOF].concat());
    // Other tests' kernels may be in the cache too; Debian has Linux 6.1 for this board.
    let kernels = place.results("kernel");
    let mut kernels = kernels.iter().map(|folder| Kernel::open(folder).unwrap());
    let kernel = kernels.find(|kernel| kernel.id().version.starts_with("6.1.")).unwrap();
    let (recipes, release) = (recipes(), release_of(Format::Ipk));
    let modules = modules_of(&kernel, &recipes);
    let (bytes, version) = program(&place).unwrap();
    let mirror = MiniMirror::new();
    let publish = |subtarget: &str, modules| {
        let target = format!("ramips/{subtarget}");
        let plain = MiniSdk::new(&recipes, &kernel.id().version, KERNEL_HASH, Format::Ipk);
        let target_of = ("ramips", subtarget);
        let sdk =
            MiniSdk { target: target_of, arch: "mipsel_24kc", program: (&bytes, &version), modules, ..plain.clone() };
        let archive = mirror.publish_standard(release, &target);
        let profiles = serde_json::json!({
            "metadata_version": 1,
            "target": target,
            "linux_kernel": { "version": plain.version, "release": "1", "vermagic": KERNEL_HASH },
            "profiles": {},
        });
        let files = [(archive.as_str(), sdk.archive(&archive)), ("profiles.json", profiles.to_string().into_bytes())];
        mirror.publish(release, &target, &files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())));
    };
    publish("mt7620", Some(&modules));
    // Its modules are those of a PC.
    publish("mt76x8", None);
    let key = mirror.key_file().into_string();
    let source = ["--release", release, "--mirror", mirror.root().as_str(), "--release-key", &key];
    let report = place.path("report.json");
    let test = |target| [&["test", "--target", target, "--json", report.as_str()][..], &PROOF, &source].concat();

    let ran = place.start(&test("ramips/mt7620")).ends_within(4 * SLOW);
    ran.fine();
    let told = format!("built by the SDK of ramips/mt7620, OpenWrt {release}; proven on ramips/mt7621: mipsel");
    let report = std::fs::read_to_string(&report).unwrap();
    assert!(ran.err.contains("pass    offload-ipv4-nat/opkg") && ran.err.contains(&told), "{}", ran.err);
    assert!(report.contains(&told), "{report}");

    // What the target's own SDK made is examined before anything is proven elsewhere.
    let ran = place.run(&test("ramips/mt76x8"));
    ran.refused(1, "LINT304", &["mipsel_24kc"]);
    assert!(!ran.err.contains("offload-ipv4-nat"), "{}", ran.err);
    assert_eq!(place.processes(), []);
}
