//! What the connection table must say of a flow.

use std::fmt;

use serde::Deserialize;

use super::flows::Flows;
use crate::scenario::topology::Seconds;

/// What must become true of a flow's conntrack entry, in time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expected {
    /// The flow, which may have been closed.
    pub flow: String,
    /// Whether it carries an offload mark. Necessary for offload, never sufficient.
    pub offload: Option<bool>,
    /// Whether that is the one of hardware offload.
    pub hardware: Option<bool>,
    /// Its state, such as `ESTABLISHED`, `TIME_WAIT`, `CLOSE`; an offloaded flow shows none.
    pub state: Option<String>,
    /// Whether there is an entry at all.
    pub gone: Option<bool>,
    /// What its counters say of the packets that arrived since the flow was opened.
    pub counts: Option<Counts>,
    /// How long it may take until all of this holds.
    #[serde(default = "usual_patience")]
    pub within: Seconds,
}

impl Expected {
    pub(super) fn check(&self, flows: &Flows) -> Result<(), String> {
        if !flows.is_known(&self.flow) {
            return Err(format!("asks for `{}`, which was never opened", self.flow));
        }
        let asks = self.offload.is_some() || self.hardware.is_some() || self.state.is_some() || self.counts.is_some();
        if asks == (self.gone == Some(true)) {
            return Err("asks nothing of conntrack, or of an entry that must be gone".into());
        }
        Ok(())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conntrack of {}", self.flow)
    }
}

fn usual_patience() -> Seconds {
    Seconds::of(10)
}

/// What conntrack's counters may say of the packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// All of them: datagrams to the byte; TCP, whose segments the kernel may merge, between payload and wire.
    All,
    /// Those of the slow path only: the counters stand still while the fast path works.
    SlowOnly,
}
