//! What rules look at in a packet. What is not known makes a condition on it hold perhaps.

use std::net::IpAddr;

use crate::conntrack::{Direction, Flow, STATUS_REPLIED};

/// `ct state established`.
pub const STATE_ESTABLISHED: u32 = 2;
/// `ct state new`.
pub const STATE_NEW: u32 = 8;

/// A device by number and name.
pub type Named = (u32, String);

/// A packet at some hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// `NFPROTO_IPV4` 2 or `NFPROTO_IPV6` 10.
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Sender, as it is at the hook.
    pub source: Option<IpAddr>,
    /// Receiver, as it is at the hook.
    pub destination: Option<IpAddr>,
    /// Ports of the sender and of the receiver.
    pub ports: (Option<u16>, Option<u16>),
    /// Devices that it comes in and goes out through: number and name.
    pub devices: (Option<Named>, Option<Named>),
    /// The connection's state as a bit of `ct state`.
    pub state: u32,
    /// The connection's status bits.
    pub status: Option<u32>,
    /// The connection's mark.
    pub connection_mark: Option<u32>,
    /// Its own mark.
    pub mark: Option<u32>,
    /// It goes against the direction in which the connection began.
    pub is_back: Option<bool>,
    /// Both directions of its connection, where that is known.
    pub directions: Option<[Direction; 2]>,
}

impl Packet {
    /// A packet of a flow, as it comes in, in the direction in which that began or back.
    pub fn arriving(flow: &Flow, back: bool) -> Packet {
        let direction = if back { flow.reply } else { flow.original };
        Packet {
            family: direction.source.map_or(0, family),
            protocol: flow.protocol,
            source: direction.source,
            destination: direction.destination,
            ports: (direction.source_port, direction.destination_port),
            devices: (None, None),
            state: if flow.details.status & STATUS_REPLIED != 0 { STATE_ESTABLISHED } else { STATE_NEW },
            status: Some(flow.details.status),
            connection_mark: Some(flow.details.mark),
            mark: Some(0),
            is_back: Some(back),
            directions: Some([flow.original, flow.reply]),
        }
    }

    pub(super) fn meta(&self, key: u32) -> Option<Vec<u8>> {
        let name = |device: &Option<Named>| {
            let mut bytes = device.as_ref()?.1.clone().into_bytes();
            bytes.resize(16, 0);
            Some(bytes)
        };
        let number = |device: &Option<Named>| device.as_ref().map(|(number, _)| number.to_ne_bytes().to_vec());
        match key {
            1 => Some(if self.family == 2 { vec![8, 0] } else { vec![0x86, 0xdd] }),
            3 => self.mark.map(|mark| mark.to_ne_bytes().into()),
            4 => number(&self.devices.0),
            5 => number(&self.devices.1),
            6 => name(&self.devices.0),
            7 => name(&self.devices.1),
            15 => Some(vec![self.family]),
            16 => Some(vec![self.protocol]),
            _ => None,
        }
    }

    pub(super) fn connection(&self, key: u32, direction: Option<u8>) -> Option<Vec<u8>> {
        let side = |direction: Option<u8>| self.directions.as_ref()?.get(usize::from(direction?));
        // Without a direction both are counted.
        let counted = |count: fn(&Direction) -> Option<u64>| match direction {
            Some(_) => count(side(direction)?),
            None => self.directions?.iter().map(count).sum(),
        };
        match key {
            0 => Some(self.state.to_ne_bytes().into()),
            1 => self.is_back.map(|back| vec![back.into()]),
            2 => self.status.map(|status| status.to_ne_bytes().into()),
            3 => self.connection_mark.map(|mark| mark.to_ne_bytes().into()),
            8 | 19 | 21 => bytes(side(direction)?.source?),
            9 | 20 | 22 => bytes(side(direction)?.destination?),
            10 => Some(vec![self.protocol]),
            11 => side(direction)?.source_port.map(|port| port.to_be_bytes().into()),
            12 => side(direction)?.destination_port.map(|port| port.to_be_bytes().into()),
            14 => counted(|side| Some(side.counters?.packets)).map(|number| number.to_ne_bytes().into()),
            15 => counted(|side| Some(side.counters?.bytes)).map(|number| number.to_ne_bytes().into()),
            _ => None,
        }
    }

    pub(super) fn header(&self, base: u32, offset: u32, length: u32) -> Option<Vec<u8>> {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        let start = if self.family == 2 { 12 } else { 8 };
        if (base, self.family, offset, length) == (1, 2, 9, 1) {
            return Some(vec![self.protocol]);
        }
        let size = if self.family == 2 { 4 } else { 16 };
        let (start, parts) = match base {
            1 => (start, [self.source.and_then(bytes), self.destination.and_then(bytes)]),
            2 => (0, <[_; 2]>::from(self.ports).map(|port| port.map(|port| port.to_be_bytes().to_vec()))),
            _ => return None,
        };
        let size = if base == 2 { 2 } else { size };
        let mut known = Vec::new();
        for part in parts {
            match part {
                Some(part) => known.extend(part.into_iter().map(Some)),
                None => known.extend(std::iter::repeat_n(None, size)),
            }
        }
        let from = offset.checked_sub(start)?;
        known.get(from..from + length)?.iter().copied().collect()
    }
}

/// `NFPROTO_*` of an address.
pub fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

#[allow(clippy::unnecessary_wraps, reason = "as the others, for what may not be known")]
fn bytes(address: IpAddr) -> Option<Vec<u8>> {
    Some(match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}
