//! An FTP session: two flows that belong together, which a router's helper finds out from what is said.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use super::flows::Flows;
use crate::scenario::flow::Proto;

/// Logs the LAN host in at the WAN host and opens a data connection. Both are flows for later steps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FtpPlan {
    /// The name of the control connection, to port 21 of the WAN host.
    pub control: String,
    /// The name of the data connection.
    pub data: String,
    /// Who opens the data connection.
    pub mode: FtpMode,
    /// The address that the other end must hear on the control connection: the router's own, where its helper has
    /// to rewrite it.
    pub announced: Option<IpAddr>,
}

impl FtpPlan {
    pub(super) fn check(&self, flows: &mut Flows) -> Result<(), String> {
        [&self.control, &self.data].into_iter().try_for_each(|flow| flows.open(flow, Proto::Tcp))
    }
}

impl fmt::Display for FtpPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open FTP {} and {}", self.control, self.data)
    }
}

/// Who opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FtpMode {
    /// The server, from the WAN.
    Active,
    /// The client, from the LAN.
    Passive,
}
