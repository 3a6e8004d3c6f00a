//! Which port of a bridge leads to a host: its link address, and the port at which the bridge learned it.

use std::net::IpAddr;

use super::NET;
use crate::files::Files;
use crate::netlink::{Malformed, Message, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};

/// `RTM_GETNEIGH`, and the bytes of `struct ndmsg`.
const GET_NEIGHBOURS: u16 = 30;
const HEADER: usize = 12;
const ADDRESS: u16 = 1;
const LINK_ADDRESS: u16 = 2;
/// Bytes of `struct __fdb_entry`; the link address comes first, then the port's number.
const ENTRY: usize = 16;
const LINK_BYTES: usize = 6;

/// The link address of a neighbour, where it is known.
pub fn link_address(address: IpAddr) -> Option<Vec<u8>> {
    let (family, wanted) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    };
    let mut header = [0; HEADER];
    header[0] = family;
    let mut found = None;
    let asked = socket::ask::<Trouble>(Subsystem::Route, Request::dump(GET_NEIGHBOURS, &header), |message| {
        let (address, link) = neighbour(message)?;
        if address == wanted && link.len() == LINK_BYTES {
            found = Some(link);
        }
        Ok(())
    });
    asked.ok()?;
    found
}

/// Reads one `RTM_NEWNEIGH`: its address and its link address.
fn neighbour(message: &Message<'_>) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let (_, rest) = message.payload.split_at_checked(HEADER).ok_or(Malformed)?;
    let (mut address, mut link) = (Vec::new(), Vec::new());
    for found in attributes(rest) {
        let found = found?;
        match found.kind {
            ADDRESS => address = found.value.to_vec(),
            LINK_ADDRESS => link = found.value.to_vec(),
            _ => {}
        }
    }
    Ok((address, link))
}

/// The port of a bridge behind which a link address was seen.
pub fn port_behind(files: &Files, bridge: &str, link: &[u8]) -> Option<String> {
    let table = files.bytes(&format!("{NET}/{bridge}/brforward")).ok()?;
    let entry = table.chunks_exact(ENTRY).find(|entry| entry.starts_with(link))?;
    let number = u32::from(*entry.get(LINK_BYTES)?) | u32::from(*entry.get(ENTRY - 4)?) << 8;
    files.names(&format!("{NET}/{bridge}/brif")).into_iter().find(|port| {
        let text = files.read_or_empty(&format!("{NET}/{bridge}/brif/{port}/port_no"));
        text.trim().strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()) == Some(number)
    })
}
