//! The official image of a release: which of its files are booted, and where they are unpacked.
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

use super::bootable::Bootable;
use super::job::Origin;
use super::release::Release;
use super::stages::OPENWRT_IMAGE;
use crate::cli::openwrt::OpenWrt;
use crate::stage::{Inputs, stage};
use crate::{Ctx, upstream};

/// File names in the stage's folder.
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
            origin: Origin::Release,
        },
        kernel_version,
        wiring: Some(wiring()?),
    })
}

/// The kernel's line: the first two numbers of its version.
fn line(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    version.get(..end).unwrap_or(version)
}

/// The router's addresses, equal to those of the stand-in, so that scenarios fit both.
fn wiring() -> Result<Wiring> {
    let addresses = Recipe::embedded()?.addresses;
    let of = |card: &str| addresses.get(card).cloned().unwrap_or_default();
    Ok(Wiring { lan: of("eth0"), wan: of("eth1") })
}

/// The files of a kind of image.
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
            what: format!(
                "{} publishes no image for {} that this machine can boot",
                resolved.release, resolved.published
            ),
            why: format!("it needs {}; the signed list has {}", boots.join(", or "), there.join(", ")),
            fix: "use another release or target; if the files have other names, add their suffixes to \
                  feeds/matrix.yaml",
        })
    })
}

/// The failure for a machine that is not the target's own board.
fn stand_in_only(machine: &Machine) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "IMG004",
        what: format!("cannot boot OpenWrt's images for {} here", machine.target),
        why: "QEMU does not have their board; this target's machine is for its stand-in",
        fix: "omit --release to prove packages on the stand-in, which has the same instruction set",
    })
}

/// Checks that image and packages have the same kernel: a snapshot may be replaced between fetching them, and a kernel
/// refuses another one's kmods.
pub(super) fn same_kernel(image: &Bootable, packages: &str) -> Result<()> {
    match &image.kernel_version {
        Some(kernel) if kernel != packages => Err(Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "IMG002",
            what: format!("the image of the {} has another kernel than the packages", image.about.label),
            why: format!("the image's is {kernel}, that of the packages {packages}"),
            fix: "run the same command again: a snapshot was replaced meanwhile; --locked always takes the same one",
        })),
        _ => Ok(()),
    }
}

/// Kernel and disk in QEMU's formats, read-only.
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

/// The note when a router is booted although a state was saved.
pub(super) fn afresh(state: &Utf8Path, failure: &Failure) -> Finding {
    Finding {
        id: "IMG003",
        severity: Severity::Note,
        place: Some(state.to_string()),
        what: "the saved router of the release could not be resumed; booting it and setting it up again".into(),
        why: failure.finding().why.clone(),
        fix: "nothing needs to be done; `cargo xtask clean state` removes the state if it happens on every run".into(),
    }
}

#[cfg(test)]
mod tests;
