//! What stand-ins are made of, by target: one row for each architecture of Debian that serves as a router.

use crate::cli::Kernel;

/// A target's stand-in.
#[derive(Debug)]
pub(super) struct Port {
    /// OpenWrt's target.
    pub(super) target: &'static str,
    /// OpenWrt's architecture of packages for it.
    pub(super) arch: &'static str,
    /// Debian's kernel: a meta package, of the same name in every suite.
    pub(super) kernel: &'static str,
    /// The suites that hold it, by kernel line.
    pub(super) suites: &'static [(Kernel, &'static str)],
    /// The suite that programs of the image come from, whatever its kernel is.
    pub(super) programs: &'static str,
}

/// All of them.
pub(super) const ALL: [Port; 1] = [Port {
    target: "x86/64",
    arch: "x86_64",
    kernel: "linux-image-amd64",
    suites: &[(Kernel::V6_12, "trixie"), (Kernel::V6_1, "bookworm"), (Kernel::Newest, "sid")],
    programs: "trixie",
}];
