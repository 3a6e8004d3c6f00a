//! How guest instructions are run, and whether KVM can be trusted to.
//!
//! That `/dev/kvm` opens proves nothing: there are hosts on which it creates a machine, runs its
//! firmware, and then hangs every stock kernel at full load, or makes QEMU abort on a register that
//! it cannot set. So the kernel that is to run is booted under KVM once, with an image that prints one
//! line, and has a few seconds for it. The verdict is kept for as long as the host stays up.

use std::fs::{File, OpenOptions};
use std::time::Duration;

use camino::Utf8Path;
use host::aside;
use model::{Accel, Cancel, Deadline, Digest, Exit, Failure, Problem, Result, WantedAccel};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::process::Qemu;
use crate::session::{self, Image, Launch};

/// A kernel that runs at all is through its boot in less than a second under KVM.
const PROBE_WAIT: Duration = Duration::from_secs(6);

/// What is used, and why, for `doctor` and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is used.
    pub accel: Accel,
    /// Why.
    pub why: String,
}

/// What a probe boots.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The kind of router.
    pub machine: &'a Machine,
    /// The kernel that is to run, and something that soon shows that it does: with the initramfs of
    /// [`crate::image::probe`], or [`crate::openwrt::probe`].
    pub image: &'a Image,
    /// Names the kernel's content.
    pub kernel_digest: &'a str,
    /// Folder for verdicts; made when missing.
    pub cache: &'a Utf8Path,
    /// The device, `/dev/kvm`.
    pub device: &'a Utf8Path,
    /// The user's interrupt.
    pub cancel: &'a Cancel,
}

/// Whether KVM works, as kept in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    usable: bool,
    why: String,
}

/// Decides how to run; boots a probe only when the answer is not known yet.
pub fn choose(wanted: WantedAccel, probe: &Probe<'_>) -> Result<Choice> {
    if wanted == WantedAccel::Tcg {
        return Ok(Choice { accel: Accel::Tcg, why: "asked for".into() });
    }
    let Verdict { usable, why } = verdict(probe)?;
    match (usable, wanted) {
        (true, _) => Ok(Choice { accel: Accel::Kvm, why }),
        (false, WantedAccel::Kvm) => Err(Failure::of(Problem {
            exit: Exit::Host,
            id: "VM020",
            what: "KVM was asked for and does not work here",
            why,
            fix: "use `--accel tcg`, which is slower and works everywhere, or a host with working nested virtualisation",
        })
        .at(probe.device)),
        (false, _) => Ok(Choice { accel: Accel::Tcg, why }),
    }
}

fn verdict(probe: &Probe<'_>) -> Result<Verdict> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open(probe.device) {
        // Not kept: a group or a module away from working, and asked in no time.
        return Ok(Verdict { usable: false, why: format!("{} cannot be opened: {error}", probe.device) });
    }
    let path = probe.cache.join(format!("{}.json", key(probe)));
    if let Some(known) = File::open(&path).ok().and_then(|file| serde_json::from_reader(file).ok()) {
        return Ok(known);
    }
    let verdict = boot(probe)?;
    aside::write(&path, serde_json::to_vec(&verdict).unwrap_or_default())?;
    Ok(verdict)
}

/// Boots the probe. Only the user's interrupt is a failure; everything else is a verdict.
fn boot(probe: &Probe<'_>) -> Result<Verdict> {
    let Probe { qemu, machine, image, cancel, .. } = *probe;
    let launch = Launch { qemu, machine, image, accel: Accel::Kvm, links: None, saved: false, cancel };
    let deadline = Deadline::after(PROBE_WAIT);
    let ran = session::start(&launch, None, deadline).and_then(|mut started| {
        let ready = started.console.wait_for(&image.ready, deadline);
        ready.map_err(|trouble| started.explain(trouble))
    });
    cancel.check()?;
    Ok(match ran {
        Ok(()) => Verdict { usable: true, why: "a probe booted under KVM".into() },
        Err(failure) => {
            let finding = failure.finding();
            let reason = finding.why.lines().take(3).collect::<Vec<_>>().join(" ");
            Verdict { usable: false, why: format!("a probe under KVM failed: {}: {reason}", finding.what) }
        }
    })
}

/// Everything that a verdict depends on. The boot id also stands for the host's kernel and its modules.
fn key(probe: &Probe<'_>) -> String {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    let Qemu { binary, version } = probe.qemu;
    let parts = [&boot_id, model, probe.kernel_digest, binary, version, &probe.machine.machine, &probe.machine.cpu.kvm];
    Digest::of(parts.join("\0")).to_string()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    /// Chooses with a program in place of QEMU and a file in place of `/dev/kvm`.
    fn choose_with(wanted: WantedAccel, binary: &str, device: &str, cache: &Utf8Path) -> Result<Choice> {
        let machine = Machine::parse("x86-64.yaml".into(), include_str!("../machines/x86-64.yaml")).unwrap();
        let qemu = Qemu { binary: binary.into(), version: "7.2".into() };
        choose(
            wanted,
            &Probe {
                qemu: &qemu,
                machine: &machine,
                image: &Image::in_memory("/no/vmlinux".into(), "/no/initramfs".into(), "ready"),
                kernel_digest: "digest",
                cache,
                device: device.into(),
                cancel: &Cancel::default(),
            },
        )
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("verdicts")).unwrap();
        (dir, path)
    }

    #[test]
    fn without_the_device_nothing_is_probed() {
        let (_dir, cache) = folder();
        let choice = choose_with(WantedAccel::Auto, "/no/qemu", "/no/kvm", &cache).unwrap();
        assert!(choice.accel == Accel::Tcg && choice.why.contains("/no/kvm"), "{choice:?}");
        assert!(!cache.exists());
        let failure = choose_with(WantedAccel::Kvm, "/no/qemu", "/no/kvm", &cache).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM020", Exit::Host));
        assert!(failure.finding().fix.contains("--accel tcg"));
    }

    #[test]
    fn emulation_is_not_argued_with() {
        let (_dir, cache) = folder();
        let choice = choose_with(WantedAccel::Tcg, "/no/qemu", "/dev/null", &cache).unwrap();
        assert_eq!((choice.accel, cache.exists()), (Accel::Tcg, false));
    }

    #[test]
    fn an_early_exit_means_emulation_and_is_remembered() {
        let (_dir, cache) = folder();
        // The device opens, and "QEMU" ends at once.
        let choice = choose_with(WantedAccel::Auto, "false", "/dev/null", &cache).unwrap();
        assert!(choice.accel == Accel::Tcg && choice.why.contains("exit code 1"), "{choice:?}");
        let kept: Vec<_> = cache.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect();
        assert_eq!(kept.len(), 1);
        // A verdict that is there is believed, and one that cannot be read is made again.
        std::fs::write(&kept[0], r#"{"usable":true,"why":"known"}"#).unwrap();
        let known = choose_with(WantedAccel::Kvm, "false", "/dev/null", &cache).unwrap();
        assert_eq!(known, Choice { accel: Accel::Kvm, why: "known".into() });
        std::fs::write(&kept[0], "{").unwrap();
        assert_eq!(choose_with(WantedAccel::Auto, "false", "/dev/null", &cache).unwrap(), choice);
        // Another QEMU is another question.
        let other = choose_with(WantedAccel::Auto, "true", "/dev/null", &cache).unwrap();
        assert!(other.why.contains("exit code 0"), "{other:?}");
    }
}
