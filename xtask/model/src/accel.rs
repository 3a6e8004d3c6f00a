//! How a guest's instructions are run.

use serde::{Deserialize, Serialize};

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// Emulated: works everywhere.
    Tcg,
    /// Emulated, with a clock that counts instructions: each takes the guest one nanosecond, and idle time
    /// none. Two runs without input are the same to the instruction; they take two to three times as long.
    Counted,
    /// By the host's CPU.
    Kvm,
}

impl Accel {
    /// QEMU's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Accel::Tcg | Accel::Counted => "tcg",
            Accel::Kvm => "kvm",
        }
    }
}

/// What the user asked for; an [`Accel`] comes of it once it is known whether KVM works.
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
