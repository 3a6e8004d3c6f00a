//! A router in QEMU: what it is, how it is started, and how one speaks to it.
//!
//! ```text
//! machines/x86-64.yaml ─> Machine ─┐                        ┌─> run, script, put, kernel_log
//! Qemu::find ─────────────> Qemu ──┼─> Launch ─> boot ──────┤
//! image::build ───────────> Image ─┤          └> resume ────┴─> Session ─> drop kills QEMU
//! accel::choose ──────────> Accel ─┘               ▲  save │
//! sockets of the lab ─────> Links                  └───────┘ a file, see [`state`]
//! ```
//!
//! ```no_run
//! # fn main() -> model::Result<()> {
//! use std::time::Duration;
//! use model::Accel;
//! use vm::{guest::Guest, image, machine::Machine, process::Qemu, session::{self, Image, Launch}};
//!
//! let cancel = model::Cancel::default();
//! let machine = Machine::load("qemu/machines/x86-64.yaml".into())?;
//! let qemu = Qemu::find(&machine.qemu)?;
//! let image = Image::in_memory("vmlinux".into(), "initramfs".into(), image::READY);
//! let (accel, links, saved) = (Accel::Tcg, None, false);
//! let launch = Launch { qemu: &qemu, machine: &machine, image: &image, accel, links, saved, cancel: &cancel };
//! let soon = || model::Deadline::after(Duration::from_secs(60));
//! let mut router = session::boot(&launch, soon())?;
//! let output = router.run(&["nft", "list", "ruleset"], soon())?;
//! # drop(output); Ok(()) }
//! ```
//!
//! What talks to a router talks to a [`guest::Guest`], and the lab to two [`lab::Wire`]s: QEMU's console and its stream
//! sockets are the first of each.
//!
//! Nothing here knows what a scenario is. What goes wrong is a [`model::Failure`] under `VMnnn`, mostly
//! *blocked*: the guest, the host or QEMU broke, and nothing was found out.

pub mod accel;
pub mod console;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod guest;
pub mod image;
pub mod lab;
pub mod machine;
mod memory;
pub mod openwrt;
pub mod overlay;
pub mod process;
pub mod qmp;
pub mod session;
mod sockets;
pub mod splat;
pub mod state;
