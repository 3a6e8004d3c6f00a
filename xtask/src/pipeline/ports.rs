//! What stand-ins are made of, by target: one row for each architecture of Debian that serves as a router.

use crate::cli::Kernel;

/// The stand-in of a target.
#[derive(Debug)]
pub(super) struct Port {
    /// OpenWrt's name for the target.
    pub(super) target: &'static str,
    /// OpenWrt's package architecture.
    pub(super) arch: &'static str,
    /// Debian's name for the architecture.
    pub(super) debian: &'static str,
    /// What reports call the router.
    pub(super) label: &'static str,
    /// Debian's kernel: a meta package with the same name in every suite.
    pub(super) kernel: &'static str,
    /// The suites that have it, by kernel line; the default line first.
    pub(super) suites: &'static [(Kernel, &'static str)],
    /// The suite from which the image's programs come, whatever the kernel is.
    pub(super) programs: &'static str,
}

/// All kernel lines: Debian's stable, oldstable and unstable suites.
const EVERY_LINE: &[(Kernel, &str)] = &[(Kernel::V6_12, "trixie"), (Kernel::V6_1, "bookworm"), (Kernel::Newest, "sid")];

/// All stand-ins.
pub(super) const ALL: [Port; 4] = [
    Port {
        target: "x86/64",
        arch: "x86_64",
        debian: "amd64",
        label: "stand-in router",
        kernel: "linux-image-amd64",
        suites: EVERY_LINE,
        programs: "trixie",
    },
    Port {
        target: "armsr/armv8",
        arch: "aarch64_generic",
        debian: "arm64",
        label: "arm64 stand-in router",
        kernel: "linux-image-arm64",
        suites: EVERY_LINE,
        programs: "trixie",
    },
    Port {
        target: "armsr/armv7",
        arch: "arm_cortex-a15_neon-vfpv4",
        debian: "armhf",
        label: "armhf stand-in router",
        kernel: "linux-image-armmp",
        suites: EVERY_LINE,
        programs: "trixie",
    },
    // Debian 12 is the last with MIPS, and its kernel is for another board with the same instruction set.
    Port {
        target: "ramips/mt7621",
        arch: "mipsel_24kc",
        debian: "mipsel",
        label: "mipsel stand-in router (a malta board in place of mt7621)",
        kernel: "linux-image-4kc-malta",
        suites: &[(Kernel::V6_1, "bookworm")],
        programs: "bookworm",
    },
];
