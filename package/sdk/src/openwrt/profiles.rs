//! `profiles.json`: what a release says about its images and its kernel.
//!
//! OpenWrt's `scripts/json_overview_image_info.py` writes it. Old lines have no `linux_kernel`, and targets without
//! device profiles have no file at all, so nothing here is required.

use std::collections::BTreeMap;

use model::{Digest, Exit, Failure, KernelId, Problem, Result};
use serde::Deserialize;

use super::sums::kernel_id;

/// The parts that we use.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Profiles {
    arch_packages: Option<String>,
    linux_kernel: Option<LinuxKernel>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Debug, Clone, Deserialize)]
struct LinuxKernel {
    version: String,
    release: String,
    vermagic: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Profile {
    #[serde(default)]
    images: Vec<Image>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Image {
    /// File name.
    pub(super) name: String,
    #[serde(rename = "type")]
    kind: String,
    filesystem: Option<String>,
    sha256: Option<String>,
    /// Size in bytes; since 25.12.
    pub(super) size: Option<u64>,
}

/// Root file systems that QEMU boots from a disk, the best first: a writable one needs no overlay.
const FILE_SYSTEMS: [&str; 2] = ["ext4", "squashfs"];

impl Profiles {
    /// Parses the file, whose digest was checked against the signed list.
    ///
    /// # Errors
    /// `PROF001` when it does not have this form.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::of(Problem {
                exit: Exit::Upstream,
                id: "PROF001",
                what: "profiles.json is not understood",
                why: error.to_string(),
                fix: "the file is genuine, so this program must be taught its new form",
            })
        })
    }

    /// The architecture, if given.
    pub(super) fn arch(&self) -> Option<&str> {
        self.arch_packages.as_deref()
    }

    /// The kernel, if given.
    pub(super) fn kernel(&self) -> Option<KernelId> {
        let LinuxKernel { version, release, vermagic } = self.linux_kernel.as_ref()?;
        kernel_id(version, vermagic, release)
    }

    /// The kernel to boot.
    pub(super) fn kernel_image(&self) -> Option<&Image> {
        self.only(|image| image.kind == "kernel" && image.filesystem.as_deref() != Some("initramfs"))
    }

    /// The kernel with a root file system inside.
    pub(super) fn initramfs(&self) -> Option<&Image> {
        self.only(|image| image.kind == "kernel" && image.filesystem.as_deref() == Some("initramfs"))
    }

    /// The root file system to boot.
    pub(super) fn rootfs(&self) -> Option<&Image> {
        self.disk("rootfs")
    }

    /// The disk that a PC's firmware boots.
    pub(super) fn combined(&self) -> Option<&Image> {
        self.disk("combined")
    }

    fn disk(&self, kind: &str) -> Option<&Image> {
        FILE_SYSTEMS.iter().find_map(|wanted| {
            self.only(|image| {
                image.kind == kind && image.filesystem.as_deref() == Some(wanted) && image.name.ends_with(".img.gz")
            })
        })
    }

    /// The size of a file, if given.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.images().find(|image| image.name == name)?.size
    }

    /// Whether an image's digest, if given, equals that in the signed list.
    pub(super) fn agrees(image: &Image, digest: Digest) -> bool {
        image.sha256.as_deref().is_none_or(|text| text.parse::<Digest>().is_ok_and(|told| told == digest))
    }

    /// The matching image, if there is exactly one; boards with many profiles have several.
    fn only(&self, wanted: impl Fn(&Image) -> bool) -> Option<&Image> {
        let mut images = self.images().filter(|image| wanted(image));
        let first = images.next()?;
        images.all(|other| other.name == first.name).then_some(first)
    }

    fn images(&self) -> impl Iterator<Item = &Image> {
        self.profiles.values().flat_map(|profile| &profile.images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn profiles(text: &str) -> Profiles {
        Profiles::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn images_are_told_apart_by_type_and_file_system() {
        let read = profiles(
            r#"{"arch_packages":"aarch64_generic","linux_kernel":{"version":"6.12.94","release":"1",
            "vermagic":"50daf8372d971124fb3519e8d87e02ae"},"metadata_version":1,
            "profiles":{"generic":{"images":[
              {"type":"combined-efi","filesystem":"ext4","name":"a-ext4-combined-efi.img.gz"},
              {"type":"kernel","filesystem":"initramfs","name":"a-initramfs-kernel.bin"},
              {"type":"kernel","name":"a-kernel.bin","size":9},
              {"type":"rootfs","filesystem":"squashfs","name":"a-squashfs-rootfs.img.gz"},
              {"type":"rootfs","filesystem":"ext4","name":"a-ext4-rootfs.img.gz"},
              {"type":"rootfs","filesystem":"targz","name":"a-targz-rootfs.tar.gz"}]}}}"#,
        );
        let name = |image: Option<&Image>| image.map(|image| image.name.clone()).unwrap_or_default();
        assert_eq!(name(read.kernel_image()), "a-kernel.bin");
        assert_eq!(name(read.initramfs()), "a-initramfs-kernel.bin");
        assert_eq!(name(read.rootfs()), "a-ext4-rootfs.img.gz");
        assert_eq!(read.combined(), None, "one for UEFI is another thing");
        assert_eq!((read.size("a-kernel.bin"), read.size("a")), (Some(9), None));
        assert_eq!(read.kernel().unwrap().package_version(), "6.12.94~50daf8372d971124fb3519e8d87e02ae-r1");
        assert_eq!(read.arch(), Some("aarch64_generic"));
    }

    #[test]
    fn what_is_not_told_or_told_twice_is_none() {
        let read = profiles(
            r#"{"profiles":{"a":{"images":[{"type":"kernel","name":"a"}]},"b":{"images":[{"type":"kernel","name":"b"}]}}}"#,
        );
        assert_eq!((read.kernel_image(), read.rootfs(), read.kernel(), read.arch()), (None, None, None, None));
        let odd = r#"{"linux_kernel":{"version":"6.12.94","release":"1","vermagic":"unknown"}}"#;
        assert_eq!(profiles(odd).kernel(), None);
        let failure = Profiles::parse(b"<html>").unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("PROF001", Exit::Upstream));
    }

    #[test]
    fn a_digest_that_is_told_must_be_that_of_the_list() {
        let image = |sha256: Option<String>| Image {
            name: "a".into(),
            kind: "kernel".into(),
            filesystem: None,
            sha256,
            size: None,
        };
        let digest = Digest::of("a");
        assert!(Profiles::agrees(&image(None), digest) && Profiles::agrees(&image(Some(digest.to_string())), digest));
        assert!(!Profiles::agrees(&image(Some(Digest::of("b").to_string())), digest));
        assert!(!Profiles::agrees(&image(Some(String::new())), digest));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Profiles::parse(&bytes).map(|read| (read.kernel(), read.rootfs().is_some()));
        }
    }
}
