//! Tests of the image's shell scripts, run by the host's `sh`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::{FIREWALL, FUNCTIONS, KMODLOADER, SYSUPGRADE};

struct Folder {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
}

/// A folder with these files; those in `bin` are programs.
fn folder(files: &[(&str, &str)]) -> Folder {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    for (name, text) in files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let mode = if name.contains("bin/") || name.contains("init.d/") { 0o755 } else { 0o644 };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    Folder { _dir: dir, path }
}

/// `kmodloader` with a file of the folder in place of the kernel's log, for these modules.
fn kmodloader(folder: &Utf8Path) -> String {
    let script = KMODLOADER.replace("/dev/kmsg", &format!("{folder}/kmsg"));
    format!("set -- {folder}/modules.d {folder}\n{script}")
}

/// Runs a script with the folder's `bin` first in PATH; its exit code and what it printed.
fn sh(folder: &Utf8Path, script: &str, variables: BTreeMap<&str, &str>) -> (Option<i32>, String) {
    let path = format!("{folder}/bin:{}", std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", script]).env("PATH", path).envs(variables).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), said)
}

#[test]
fn kmodloader_keeps_the_order_and_skips_what_is_unknown() {
    let files = folder(&[
        ("modules.dep", "nf_tables.ko:\nkernel/net/nft-offload.ko: nf_tables.ko\nzram.ko: \na.ko:\nb.ko:\n"),
        ("modules.d/nft-offload", "nft_offload\nno_such_module\n"),
        ("modules.d/20-b", "b\n"),
        ("modules.d/10-nf", "nf_tables first=1 second=2\nzram"),
        ("modules.d/a", "a\n"),
        ("bin/depmod", "#!/bin/sh\n"),
        ("bin/modprobe", "#!/bin/sh\necho \"$@\" >>\"$LOG\"\n"),
    ]);
    let log = files.path.join("log");
    let (code, said) = sh(&files.path, &kmodloader(&files.path), [("LOG", log.as_str())].into());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "nf_tables first=1 second=2\n-a zram b a nft_offload\n");
}

#[test]
fn kmodloader_adds_what_a_package_brought_to_what_modprobe_knows() {
    let files = folder(&[
        ("modules.dep", "b.ko:\na-x.ko: b.ko\n"),
        ("top.ko", "middle,a_x"),
        ("middle.ko", "c,b"),
        ("c.ko", ""),
        ("alone.ko", ""),
        ("modules.d/top", "top\nmiddle\nc\nalone\n"),
        // What the modules say of themselves is their content here.
        ("bin/modinfo", "#!/bin/sh\nshift 2\nfor file; do cat \"$file\" || exit; echo; done\n"),
        ("bin/depmod", "#!/bin/sh\necho depmod >>\"$LOG\"\n"),
        ("bin/modprobe", "#!/bin/sh\necho \"$@\" >>\"$LOG\"\n"),
    ]);
    let log = files.path.join("log");
    let load = || {
        let (code, said) = sh(&files.path, &kmodloader(&files.path), [("LOG", log.as_str())].into());
        assert_eq!((code, said.as_str()), (Some(0), ""));
        std::fs::read_to_string(&log).unwrap()
    };
    assert_eq!(load(), "-a top middle c alone\n");
    // As depmod writes it: each after those that need it, as the last is loaded first.
    let dep = std::fs::read_to_string(files.path.join("modules.dep")).unwrap();
    let expected = "b.ko:\na-x.ko: b.ko\ntop.ko: a-x.ko middle.ko b.ko c.ko\nmiddle.ko: b.ko c.ko\nc.ko:\nalone.ko:\n";
    assert_eq!(dep, expected);
    // A second call adds nothing, and a module that lies elsewhere is searched for by depmod.
    std::fs::write(files.path.join("modules.d/other"), "elsewhere\n").unwrap();
    assert_eq!(load(), "-a top middle c alone\ndepmod\n-a top middle c alone\n");
    assert_eq!(std::fs::read_to_string(files.path.join("modules.dep")).unwrap(), expected);
}

