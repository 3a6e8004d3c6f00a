//! Images of a miniature release: which are used, and what remains after a failure.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};

use model::{Event, Events};
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};
use vm::machine::DiskFormat;

use super::*;
use crate::cli::openwrt::Source;
use crate::ctx::tests::ctx;

/// Its files never change, so its list is fetched only once.
const RELEASE: &str = "25.12.5";
const TARGET: &str = "x86/64";

const KERNEL_BIN: &str = "openwrt-25.12.5-x86-64-generic-kernel.bin";
const ROOTFS: &str = "openwrt-25.12.5-x86-64-generic-ext4-rootfs.img.gz";
const COMBINED: &str = "openwrt-25.12.5-x86-64-generic-ext4-combined.img.gz";

/// A mirror, and a machine without a cache.
struct Lab {
    _folder: tempfile::TempDir,
    mirror: MiniMirror,
    ctx: Ctx,
    events: Receiver<Event>,
}

impl Lab {
    /// A release with these images.
    fn new(images: &[(&str, &[u8])]) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let mirror = MiniMirror::new();
        let kernel = format!("packages/kernel-6.12.94~{KERNEL_HASH}-r1.apk");
        let sdk = "openwrt-sdk-25.12.5-x86-64_gcc-14.3.0_musl.Linux-x86_64.tar.zst";
        mirror.publish(RELEASE, TARGET, &[(sdk, b"sdk"), (&kernel, b"kernel")]);
        mirror.publish(RELEASE, TARGET, images);
        let (sender, events) = channel();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::to(sender));
        Lab { _folder: folder, mirror, ctx, events }
    }

    fn guest(&self) -> Result<Bootable> {
        self.guest_of(&Machine::load(&self.ctx.root.join("qemu/machines/x86-64.yaml"))?)
    }

    fn guest_of(&self, machine: &Machine) -> Result<Bootable> {
        let source =
            Source { mirror: Some(self.mirror.root().to_string()), release_keys: vec![self.mirror.key_file()] };
        let wanted = OpenWrt { release: Some(RELEASE.into()), locked: false, source };
        let release = Release::new(&self.ctx, RELEASE, &TARGET.parse().unwrap(), wanted)?;
        image(&self.ctx, &release, machine)
    }

    /// The id of the expected failure, and whether any image was unpacked.
    fn refused(&self) -> (&'static str, Exit, bool) {
        let Err(failure) = self.guest() else { panic!("such an image would be booted") };
        let stage = self.ctx.cache.join(image::STAGE);
        let left = stage.read_dir_utf8().into_iter().flatten().any(|entry| entry.unwrap().path().is_dir());
        (failure.id(), failure.exit(), left)
    }

    /// Stages that did work since the last call.
    fn worked(&self) -> Vec<String> {
        let began = |event| if let Event::StageBegin { stage, .. } = event { Some(stage) } else { None };
        self.events.try_iter().filter_map(began).collect()
    }
}

/// A disk of 4 KiB as releases publish it, with trailing data for OpenWrt's own upgrades.
fn packed() -> Vec<u8> {
    let mut gzip = formats::gzip::Writer::new(Vec::new(), formats::gzip::Level::Default).unwrap();
    gzip.write_all(&[0x51; 4096]).unwrap();
    [&gzip.finish().unwrap()[..], b"{\"metadata_version\":\"1.1\"}FWx0"].concat()
}

#[test]
fn kernel_and_root_file_system_are_verified_unpacked_once_and_read_only() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, &packed()), (COMBINED, b"of no interest")]);
    let guest = lab.guest().unwrap();
    let (kernel, disk) = (guest.image.kernel.clone().unwrap(), guest.image.disk.clone().unwrap());
    assert_eq!((std::fs::read(&kernel).unwrap(), disk.format), (b"kernel".to_vec(), DiskFormat::Raw));
    assert_eq!(std::fs::read(&disk.file).unwrap(), [0x51; 4096]);
    assert_eq!(std::fs::metadata(&disk.file).unwrap().permissions().mode() & 0o222, 0);
    assert_eq!(guest.image.append[1..], ["root=/dev/vda", "rootwait"]);
    assert_eq!(guest.about.label, "OpenWrt 25.12.5 for x86/64, Linux 6.12.94");
    assert_eq!((guest.about.kernel.as_str(), line("6.18"), line("")), ("6.12", "6.18", ""));
    assert_eq!(guest.wiring.unwrap().lan[0], "192.168.1.1/24");
    assert_eq!(lab.worked(), ["openwrt-image", "fetch"]);
    assert_eq!(lab.guest().unwrap().image, guest.image);
    assert_eq!(lab.worked(), [""; 0], "the second run does nothing");
}

