//! An official image of OpenWrt: how its files become a guest, and how the guest becomes the router of the lab.
//!
//! ```text
//! files of a release ─ unpack ─> read-only base ─ image ─> session::boot ─ provision ─> state::save
//! ```
//!
//! [`image()`] knows what QEMU must be told; [`provision`] speaks to the booted guest over its console.

mod provision;
mod status;

use camino::Utf8PathBuf;

use crate::machine::{Disk, DiskFormat, Image, Kind, Machine};

pub use provision::{Wiring, provision};

/// What procd's `askfirst` prints on the console when a shell is one press of Enter away.
pub const READY: &str = "Please press Enter to activate this console";

/// The unpacked files of an image, as far as its kind has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The kernel, with or without a root file system inside.
    pub kernel: Option<Utf8PathBuf>,
    /// The disk: a bare root file system or a partitioned one.
    pub disk: Option<Utf8PathBuf>,
}

/// How QEMU boots these files.
pub fn image(machine: &Machine, kind: Kind, files: Files) -> Image {
    let root = machine.disk.as_ref().filter(|_| kind == Kind::KernelRootfs);
    Image {
        kernel: files.kernel,
        initramfs: None,
        disk: files.disk.map(|file| Disk { file, format: DiskFormat::Raw }),
        append: root.map(|disk| vec![format!("root={}", disk.root), "rootwait".into()]).unwrap_or_default(),
        ready: READY.into(),
    }
}
