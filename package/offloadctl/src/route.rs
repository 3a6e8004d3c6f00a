//! Which device the kernel would use towards an address, asked by rtnetlink; and what lies below a device.
//!
//! Layouts are those of `linux/rtnetlink.h`, kinds of devices those of `linux/if_arp.h`.

use std::net::IpAddr;

use crate::files::Files;
use crate::netlink::{Malformed, Message, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};

/// `RTM_GETROUTE`.
const GET_ROUTE: u16 = 26;
/// Bytes of `struct rtmsg`.
const HEADER: usize = 12;
/// Where in it the type of the route stands, and the type of addresses of this machine (`RTN_LOCAL`).
const TYPE: usize = 7;
const TYPE_LOCAL: u8 = 2;
const DESTINATION: u16 = 1;
const OUT_DEVICE: u16 = 4;
/// Devices on devices on devices: deeper than anybody stacks them.
const DEEPEST: usize = 8;
/// `ARPHRD_PPP`: the device below is known to the daemon only.
const KIND_PPP: u32 = 512;

/// A route towards an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// Number of the device.
    pub device: u32,
    /// The address is one of this machine.
    pub is_local: bool,
}

/// A device and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Devices below it: ports of a bridge, the carrier of a VLAN.
    pub below: Vec<String>,
    /// It is a PPP session, whose carrier the kernel does not tell.
    pub is_ppp: bool,
}

/// Asks for the route to an address.
///
/// # Errors
/// What the kernel refused, for instance because there is no route.
pub fn towards(address: IpAddr) -> Result<Route, Trouble> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    };
    let mut header = [0; HEADER];
    header[0] = family;
    header[1] = if family == 2 { 32 } else { 128 };
    let mut found = Route::default();
    socket::ask::<Trouble>(Subsystem::Route, Request::one(GET_ROUTE, &header).with(DESTINATION, &bytes), |message| {
        found = route(message)?;
        Ok(())
    })?;
    Ok(found)
}

/// Reads one `RTM_NEWROUTE`.
///
/// # Errors
/// A length that does not fit.
pub fn route(message: &Message<'_>) -> Result<Route, Malformed> {
    let (header, rest) = message.payload.split_at_checked(HEADER).ok_or(Malformed)?;
    let mut route = Route { device: 0, is_local: header.get(TYPE) == Some(&TYPE_LOCAL) };
    for found in attributes(rest) {
        let found = found?;
        if found.kind == OUT_DEVICE {
            route.device = found.native_u32()?;
        }
    }
    Ok(route)
}

/// The name of a device with this number.
pub fn device_name(files: &Files, number: u32) -> Option<String> {
    let number = number.to_string();
    let mut names = files.names("/sys/class/net").into_iter();
    names.find(|name| files.read_or_empty(&format!("/sys/class/net/{name}/ifindex")).trim() == number)
}

/// Whether a device is a PPP session.
pub fn is_ppp(files: &Files, name: &str) -> bool {
    files.read_or_empty(&format!("/sys/class/net/{name}/type")).trim().parse() == Ok(KIND_PPP)
}

/// Finds a device by its number.
pub fn device(files: &Files, number: u32) -> Option<Device> {
    let name = device_name(files, number)?;
    let mut below = Vec::new();
    add_below(files, &name, DEEPEST, &mut below);
    Some(Device { is_ppp: is_ppp(files, &name), name, below })
}

fn add_below(files: &Files, name: &str, depth: usize, below: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let mut links = files.names(&format!("/sys/class/net/{name}"));
    links.sort();
    for lower in links.iter().filter_map(|link| link.strip_prefix("lower_")) {
        below.push(lower.to_owned());
        add_below(files, lower, depth, below);
    }
}
