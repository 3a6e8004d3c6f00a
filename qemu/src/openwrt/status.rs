//! What `ubus call network.interface.NAME status` says, as far as it matters: netifd's own view of an interface.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;

/// An interface of netifd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Status {
    /// Configured, and with its link.
    up: bool,
    #[serde(default, rename = "ipv4-address")]
    ipv4: Vec<Address>,
    #[serde(default, rename = "ipv6-address")]
    ipv6: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Address {
    address: IpAddr,
    mask: u8,
}

impl Status {
    /// Reads the answer; `None` when it is not the JSON of `ubus`.
    pub(super) fn parse(answer: &str) -> Option<Status> {
        serde_json::from_str(answer).ok()
    }

    /// Whether the interface is up and has all these addresses, given with their prefix length.
    pub(super) fn has<'a>(&self, mut wanted: impl Iterator<Item = &'a String>) -> bool {
        let own: BTreeSet<String> = self.addresses().collect();
        self.up && wanted.all(|address| own.contains(address))
    }

    fn addresses(&self) -> impl Iterator<Item = String> {
        self.ipv4.iter().chain(&self.ipv6).map(|Address { address, mask }| format!("{address}/{mask}"))
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<String> = self.addresses().collect();
        write!(f, "{}, addresses: {}", if self.up { "up" } else { "not up" }, addresses.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_its_addresses_when_it_is_up() {
        let text = |up: bool| {
            format!(
                r#"{{"up":{up},"pending":false,"l3_device":"br-lan","proto":"static",
                "ipv4-address":[{{"address":"192.168.1.1","mask":24}}],
                "ipv6-address":[{{"address":"2001:db8:1::1","mask":64}}],"route":[]}}"#
            )
        };
        let wanted: Vec<String> = ["192.168.1.1/24", "2001:db8:1::1/64"].map(Into::into).into();
        let status = Status::parse(&text(true)).unwrap();
        assert!(status.has(wanted.iter()));
        assert_eq!(status.to_string(), "up, addresses: 192.168.1.1/24 2001:db8:1::1/64");
        assert!(!Status::parse(&text(false)).unwrap().has(wanted.iter()));
        assert!(!status.has(["192.168.1.1/16".to_owned()].iter()));
        let bare = Status::parse(r#"{"up":true}"#).unwrap();
        assert!(!bare.has(wanted.iter()) && bare.has([].iter()));
        assert_eq!(Status::parse("Command failed: Not found"), None);
    }
}
