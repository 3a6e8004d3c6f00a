//! An official image of OpenWrt: how its files become a guest, and how the guest becomes the router of the lab.
//!
//! ```text
//! files of a release ─ unpack ─> read-only base ─ image ─> session::boot ─ provision ─> state::save
//! ```
//!
//! [`image()`] knows what QEMU must be told, [`probe`] what to ask KVM; [`provision`] speaks to the booted guest over its console.

mod provision;
mod status;

use camino::Utf8PathBuf;

use crate::machine::{Disk, DiskFormat, Image, Kind, Machine};

pub use provision::{Wiring, provision};

/// What procd's `askfirst` prints on the console when a shell is one press of Enter away.
pub const READY: &str = "Please press Enter to activate this console";

/// What a kernel says at the end of its own boot.
const FIRST_PROCESS: &str = "as init process";

/// The unpacked files of an image, as far as its kind has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The kernel, with or without a root file system inside.
    pub kernel: Option<Utf8PathBuf>,
    /// The disk: a bare root file system or a partitioned one.
    pub disk: Option<Utf8PathBuf>,
}

/// Queues that drop only what has no room. OpenWrt's default is fq_codel, which drops packets that waited for 5 ms; on a
/// busy host all of an emulated router waits for longer. A shaper is for scenarios to set. (Kernel parameters of this
/// kind: `Documentation/admin-guide/kernel-parameters.txt`, since Linux 5.8. A disk that boots itself has no use for them.)
const PLAIN_QUEUES: &str = "sysctl.net.core.default_qdisc=pfifo_fast";

/// How QEMU boots these files.
pub fn image(machine: &Machine, kind: Kind, files: Files) -> Image {
    let root = machine.disk.as_ref().filter(|_| kind == Kind::KernelRootfs);
    let mut append = if files.kernel.is_some() { vec![PLAIN_QUEUES.to_owned()] } else { Vec::new() };
    append.extend(root.iter().flat_map(|disk| [format!("root={}", disk.root), "rootwait".into()]));
    Image {
        kernel: files.kernel,
        initramfs: None,
        disk: files.disk.map(|file| Disk { file, format: DiskFormat::Raw }),
        append,
        ready: READY.into(),
    }
}

/// The same, for a look whether its kernel runs at all: with every message, up to its first process. Where the
/// firmware boots the disk nobody can ask for messages, and the shell must come.
pub fn probe(image: &Image) -> Image {
    match image.kernel {
        None => image.clone(),
        Some(_) => {
            let append = image.append.iter().cloned().chain(["ignore_loglevel".into()]).collect();
            Image { append, ready: FIRST_PROCESS.into(), ..image.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: &str = include_str!("../../machines/x86-64.yaml");

    fn files(kernel: Option<&str>, disk: Option<&str>) -> Files {
        Files { kernel: kernel.map(Into::into), disk: disk.map(Into::into) }
    }

    #[test]
    fn each_kind_is_told_where_its_root_is() {
        let machine = Machine::parse("x86-64.yaml".into(), X86_64).unwrap();
        let bare = image(&machine, Kind::KernelRootfs, files(Some("/k"), Some("/d")));
        assert_eq!(bare.append, [PLAIN_QUEUES, "root=/dev/vda", "rootwait"]);
        assert_eq!(bare.disk, Some(Disk { file: "/d".into(), format: DiskFormat::Raw }));
        let inside = image(&machine, Kind::Initramfs, files(Some("/k"), None));
        assert_eq!((inside.append, inside.disk, inside.initramfs), (vec![PLAIN_QUEUES.to_owned()], None, None));
        let combined = image(&machine, Kind::Combined, files(None, Some("/d")));
        assert_eq!((combined.append.len(), combined.kernel.clone()), (0, None));
        assert_eq!(probe(&combined), combined);
        let probe = probe(&bare);
        assert!(probe.append.starts_with(&bare.append) && probe.append.contains(&"ignore_loglevel".into()));
        assert_ne!(probe.ready, bare.ready);
    }
}
