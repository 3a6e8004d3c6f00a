//! Whether a device's driver offers the feature `hw-tc-offload`, asked by ethtool's netlink.
//!
//! The feature is what drivers announce. OpenWrt's firewall does not ask for it, but tries whether the kernel takes a flowtable
//! with the flag, which OpenWrt's own kernels do on any device. Whether a driver takes a given flow shows only when it is asked
//! to. Numbers are those of `linux/genetlink.h` and `linux/ethtool_netlink.h`.

use crate::netlink::{Attribute, Attributes, Malformed, Message, NESTED, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY` in `struct genlmsghdr`: command, version, two reserved bytes.
const CONTROL: u16 = 0x10;
const GET_FAMILY: [u8; HEADER] = [3, 1, 0, 0];
/// `ETHTOOL_MSG_FEATURES_GET`.
const GET_FEATURES: [u8; HEADER] = [11, 1, 0, 0];
const HEADER: usize = 4;

/// The feature, as `ethtool -k` calls it.
const FEATURE: &str = "hw-tc-offload";

mod attribute {
    //! Attribute numbers by the message or attribute that holds them.
    pub(super) const FAMILY_ID: u16 = 1;
    pub(super) const FAMILY_NAME: u16 = 2;
    pub(super) const FEATURES_HEADER: u16 = 1;
    pub(super) const FEATURES_POSSIBLE: u16 = 2;
    pub(super) const FEATURES_ACTIVE: u16 = 4;
    pub(super) const FEATURES_FIXED: u16 = 5;
    pub(super) const HEADER_DEVICE: u16 = 2;
    pub(super) const BITSET_IS_LIST: u16 = 1;
    pub(super) const BITSET_BITS: u16 = 3;
    pub(super) const BIT_NAME: u16 = 2;
    pub(super) const BIT_IS_SET: u16 = 3;
}

/// What a driver says about hardware offload, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// It is able to, and ready.
    On,
    /// It is able to, and switched off.
    Off,
    /// It is not able to.
    No,
}

impl Capability {
    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            Capability::On => "on",
            Capability::Off => "off",
            Capability::No => "no",
        }
    }
}

/// Capabilities of all devices of this network namespace, by name.
///
/// # Errors
/// What the kernel refused; kernels before 5.7 or without `CONFIG_ETHTOOL_NETLINK` have no such interface.
pub fn capabilities() -> Result<Vec<(String, Capability)>, Trouble> {
    let mut family = None;
    let request = Request::one(CONTROL, &GET_FAMILY).with(attribute::FAMILY_NAME, b"ethtool\0");
    socket::ask::<Trouble>(Subsystem::Generic, request, |message| {
        for found in inside(message)? {
            let found = found?;
            if found.kind == attribute::FAMILY_ID {
                family = Some(found.native_u16()?);
            }
        }
        Ok(())
    })?;
    let request =
        Request::dump(family.ok_or(Trouble::NotThere)?, &GET_FEATURES).with(attribute::FEATURES_HEADER | NESTED, &[]);
    let mut devices = Vec::new();
    socket::ask::<Trouble>(Subsystem::Generic, request, |message| {
        devices.push(capability(message)?);
        Ok(())
    })?;
    Ok(devices)
}

/// Reads one `ETHTOOL_MSG_FEATURES_GET_REPLY`: the device and what it says.
///
/// # Errors
/// A length that does not fit.
pub fn capability(message: &Message<'_>) -> Result<(String, Capability), Malformed> {
    let mut device = String::new();
    let (mut possible, mut active, mut fixed) = (false, false, false);
    for found in inside(message)? {
        let found = found?;
        match found.kind {
            attribute::FEATURES_HEADER => {
                for field in found.nested() {
                    let field = field?;
                    if field.kind == attribute::HEADER_DEVICE {
                        device = field.text();
                    }
                }
            }
            attribute::FEATURES_POSSIBLE => possible = has_feature(&found)?,
            attribute::FEATURES_ACTIVE => active = has_feature(&found)?,
            attribute::FEATURES_FIXED => fixed = has_feature(&found)?,
            _ => {}
        }
    }
    let capability = match (active, possible && !fixed) {
        (true, _) => Capability::On,
        (false, true) => Capability::Off,
        (false, false) => Capability::No,
    };
    Ok((device, capability))
}

fn inside<'a>(message: &Message<'a>) -> Result<Attributes<'a>, Malformed> {
    Ok(attributes(message.payload.get(HEADER..).ok_or(Malformed)?))
}

/// Whether [`FEATURE`] is in a set. A set is a list of its members, or one of all bits with a mark on its members.
fn has_feature(set: &Attribute<'_>) -> Result<bool, Malformed> {
    let (mut is_list, mut listed, mut marked) = (false, false, false);
    for part in set.nested() {
        let part = part?;
        match part.kind {
            attribute::BITSET_IS_LIST => is_list = true,
            attribute::BITSET_BITS => {
                for bit in part.nested() {
                    let (mut named, mut set) = (false, false);
                    for field in bit?.nested() {
                        let field = field?;
                        match field.kind {
                            attribute::BIT_NAME => named = field.text() == FEATURE,
                            attribute::BIT_IS_SET => set = true,
                            _ => {}
                        }
                    }
                    listed |= named;
                    marked |= named && set;
                }
            }
            _ => {}
        }
    }
    Ok(if is_list { listed } else { marked })
}
