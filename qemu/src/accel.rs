//! stub

use serde::{Deserialize, Serialize};

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// Emulated: works everywhere.
    Tcg,
    /// By the host's CPU.
    Kvm,
}

impl Accel {
    /// QEMU's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Accel::Tcg => "tcg",
            Accel::Kvm => "kvm",
        }
    }
}
