//! Upgrades of the system: `sysupgrade`.

use std::fmt;

use serde::Deserialize;

/// What the router has after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sysupgrade {
    /// Its image alone, and the files that `sysupgrade -l` names.
    KeepsFiles,
}

impl fmt::Display for Sysupgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sysupgrade, which keeps files")
    }
}
