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
    /// Name such as `kmod-nft-offload`; also the name of the recipe's file.
    pub package: String,
    /// Description in one line.
    pub title: String,
    /// Who gets the package.
    #[serde(default, rename = "for")]
    pub audience: Audience,
    /// The source that its modules are compiled from, if they are not the kernel's own.
    pub source: Option<Source>,
    /// Kernels that have it; on others it is not built, and nothing depends on it.
    #[serde(default)]
    pub kernel: Bounds,
    /// Options that the kernel must have.
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
    /// Other files in the package.
    #[serde(default)]
    pub files: Vec<TextFile>,
}

impl Kmod {
    /// The name without `kmod-`, which is the name of its file in `/etc/modules.d`.
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
    /// The module's option, if that is, or became, a plain yes or no: when it is set, the module's code is built in,
    /// although `modules.builtin` names only what could have been a module.
    pub option: Option<KernelOption>,
}

impl ModuleRef {
    /// Whether a kernel of this line should have the module.
    pub fn applies_to(&self, line: Line) -> bool {
        Bounds { since: self.since, before: self.before }.hold(line)
    }
}

/// How OpenWrt's `kmodloader` loads the modules: with a priority, in that order at boot; otherwise it probes them with
/// their dependencies afterwards (`AutoLoad` and `AutoProbe` in include/kernel.mk).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoload {
    /// 0 to 99; smaller ones are loaded first.
    pub priority: Option<u8>,
    /// Whether to load them before the root file system is set up, too (`/etc/modules-boot.d`).
    #[serde(default)]
    pub boot: bool,
}

/// A small file in a package, with mode 0644.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    /// Path without leading slash.
    pub path: String,
    /// Its content.
    pub text: String,
}
