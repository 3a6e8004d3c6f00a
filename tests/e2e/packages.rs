//! Packages that were made elsewhere: published beside ours and installed on a router, or refused before one is booted.

use camino::{Utf8Path, Utf8PathBuf};
use formats::depend::Dependency;
use formats::{Entry, Format, Package};

use crate::guest::{fake_qemu, host_version};
use crate::place::{Place, sources};
use crate::run::{Run, SLOW};
use crate::small;

/// Packages that OpenWrt's own programs wrote.
fn golden(place: &Place, files: &[&str]) -> Utf8PathBuf {
    let folder = place.path("golden-packages");
    std::fs::create_dir_all(&folder).unwrap();
    for file in files {
        let file = sources().join("package/formats/tests/golden").join(file);
        std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    folder
}

/// A small program.
fn package(name: &str) -> Package {
    small::package(name, &["libc"])
}

/// A folder with these packages in both formats.
fn folder(place: &Place, name: &str, packages: &[Package]) -> Utf8PathBuf {
    small::folder(place, name, packages, &Format::ALL)
}

fn verdicts(place: &Place, words: &[&str]) -> Vec<(String, String)> {
    let report = place.path("report.json");
    let words = [&["test", "--accel", "tcg", "--json", report.as_str()], words].concat();
    let ran = Run::start(place, &words).ends_within(4 * SLOW);
    ran.fine();
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut cases: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|case| (text(&case["name"]), text(&case["verdict"]))).collect();
    cases.sort();
    cases
}

#[test]
fn packages_from_elsewhere_install_and_go_by_both_managers() {
    let place = Place::warm();
    let theirs = golden(&place, &["ipk/tiny_0.1_all.ipk", "apk/tiny-0.1.apk"]);
    let ours = folder(&place, "ours", &[package("greet")]);
    let passes = |name: &str| (name.to_owned(), "pass".to_owned());
    assert_eq!(
        verdicts(&place, &["--packages", theirs.as_str(), "--packages", ours.as_str()]),
        ["installs-greet/apk", "installs-greet/opkg", "installs-tiny/apk", "installs-tiny/opkg"].map(passes)
    );
    // A scratch root has what the stand-in's image stands for, and nothing else.
    let depends = ["libc", "conntrack", "kmod-nft-offload"].map(Dependency::on).into();
    let asks = folder(&place, "asks", &[Package { depends, ..package("asks") }]);
    let verified = place.run(&["feed", "verify", "--packages", asks.as_str()]);
    verified.fine();
    assert_eq!(verified.out.matches("asks 1.0-r1").count(), 2, "{}", verified.out);
    let scenarios = place.path("scenarios");
    std::fs::create_dir(&scenarios).unwrap();
    let scenario = "version: 1\ntitle: greet greets\nsteps:\n  - manager: update\n  - manager: install\n    \
        packages: [greet]\n  - run: [greet]\n    says: [from greet]\n";
    std::fs::write(scenarios.join("greets.yaml"), scenario).unwrap();
    assert_eq!(
        verdicts(&place, &["--packages", ours.as_str(), "--scenarios", scenarios.as_str()]),
        ["greets/apk", "greets/opkg"].map(passes)
    );
}

#[test]
fn what_no_router_would_take_is_refused_before_one_is_booted() {
    let mut place = Place::warm_without(&["state"]);
    let mark = place.path("booted");
    place.program("qemu-system-x86_64", &fake_qemu(&host_version(), &format!("touch '{mark}'; exit 1")));
    let refused = |folder: &Utf8Path, more: &[&str], code: i32, id: &str, words: &[&str]| {
        place.run(&[&["test", "--packages", folder.as_str()], more].concat()).refused(code, id, words);
        assert!(!mark.exists(), "a router was booted");
    };
    let hello = golden(&place, &["ipk/hello_1.2.3-r4_all.ipk", "apk/hello-1.2.3-r4.apk"]);
    refused(&hello, &["--format", "ipk"], 1, "OWN006", &["hello needs libfoo3, ubus, jshn, which"]);
    refused(
        &hello,
        &["--format", "apk"],
        1,
        "OWN005",
        &["hello is for kernel 6.6.93~0123456789abcdef0123456789abcdef-r1"],
    );
    let foreign = Package { architecture: "mips_24kc".into(), ..package("tool") };
    refused(&folder(&place, "foreign", &[foreign]), &[], 2, "OWN003", &["`mips_24kc`", "`x86_64`"]);
    let newer = Package { version: "1.0-r2".into(), ..package("tool") };
    refused(&folder(&place, "twice", &[package("tool"), newer]), &[], 2, "OWN002", &["two packages are called tool"]);
    refused(&folder(&place, "same", &[package("offloadctl")]), &[], 2, "OWN002", &["called offloadctl"]);
    let broken = Package { files: vec![Entry::dir("srv", 0o777)], ..package("tool") };
    let broken = folder(&place, "broken", &[broken]);
    // Its place is the file that was brought, not a copy of it.
    refused(&broken, &[], 1, "LNT004", &["the packages break rules"]);
    let ran = place.run(&["test", "--packages", broken.as_str()]);
    assert!(ran.err.contains(&format!("{broken}/tool_1.0-r1_all.ipk: /srv")), "{}", ran.err);
}
