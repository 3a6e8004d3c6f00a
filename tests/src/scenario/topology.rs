//! What surrounds the router, and times as scenario files write them.

use std::time::Duration;

use serde::Deserialize;
use vm::lab::Plan;

/// The two hosts around the router, where they differ from the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Topology {
    /// Whether the WAN host knows a way back to the LAN. Without one, it answers only what the router translated.
    #[serde(default)]
    pub routed: bool,
    /// The LAN host.
    #[serde(default)]
    pub lan: Host,
    /// The WAN host.
    #[serde(default)]
    pub wan: Host,
}

/// One of the two hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// Largest IP packet in bytes [default: 1500].
    pub mtu: Option<usize>,
    /// The VLAN that all its frames belong to.
    pub vlan: Option<u16>,
}

impl Topology {
    /// The lab's plan.
    pub fn plan(&self) -> Plan {
        let mut plan = if self.routed { Plan::routed() } else { Plan::masquerade() };
        for (host, wanted) in [(&mut plan.lan, &self.lan), (&mut plan.wan, &self.wan)] {
            host.mtu = wanted.mtu.unwrap_or(host.mtu);
            host.vlan = wanted.vlan;
        }
        plan
    }
}

/// A time, written as `10s` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Whole seconds.
    pub fn of(seconds: u64) -> Self {
        Seconds(Duration::from_secs(seconds))
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = if let Some(number) = text.strip_suffix("ms") {
            number.parse().ok().map(Duration::from_millis)
        } else {
            text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs)
        };
        time.map(Seconds).ok_or_else(|| format!("`{text}` is no time; write `10s` or `500ms`"))
    }
}
