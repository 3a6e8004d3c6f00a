//! How a guest's instructions are run.

use serde::{Deserialize, Serialize};

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// Emulated: works everywhere.
    Tcg,
    /// Emulated, with a clock that counts instructions: each takes one nanosecond of guest time, and idling takes none.
    /// Two runs without input are the same to the instruction; they take two to three times as long.
    Counted,
    /// Run by the host's CPU.
    Kvm,
}

impl Accel {
    /// QEMU's name for it (`-accel`).
    pub fn word(self) -> &'static str {
        match self {
            Accel::Tcg | Accel::Counted => "tcg",
            Accel::Kvm => "kvm",
        }
    }
}

/// What the user asked for; it becomes an [`Accel`] once it is known whether KVM works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum WantedAccel {
    /// KVM where it works, else emulation.
    Auto,
    /// KVM, or fail.
    Kvm,
    /// Emulation.
    Tcg,
}