#[test]
fn sysupgrade_lists_what_was_changed_and_what_lists_name() {
    let files = folder(&[("config/changed", "new"), ("config/same", ""), ("kept/a", ""), ("kept/b", "")]);
    let path = &files.path;
    let (other, empty) = ("0".repeat(64), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    std::fs::create_dir(path.join("keep.d")).unwrap();
    std::fs::write(path.join("keep.d/x"), format!("# a list\n{path}/kept\n{path}/none\n")).unwrap();
    std::fs::write(path.join("status"), format!("Conffiles:\n {path}/config/changed {other}\n")).unwrap();
    std::fs::write(path.join("x.conffiles_static"), format!("{path}/config/same {empty}\n")).unwrap();
    let script = SYSUPGRADE
        .replace("/lib/upgrade", path.as_str())
        .replace("/usr/lib/opkg", path.as_str())
        .replace("/lib/apk/packages", path.as_str());
    let run = |word: &str| sh(path, &format!("set -- {word}\n{script}"), BTreeMap::new());
    let listed = format!("{path}/config/changed\n{path}/kept/a\n{path}/kept/b\n");
    assert_eq!(run("-l"), (Some(0), listed));
    assert_eq!(run("image.bin").0, Some(1));
}

#[test]
fn maintainer_scripts_do_what_fits_the_root() {
    let files = folder(&[
        ("usr/lib/opkg/info/kmod-x.list", "/etc/modules.d/x\n/etc/init.d/x\n"),
        ("usr/lib/opkg/info/kmod-x.postinst-pkg", "echo own script; false"),
        ("usr/lib/opkg/info/kmod-x.control", "Package: kmod-x\nRequire-User: svc=850:svc=850 root=0:root=0\n"),
        ("etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("bin/kmodloader", "#!/bin/sh\necho loaded\n"),
        ("etc/init.d/x", "#!/bin/sh\necho \"x $1\"\n"),
    ]);
    let functions = files.path.join("functions.sh");
    std::fs::write(&functions, FUNCTIONS).unwrap();
    // As a package manager with another root: only what is right for an image that is being built.
    let call = |function: &str, script: &str| format!(". {functions}; {function} /x/{script}");
    let root = [("IPKG_INSTROOT", files.path.as_str())];
    let (code, said) = sh(&files.path, &call("default_postinst", "kmod-x.postinst"), root.into());
    assert_eq!((code, said.as_str()), (Some(1), "own script\nx enable\n"));
    let read = |name: &str| std::fs::read_to_string(files.path.join(name)).unwrap();
    assert_eq!(read("etc/group"), "root:x:0:\nsvc:x:850:\n");
    assert_eq!(read("etc/passwd"), "root::0:0:root:/root:/bin/sh\nsvc:x:850:850::/var/run/svc:/bin/false\n");
    let (code, said) = sh(&files.path, &call("default_prerm", "kmod-x.prerm"), root.into());
    assert_eq!((code, said.as_str()), (Some(0), "x disable\n"));
    let upgrade = [("IPKG_INSTROOT", files.path.as_str()), ("PKG_UPGRADE", "1")];
    let (_, said) = sh(&files.path, &call("default_postinst", "kmod-x.postinst"), upgrade.into());
    assert_eq!(said, "own script\n");
    // On the running system: the list is looked for below `/`, so it is given by a function here.
    let live =
        format!(". {functions}; package_files() {{ echo /etc/modules.d/x; }}; default_postinst /x/kmod-x.postinst");
    assert_eq!(sh(&files.path, &live, BTreeMap::new()), (Some(0), "loaded\n".into()));
}

/// The stand-in for the firewall with a configuration of its own, and an `nft` that knows no flowtable: what it printed.
fn firewall(options: &str, nft: &str, word: &str) -> (Option<i32>, String) {
    let nft = format!("#!/bin/sh\ncase \"$*\" in list*) exit 1 ;; *) {nft} ;; esac\n");
    let config = format!("config defaults\n{options}{}", text("/etc/config/firewall"));
    firewall_of(&config, text("/etc/config/network"), &nft, word)
}

/// The same with a configuration and a network of one's own; there are eth0, br-lan above it, eth1, and eth1.7 above that.
fn firewall_of(config: &str, network: &str, nft: &str, word: &str) -> (Option<i32>, String) {
    firewall_with("", config, network, nft, word)
}

/// The same with changes that are not committed.
fn firewall_with(changes: &str, config: &str, network: &str, nft: &str, word: &str) -> (Option<i32>, String) {
    let files = folder(&[
        ("uci/firewall", changes),
        ("etc/firewall", config),
        ("etc/network", network),
        ("net/eth0/uevent", ""),
        ("net/eth1/uevent", ""),
        ("net/br-lan/bridge/x", ""),
        ("net/br-lan/lower_eth0/x", ""),
        ("net/eth1.7/uevent", "DEVTYPE=vlan\n"),
        ("net/eth1.7/lower_eth1/x", ""),
        ("bin/nft", nft),
    ]);
    let script = text("/sbin/fw4")
        .replace("/etc/config/firewall", &format!("{}/etc/firewall", files.path))
        .replace("/etc/config/network", &format!("{}/etc/network", files.path))
        .replace("/tmp/.uci", &format!("{}/uci", files.path))
        .replace("/sys/class/net", &format!("{}/net", files.path))
        .replace("/var/run", files.path.as_str());
    sh(&files.path, &format!("set -- {word}\n{script}"), BTreeMap::new())
}

fn text(path: &str) -> &'static str {
    FIREWALL.iter().find(|(name, ..)| *name == path).unwrap().2
}

#[test]
fn the_firewall_has_a_flowtable_when_the_configuration_asks_for_one() {
    let (code, without) = firewall("", "true", "print");
    assert_eq!(code, Some(0), "{without}");
    assert!(without.contains("chain forward {") && !without.contains("@ft"), "{without}");

    let (_, software) = firewall("option flow_offloading '1'\n", "true", "print");
    let flowtable = r#"flowtable ft { hook ingress priority 0; devices = { "eth0", "eth1" }; counter;  }"#;
    assert!(software.contains(flowtable), "{software}");
    let offload = software.find("flow add @ft;").unwrap();
    assert!(offload < software.find("forwarded established").unwrap(), "{software}");

    let both = "option flow_offloading '1'\noption flow_offloading_hw '1'\n";
    let (_, hardware) = firewall(both, "true", "print");
    assert!(hardware.contains("counter; flags offload; }"), "{hardware}");
    let (_, refused) = firewall(both, "exit 1", "print");
    assert!(refused.contains("falling back to software") && refused.contains(flowtable), "{refused}");
}

#[test]
fn a_zone_without_devices_has_its_subnets_or_no_rules() {
    let print = |zone: &str| {
        let config =
            format!("config defaults\noption flow_offloading 1\nconfig zone\noption name z\nlist network no\n{zone}");
        firewall_of(&config, "", "#!/bin/sh\n", "print")
    };
    let (code, subnet) = print("list subnet 192.0.2.0/24\nlist subnet 198.51.100.0/24\n");
    assert_eq!(code, Some(0), "{subnet}");
    for rule in [
        "ip saddr { 192.0.2.0/24, 198.51.100.0/24 } jump forward_z",
        "ip daddr { 192.0.2.0/24, 198.51.100.0/24 } accept",
    ] {
        assert!(subnet.contains(rule), "{subnet}");
    }
    let (_, nothing) = print("");
    assert!(nothing.contains("chain accept_to_z { }") && !nothing.contains("jump forward_z"), "{nothing}");
    for text in [subnet, nothing] {
        assert!(!text.contains("\"\"") && !text.contains("flowtable ft {"), "{text}");
    }
}

#[test]
fn changes_that_are_not_committed_are_followed() {
    let zone = "config zone\noption name z\nlist network lan\n";
    let network = "config interface 'lan'\noption device eth0\n";
    let has_flowtable = |changes: &str, defaults: &str| {
        let config = format!("config x\nconfig defaults{defaults}\n{zone}");
        firewall_with(changes, &config, network, "#!/bin/sh\n", "print").1.contains("flowtable ft")
    };
    let on = "option flow_offloading 1";
    for (changes, defaults, expected) in [
        ("", "", false),
        ("firewall.cfg02e63d.flow_offloading='1'\n", "", true),
        ("firewall.cfg01e63d.flow_offloading='1'\n", "", false),
        ("firewall.d.flow_offloading='1'\n", " 'd'", true),
        ("firewall.other.flow_offloading='1'\n", " 'd'", false),
        ("firewall.d.flow_offloading='1'\n-firewall.d.flow_offloading\n", " 'd'", false),
        ("-firewall.cfg02e63d.flow_offloading\n", &format!("\n{on}"), false),
        ("-firewall.cfg02e63d.input\n", &format!("\n{on}"), true),
    ] {
        assert_eq!(has_flowtable(changes, defaults), expected, "{changes} {defaults}");
    }
}

/// Compared with what firewall4 itself writes, run with the same configuration.
#[test]
fn the_flowtable_has_the_devices_that_firewall4_gives_it() {
    let devices = |zone: &str, network: &str, hardware: bool, nft: &str| {
        let hardware = if hardware { "option flow_offloading_hw 1\n" } else { "" };
        let config = format!("config defaults\noption flow_offloading 1\n{hardware}config zone\noption name z\n{zone}");
        let (code, text) = firewall_of(&config, network, &format!("#!/bin/sh\n{nft}\n"), "print");
        assert_eq!(code, Some(0), "{text}");
        text.split_once("devices = { ").map(|(_, rest)| rest.split(" }").next().unwrap().to_owned())
    };
    let network = "config interface lan\noption device br-lan\nconfig interface wan\noption device eth1.7\n\
                   option proto pppoe\nconfig interface wan6\noption device @wan\n";
    let zone = "list network lan\nlist network wan\nlist network wan6\nlist device eth7\n";
    let found = |hardware, nft| devices(zone, network, hardware, nft);
    assert_eq!(found(false, "exit 1").unwrap(), r#""br-lan", "eth1.7""#);
    assert_eq!(found(true, "case $1 in -c) ;; *) exit 1 ;; esac").unwrap(), r#""eth0", "eth1""#);
    assert_eq!(found(true, "exit 1").unwrap(), r#""br-lan", "eth1.7""#, "falls back");
    assert_eq!(devices("list device eth0\n", network, false, "exit 1"), None, "a device is no network");
    assert_eq!(devices("list network gone\n", network, false, "exit 1"), None);
}

#[test]
fn the_firewall_ends_at_a_word_that_is_no_yes_or_no() {
    for word in ["enabled", "2"] {
        let (code, said) = firewall(&format!("option flow_offloading {word}\n"), "true", "print");
        assert!(code != Some(0) && said.contains("specifies invalid value") && !said.contains("chain"), "{said}");
    }
    assert_eq!(firewall("option flow_offloading off\n", "true", "print").0, Some(0));
}

#[test]
fn the_firewall_fails_its_check_and_not_its_start() {
    assert_eq!(firewall("", "false", "check").0, Some(1));
    assert_eq!(firewall("", "false", "start").0, Some(0));
    assert_eq!(firewall("option 'unfinished\n", "true", "check").0, Some(2));
    let (code, said) = firewall("", "true", "reload");
    assert!(code == Some(1) && said.contains("does not appear to be loaded"), "{said}");
}
