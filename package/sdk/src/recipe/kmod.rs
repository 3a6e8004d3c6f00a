//! Kernel module packages.

use serde::Deserialize;

use super::kernel::{Bounds, KernelOption, Line};
use super::source::Source;
use super::{Audience, KMOD};

/// A kernel module package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kmod {
    #[serde(rename = "version")]
    _version: u32,
    /// Such as `kmod-nft-offload`; also the file's name.
    pub package: String,
    /// What it is for, one line.
    pub title: String,
    /// Whom it is for.
    #[serde(default, rename = "for")]
    pub audience: Audience,
    /// Where its modules are compiled from, if they are none of the kernel's own.
    pub source: Option<Source>,
    /// Kernels that have it; on others it is not built, and nothing depends on it.
    #[serde(default)]
    pub kernel: Bounds,
    /// Options that the kernel must have been built with.
    #[serde(default)]
    pub kconfig: Vec<KernelOption>,
    /// Its modules.
    #[serde(default)]
    pub modules: Vec<ModuleRef>,
    /// Why it may have no module at all.
    pub empty: Option<String>,
    /// Other kmods that it needs.
    #[serde(default)]
    pub depends: Vec<String>,
    /// When its modules are loaded.
    #[serde(default)]
    pub autoload: Autoload,
    /// Further files.
    #[serde(default)]
    pub files: Vec<TextFile>,
}

impl Kmod {
    /// The name without `kmod-`: the file in `/etc/modules.d`.
    pub fn short_name(&self) -> &str {
        self.package.strip_prefix(KMOD).unwrap_or(&self.package)
    }
}

/// A module and the kernels that have it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleRef {
    /// File name without `.ko`.
    pub name: String,
    /// First kernel that has it as a module, such as `5.13`.
    pub since: Option<Line>,
    /// First kernel that no longer has it.
    pub before: Option<Line>,
    /// The option behind it, where that is or became a plain yes or no: when set, the module's code is part
    /// of the kernel, though `modules.builtin` names only what could have been a module.
    pub option: Option<KernelOption>,
}

impl ModuleRef {
    /// Whether a kernel is meant to have it.
    pub fn applies_to(&self, line: Line) -> bool {
        Bounds { since: self.since, before: self.before }.hold(line)
    }
}

/// How OpenWrt's `kmodloader` treats the modules: with a priority in that order at boot, otherwise
/// probed with their dependencies after those (`AutoLoad` and `AutoProbe` of include/kernel.mk).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoload {
    /// 0 to 99; smaller is earlier.
    pub priority: Option<u8>,
    /// Also before the root file system is set up (`/etc/modules-boot.d`).
    #[serde(default)]
    pub boot: bool,
}

/// A small file that a package brings, mode 0644.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    /// Path without leading slash.
    pub path: String,
    /// Its content.
    pub text: String,
}
