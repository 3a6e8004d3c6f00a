//! An FTP session: two flows that belong together, which a router's helper finds out from what is said.

use std::net::IpAddr;

use serde::Deserialize;

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

/// Who opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FtpMode {
    /// The server, from the WAN.
    Active,
    /// The client, from the LAN.
    Passive,
}
