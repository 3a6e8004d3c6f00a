//! The kernel that a module package belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identity of a kernel build; package managers check nothing else to decide whether a module fits.
///
/// OpenWrt writes it as `version~hash-rN` in `kernel (=…)`, since 24.10 (`include/kernel.mk`). The hash is the md5 over
/// the sorted `=y` and `=m` lines of the kernel configuration (`include/kernel-defaults.mk`); it is not the kernel's
/// own vermagic string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KernelId {
    /// The kernel's version, such as `6.12.94`.
    pub version: String,
    /// The hash: 32 lower-case hex digits.
    pub config_hash: String,
    /// The package release, the number after `-r`.
    pub release: u32,
}

impl KernelId {
    /// Version of the virtual package `kernel`: `version~hash-rN`.
    pub fn package_version(&self) -> String {
        format!("{}~{}-r{}", self.version, self.config_hash, self.release)
    }

    /// Version of a kmod built from the kernel's own tree: `version-rN`.
    pub fn kmod_version(&self) -> String {
        format!("{}-r{}", self.version, self.release)
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package_version())
    }
}
