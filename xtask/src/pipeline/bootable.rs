//! What is booted.

use camino::Utf8PathBuf;
use vm::guest::About;
use vm::openwrt::Wiring;
use vm::session::Image;

/// What is booted, of either kind.
pub(super) struct Bootable {
    /// What QEMU runs.
    pub(super) image: Image,
    /// What tells soon whether KVM runs its kernel.
    pub(super) probe: Image,
    /// The stage that the kernel is of.
    pub(super) kernel: Utf8PathBuf,
    /// The stage that the image is of.
    pub(super) folder: Utf8PathBuf,
    /// What it is, for reports and scenarios.
    pub(super) about: About,
    /// The version of the package `kernel` that packages for it must depend on, where that is known.
    pub(super) kernel_version: Option<String>,
    /// How a booted one becomes the router of the lab; the stand-in is that already.
    pub(super) wiring: Option<Wiring>,
}
