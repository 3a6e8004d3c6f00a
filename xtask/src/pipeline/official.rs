//! The official image of a release: which of its files are booted, and where they lie unpacked.
//!
//! ```text
//! signed list ─ kind that the machine boots ─> files, verified ─ unpack ─> openwrt-image ─> Bootable
//! ```

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Finding, KernelId, Problem, Result, Severity};
use sdk::openwrt::{Resolved, Role, image};
use vm::guest::About;
use vm::image::Recipe;
use vm::machine::{Kind, Machine};
use vm::openwrt::{self, Files, Wiring};

use super::provider::Provider as _;
use super::release::Release;
use super::router::Bootable;
use super::stages::OPENWRT_IMAGE;
use crate::cli::openwrt::OpenWrt;
use crate::stage::{Inputs, stage};
use crate::{Ctx, upstream};

/// Files of the stage.
const KERNEL: &str = "kernel";
const DISK: &str = "disk";

/// The release's own image.
pub(super) fn image(ctx: &Ctx, release: &Release, machine: &Machine) -> Result<Bootable> {
    let (resolved, _) = upstream::obtain(ctx, &release.wanted, &release.row, &[])?;
    let kind = kind(machine, &resolved)?;
    let folder = unpacked(ctx, &release.wanted, &resolved, kind)?;
    let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let image = openwrt::image(machine, kind, Files { kernel: file(KERNEL), disk: file(DISK) });
    let kernel_version = resolved.kernel.as_ref().map(KernelId::package_version);
    let kernel = resolved.kernel.map_or(release.row.kernel_line.clone(), |kernel| kernel.version);
    Ok(Bootable {
        probe: openwrt::probe(&image),
        image,
        kernel: folder.clone(),
        folder,
        about: About {
            label: format!("OpenWrt {} for {}, Linux {kernel}", resolved.release, resolved.published),
            kernel: line(&kernel).to_owned(),
            origin: release.origin(),
        },
        kernel_version,
        wiring: Some(wiring()?),
    })
}

/// The line of a kernel: the first two numbers of its version.
fn line(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    version.get(..end).unwrap_or(version)
}

/// The router's addresses, which are those of the stand-in: scenarios are the same for both.
fn wiring() -> Result<Wiring> {
    let addresses = Recipe::embedded()?.addresses;
    let of = |card: &str| addresses.get(card).cloned().unwrap_or_default();
    Ok(Wiring { lan: of("eth0"), wan: of("eth1") })
}

/// The files that a kind of image is made of.
fn roles(kind: Kind) -> &'static [Role] {
    match kind {
        Kind::KernelRootfs => &[Role::Kernel, Role::Rootfs],
        Kind::Combined => &[Role::Combined],
        Kind::Initramfs => &[Role::Initramfs],
    }
}

/// The first kind that the machine boots and the release has.
fn kind(machine: &Machine, resolved: &Resolved) -> Result<Kind> {
    let has = |kind: &&Kind| roles(**kind).iter().all(|&role| resolved.artifact(role).is_some());
    machine.images.iter().find(has).copied().ok_or_else(|| {
        if machine.images.is_empty() {
            return stand_in_only(machine);
        }
        let names = |roles: &[Role]| roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" with ");
        let boots: Vec<String> = machine.images.iter().map(|&kind| names(roles(kind))).collect();
        let there: Vec<&str> = resolved.artifacts.iter().map(|artifact| artifact.role.name()).collect();
        Failure::of(Problem {
            exit: Exit::Upstream,
            id: "IMG001",
            what: format!("{} publishes no image for {} that can be booted here", resolved.release, resolved.published),
            why: format!("needed is {}; in the signed list are {}", boots.join(", or "), there.join(", ")),
            fix: "take another release or target; if the files are there under other names, add their ends to feeds/matrix.yaml",
        })
    })
}

/// A machine that is not the target's own board.
fn stand_in_only(machine: &Machine) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "IMG004",
        what: format!("no image of OpenWrt for {} can be booted here", machine.target),
        why: "QEMU has no board that they run on; the machine of this target is for its stand-in",
        fix: "leave --release away to prove packages on the stand-in, which has the same instruction set",
    })
}

/// A snapshot may be replaced between the packages and the image, and kmods of one kernel are refused by the other.
pub(super) fn same_kernel(image: &Bootable, packages: &str) -> Result<()> {
    match &image.kernel_version {
        Some(kernel) if kernel != packages => Err(Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "IMG002",
            what: format!("the image of the {} has another kernel than the packages", image.about.label),
            why: format!("the image's is {kernel}, that of the packages {packages}"),
            fix: "run the same command again: a snapshot was replaced meanwhile; --locked takes one and the same always",
        })),
        _ => Ok(()),
    }
}

/// Kernel and disk as QEMU takes them, read-only.
fn unpacked(ctx: &Ctx, wanted: &OpenWrt, resolved: &Resolved, kind: Kind) -> Result<Utf8PathBuf> {
    let artifacts = roles(kind).iter().map(|&role| resolved.require(role)).collect::<Result<Vec<_>>>()?;
    let about = format!("image of OpenWrt {} for {}", resolved.release, resolved.target);
    let inputs = artifacts
        .iter()
        .fold(Inputs::new(&about), |inputs, artifact| inputs.text(artifact.role.name(), artifact.sha256));
    stage(ctx, &OPENWRT_IMAGE, &inputs, |out| {
        let files = upstream::upstream(ctx, &wanted.source)?.fetch(&about, &artifacts)?;
        let mut told = Vec::new();
        for (artifact, file) in artifacts.iter().zip(&files) {
            told.push(match artifact.role {
                Role::Rootfs | Role::Combined => {
                    let size = image::unpack(file, &out.join(DISK), &ctx.events, &ctx.cancel)?;
                    format!("{} of {} MiB", artifact.role.name(), size >> 20)
                }
                _ => {
                    let copied = std::fs::copy(file, out.join(KERNEL));
                    copied.map_err(|error| Failure::io("keep the kernel", out, &error))?;
                    artifact.role.name().to_owned()
                }
            });
        }
        Ok(told.join(" and "))
    })
}

/// What is told when a router is booted though a state was saved.
pub(super) fn afresh(state: &Utf8Path, failure: &Failure) -> Finding {
    Finding {
        id: "IMG003",
        severity: Severity::Note,
        place: Some(state.to_string()),
        what: "the saved router of the release could not be resumed; it is booted and set up once more".into(),
        why: failure.finding().why.clone(),
        fix: "nothing needs to be done; `cargo xtask clean state` removes the state if it happens on every run".into(),
    }
}

#[cfg(test)]
mod tests;
