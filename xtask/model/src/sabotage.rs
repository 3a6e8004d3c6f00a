//! The ways in which a suite breaks offload to test itself.

/// A way to break offload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Sabotage {
    /// Flowtables lose all their devices: flows may be marked as offloaded, but none takes the fast path.
    NoFastPath,
    /// Flowtables lose all devices but one.
    OneDevice,
    /// Established flows are accepted before they reach any `flow add`.
    AcceptFirst,
    /// The card keeps its hardware rules, but still hands every frame to the router.
    NoHardware,
}

impl Sabotage {
    /// Every way, in the order of messages.
    pub const ALL: [Sabotage; 4] =
        [Sabotage::NoFastPath, Sabotage::OneDevice, Sabotage::AcceptFirst, Sabotage::NoHardware];

    /// The word on the command line and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Sabotage::NoFastPath => "no-fast-path",
            Sabotage::OneDevice => "one-device",
            Sabotage::AcceptFirst => "accept-first",
            Sabotage::NoHardware => "no-hardware",
        }
    }
}
