//! What is booted as the router.

use camino::Utf8PathBuf;
use vm::guest::About;
use vm::openwrt::Wiring;
use vm::session::Image;

/// A router's image and what is known about it, for stand-in and release alike.
pub(super) struct Bootable {
    /// The image that QEMU boots.
    pub(super) image: Image,
    /// A small image with the same kernel, to find out quickly whether KVM runs it.
    pub(super) probe: Image,
    /// The folder of the kernel's stage.
    pub(super) kernel: Utf8PathBuf,
    /// The folder of the image's stage.
    pub(super) folder: Utf8PathBuf,
    /// Description of the router, for reports and scenarios.
    pub(super) about: About,
    /// The version of the package `kernel` that packages for it must depend on, if known.
    pub(super) kernel_version: Option<String>,
    /// How a booted router is configured for the lab; the stand-in's image already is.
    pub(super) wiring: Option<Wiring>,
}
