//! Devices that modules make: `ip link add type …`.

use std::fmt;

use serde::Deserialize;

/// A device of the router's that is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its kind, such as `wireguard`, `dummy`, `vxlan`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Further words for its kind.
    #[serde(default)]
    pub with: Vec<String>,
    /// Its address with the prefix length.
    pub address: Option<String>,
}

impl Link {
    pub(super) fn check(&self) -> Result<(), String> {
        let is_word =
            |text: &String| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"/'\"".contains(c));
        // The kernel takes 15 bytes.
        if !is_word(&self.name) || self.name.len() > 15 {
            return Err(format!("makes a device `{}`, which is no name of one", self.name));
        }
        if is_word(&self.kind) { Ok(()) } else { Err(format!("makes a device of type `{}`", self.kind)) }
    }

    /// The commands that make it and bring it up.
    pub fn commands(&self) -> Vec<Vec<&str>> {
        let Link { name, kind, with, address } = self;
        let make =
            ["ip", "link", "add", name, "type", kind].into_iter().chain(with.iter().map(String::as_str)).collect();
        let address = address.as_deref().map(|address| vec!["ip", "address", "add", address, "dev", name]);
        let up = vec!["ip", "link", "set", name, "up"];
        std::iter::once(make).chain(address).chain([up]).collect()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {} of type {}", self.name, self.kind)
    }
}
