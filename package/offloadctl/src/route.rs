//! Which device the kernel would use for a packet, asked by rtnetlink, with its mark and the device that it comes in through.
//!
//! Layouts are those of `linux/rtnetlink.h`.

use std::net::IpAddr;

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
const SOURCE: u16 = 2;
const IN_DEVICE: u16 = 3;
const OUT_DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const MARK: u16 = 16;
const PROTOCOL: u16 = 27;
const SOURCE_PORT: u16 = 28;
const DESTINATION_PORT: u16 = 29;
/// Protocols that a route can be asked for: TCP and UDP.
const WITH_PORTS: [u8; 2] = [6, 17];

/// A route towards an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// Number of the device.
    pub device: u32,
    /// The address is one of this machine.
    pub is_local: bool,
    /// The next router on the way.
    pub gateway: Option<IpAddr>,
}

/// A packet that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Where it goes.
    pub to: IpAddr,
    /// Where it comes from, and the number of the device that it comes in through; without, the router itself sends it.
    pub from: Option<(IpAddr, u32)>,
    /// Its mark.
    pub mark: u32,
    /// Its protocol, and the ports of sender and receiver, where they are known: rules may go by them.
    pub service: (u8, Option<u16>, Option<u16>),
}

/// Asks for the route to an address, of a packet that the router would send itself.
///
/// # Errors
/// What the kernel refused, for instance because there is no route; so for the other.
pub fn towards(address: IpAddr) -> Result<Route, Trouble> {
    ask(Asked { to: address, from: None, mark: 0, service: (0, None, None) })
}

/// Asks for the route of a packet.
pub fn ask(asked: Asked) -> Result<Route, Trouble> {
    let mut found = Route::default();
    socket::ask::<Trouble>(Subsystem::Route, request(asked), |message| {
        found = route(message)?;
        Ok(())
    })?;
    Ok(found)
}

fn request(asked: Asked) -> Request {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (family, bits) = if asked.to.is_ipv4() { (2, 32) } else { (10, 128) };
    let mut header = [0; HEADER];
    header[0] = family;
    header[1] = bits;
    if asked.from.is_some() {
        header[2] = bits;
    }
    let mut request = Request::one(GET_ROUTE, &header).with(DESTINATION, &bytes(asked.to));
    if let Some((source, device)) = asked.from {
        request = request.with(SOURCE, &bytes(source)).with(IN_DEVICE, &device.to_ne_bytes());
    }
    let (protocol, source_port, destination_port) = asked.service;
    if WITH_PORTS.contains(&protocol) {
        request = request.with(PROTOCOL, &[protocol]);
        for (kind, port) in [(SOURCE_PORT, source_port), (DESTINATION_PORT, destination_port)] {
            if let Some(port) = port {
                request = request.with(kind, &port.to_be_bytes());
            }
        }
    }
    request.with(MARK, &asked.mark.to_ne_bytes())
}

/// Reads one `RTM_NEWROUTE`.
///
/// # Errors
/// A length that does not fit.
pub fn route(message: &Message<'_>) -> Result<Route, Malformed> {
    let (header, rest) = message.payload.split_at_checked(HEADER).ok_or(Malformed)?;
    let mut route = Route { is_local: header.get(TYPE) == Some(&TYPE_LOCAL), ..Route::default() };
    for found in attributes(rest) {
        let found = found?;
        match found.kind {
            OUT_DEVICE => route.device = found.native_u32()?,
            GATEWAY => route.gateway = address(found.value),
            _ => {}
        }
    }
    Ok(route)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