#[test]
fn the_machine_takes_the_first_kind_that_there_is() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (COMBINED, &packed())]);
    let image = lab.guest().unwrap().image;
    assert!(image.kernel.is_none() && image.append.is_empty() && image.disk.is_some(), "{image:?}");
    assert_eq!(Lab::new(&[(KERNEL_BIN, b"kernel")]).refused(), ("IMG001", Exit::Upstream, false));
}

#[test]
fn a_machine_that_stands_for_a_board_boots_no_image_of_a_release() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, &packed())]);
    let machine = Machine::load(&lab.ctx.root.join("qemu/machines/ramips-mt7621.yaml")).unwrap();
    let failure = lab.guest_of(&machine).err().unwrap();
    assert_eq!((failure.id(), failure.exit()), ("IMG004", Exit::Usage));
    assert!(failure.finding().what.contains("ramips/mt7621"), "{failure}");
}

#[test]
fn two_images_of_one_name_are_not_chosen_from() {
    let other = "openwrt-25.12.5-r33000-x86-64-generic-kernel.bin";
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (other, b"kernel"), (ROOTFS, &packed())]);
    assert_eq!(lab.refused(), ("SUM004", Exit::Upstream, false));
}

#[test]
fn an_image_that_was_not_signed_for_is_not_unpacked() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, &packed())]);
    let path = lab.mirror.folder(RELEASE, TARGET).join(ROOTFS);
    let mut bytes = packed();
    bytes[20] ^= 1;
    std::fs::write(path, bytes).unwrap();
    assert_eq!(lab.refused(), ("DIG001", Exit::Mismatch, false));
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, b"signed, and no disk")]);
    assert_eq!(lab.refused(), ("SDK070", Exit::Upstream, false));
}

#[test]
fn an_image_of_another_kernel_than_the_packages_is_refused() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, &packed())]);
    let image = lab.guest().unwrap();
    assert_eq!(same_kernel(&image, &format!("6.12.94~{KERNEL_HASH}-r1")), Ok(()));
    let failure = same_kernel(&image, "6.12.95~0123456789abcdef0123456789abcdef-r1").unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("IMG002", Exit::Mismatch));
    assert!(failure.finding().why.contains("6.12.94~") && failure.finding().why.contains("6.12.95~"), "{failure}");
}

#[test]
fn a_run_that_was_killed_between_fetching_and_unpacking_is_gone_on_with() {
    let lab = Lab::new(&[(KERNEL_BIN, b"kernel"), (ROOTFS, &packed())]);
    let first = lab.guest().unwrap();
    // The state that a killed run left: downloads, and half a disk in the temporary folder.
    let beside = |ending: &str| Utf8PathBuf::from(format!("{}{ending}", first.folder));
    std::fs::remove_file(beside(".stamp")).unwrap();
    std::fs::rename(&first.folder, beside(".tmp")).unwrap();
    let disk = beside(".tmp").join(DISK);
    std::fs::set_permissions(&disk, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&disk, [0x51; 2048]).unwrap();
    std::fs::write(lab.mirror.folder(RELEASE, TARGET).join(ROOTFS), b"").unwrap();
    let second = lab.guest().unwrap();
    assert_eq!(second.folder, first.folder);
    assert_eq!(std::fs::read(first.folder.join(DISK)).unwrap(), [0x51; 4096]);
    assert!(!beside(".tmp").exists());
}

#[test]
fn a_refused_state_of_a_release_is_a_note() {
    let failure =
        Failure::of(Problem { exit: Exit::Blocked, id: "VM000", what: "what", why: "Length mismatch", fix: "fix" });
    let note = afresh("/c/guest".into(), &failure);
    assert_eq!((note.id, note.severity), ("IMG003", Severity::Note));
    assert!(note.to_string().contains("Length mismatch"));
}
