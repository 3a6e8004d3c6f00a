//! Guests and emulators that never come up: blocked, with everything that is known, and gone afterwards.

use crate::place::Place;
use crate::run::Ran;

/// Name of the emulator, as the machine's file has it.
const QEMU: &str = "qemu-system-x86_64";

/// A script in place of QEMU that tells this version and then does something else.
pub(crate) fn fake_qemu(version: &str, then: &str) -> String {
    format!("[ \"$1\" = --version ] && {{ echo 'QEMU emulator version {version}'; exit; }}\n{then}")
}

/// The version of the host's QEMU, so that a fake can pass for it.
pub(crate) fn host_version() -> String {
    let output = std::process::Command::new(QEMU).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_start_matches("QEMU emulator version ").split(' ').next().unwrap().trim().to_owned()
}

/// Boots a router; the cache and the list of processes must be as before.
fn boot(place: &Place, deadline: &str) -> Ran {
    let before = place.fingerprint();
    let ran = place.run(&["boot", "--accel", "tcg", "--boot-deadline", deadline, "--", "true"]);
    assert_eq!(place.processes(), []);
    place.unchanged_since(&before);
    assert_eq!(place.temporary().read_dir_utf8().unwrap().count(), 0, "sockets are left");
    ran
}

#[test]
fn a_qemu_that_says_nothing_is_blocked_at_the_deadline() {
    let mut place = Place::warm();
    place.program(QEMU, &fake_qemu("7.2.99", "exec sleep 600"));
    boot(&place, "1").refused(6, "VM051", &["nothing happened within 1s", "longer deadline"]);
}

#[test]
fn a_qemu_that_ends_at_once_is_blocked_with_its_last_words() {
    let mut place = Place::warm();
    place.program(QEMU, &fake_qemu("7.2.99", "echo 'no such machine today' >&2; exit 3"));
    boot(&place, "60").refused(6, "VM051", &["exit code 3", "no such machine today"]);
}

#[test]
fn a_scenario_without_a_router_is_blocked_after_a_second_try() {
    let mut place = Place::warm();
    place.program(QEMU, &fake_qemu(&host_version(), "echo 'no memory for it' >&2; exit 1"));
    let before = place.fingerprint();
    let report = place.path("report.xml");
    let ran = place.run(&["test", "remove-opkg", "--exact", "--accel", "tcg", "--junit", report.as_str()]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert_eq!(ran.err.matches("note[VM044]").count(), 2, "{}", ran.err);
    assert!(ran.err.contains("error[VM051]") && ran.err.contains("no memory for it"), "{}", ran.err);
    let report = std::fs::read_to_string(report).unwrap();
    for part in [r#"name="remove-opkg/opkg""#, "<error", "tried once more"] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    place.unchanged_since(&before);
    assert_eq!(place.processes(), []);
}

/// A warm place whose router's kernel is started with these words.
fn with_kernel_words(words: &str) -> Place {
    let mut place = Place::warm();
    place.own_sources();
    place.edit("qemu/machines/x86-64.yaml", |text| text.replacen("quiet,", &format!("{words},"), 1));
    place
}

#[test]
fn a_panic_is_told_with_the_kernels_last_lines() {
    let place = with_kernel_words("rdinit=/nonexistent");
    let words = ["the guest's kernel panicked", "Kernel panic - not syncing", "last console lines:"];
    boot(&place, "60").refused(6, "VM010", &words);
}

#[test]
fn a_guest_that_hangs_is_told_with_its_last_lines() {
    let place = with_kernel_words("rdinit=/bin/sh");
    let words = ["did not become ready within 10.0 s", "last console lines:", "Run /bin/sh as init process"];
    boot(&place, "10").refused(6, "VM014", &words);
}
