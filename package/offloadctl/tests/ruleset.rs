//! `ruleset` on a made-up system: the devices that are found, the check, and what is printed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

const README: &str = include_str!("../README.md");

struct System {
    root: String,
}

impl System {
    /// A switch behind a conduit, a router's WAN port, a radio and a bridge.
    fn new(name: &str) -> System {
        let system = System { root: format!("{}/ruleset-{name}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id()) };
        for path in [
            "eth0/device",
            "eth0/dsa/tagging",
            "lan1/device",
            "wan/device",
            "phy0-ap0/device",
            "phy0-ap0/phy80211",
            "br-lan",
        ] {
            fs::create_dir_all(format!("{}/sys/class/net/{path}", system.root)).unwrap();
        }
        system
    }

    /// An nft that takes these rules, or not, and keeps them.
    fn with_nft(self, takes_them: bool) -> System {
        let path = format!("{}/usr/sbin/nft", self.root);
        fs::create_dir_all(format!("{}/usr/sbin", self.root)).unwrap();
        let exit = if takes_them { 0 } else { 1 };
        fs::write(&path, format!("#!/bin/sh\ncat > {0}/rules\necho \"$@\" > {0}/words\nexit {exit}\n", self.root))
            .unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offloadctl"));
        command.args(["--root", &self.root, "ruleset"]).args(words).output().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("{}/{file}", self.root)).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn wired_devices_are_found_and_nft_is_asked() {
    let system = System::new("found").with_nft(true);
    let output = system.run(&["--hw"]);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &[][..]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(README.contains(&format!("```text\n{text}```\n")), "not in README.md:\n{text}");
    assert_eq!((system.read("rules"), &system.read("words")[..]), (text, "-c -f -\n"));
}

#[test]
fn rules_that_do_not_pass_are_not_printed() {
    let system = System::new("refused").with_nft(false);
    let output = system.run(&["--devices", "nowhere"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &[][..]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("Error OCTL025: ") && message.contains("'/usr/sbin/nft -c -f -' failed"), "{message}");
    let output = system.run(&["--devices", "nowhere", "--no-check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\tdevices = { \"nowhere\" }\n") && !text.contains("flags"), "{text}");
}

#[test]
fn without_nft_it_says_so() {
    let output = System::new("unchecked").run(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"Not checked: nft was not found.\n");
}

#[test]
fn without_devices_there_is_nothing_to_print() {
    let system = System::new("empty");
    fs::remove_dir_all(format!("{}/sys", system.root)).unwrap();
    let output = system.run(&[]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &[][..]));
    assert!(output.stderr.starts_with(b"Error OCTL023: "));
}
