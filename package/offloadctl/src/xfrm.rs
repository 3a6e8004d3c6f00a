//! IPsec policies, as far as it takes to say whether packets that the router sends on are encrypted.
//!
//! The layout is that of `struct xfrm_userpolicy_info` of `linux/xfrm.h`, with attributes behind it. Only policies for
//! packets that leave are of interest: the kernel looks them up for each packet that it forwards, and what it decrypts
//! comes from those that the other gateway has.

use std::net::IpAddr;

use crate::files::Files;
use crate::modules::Known;
use crate::netlink::{Malformed, Message, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};
use crate::trace::Packet;

/// The module that answers. Programs that configure IPsec have it loaded.
const MODULE: &str = "xfrm_user";
/// `XFRM_MSG_GETPOLICY`.
const GET_POLICIES: u16 = 0x15;
/// Bytes of `struct xfrm_userpolicy_info`, which begins with the 56 bytes of `struct xfrm_selector`. Numbers of eight bytes
/// are aligned to four on 32-bit x86 alone.
const INFO: usize = if cfg!(target_arch = "x86") { 164 } else { 168 };
/// Where things stand in the selector: the addresses' family, the bits of theirs that count, the protocol.
const FAMILY: usize = 40;
const PREFIXES: usize = 42;
const PROTOCOL: usize = 44;
/// Where in it the ports stand, each followed by its mask.
const DESTINATION_PORT: usize = 32;
const SOURCE_PORT: usize = 36;
const SOURCE: usize = 16;
/// After the selector, limits and times.
const PRIORITY: usize = 152;
const DIRECTION: usize = 160;
/// `XFRM_POLICY_OUT`.
const DIRECTION_OUT: u8 = 1;
/// `XFRMA_TMPL`: how to transform packets. A policy without it lets them pass as they are, or drops them.
const TEMPLATES: u16 = 5;
/// `XFRMA_MARK`, `XFRMA_IF_ID`: it applies to packets with a mark, or to a virtual device of IPsec only.
const BOUND: [u16; 2] = [21, 31];

/// A policy for packets that leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Network of the senders, with the number of its leading bits.
    pub source: (IpAddr, u8),
    /// Network of the receivers.
    pub destination: (IpAddr, u8),
    /// IP protocol number; 0 stands for all.
    pub protocol: u8,
    /// Ports of source and destination, and which bits of them count.
    pub ports: [(u16, u16); 2],
    /// Lower numbers come first.
    pub priority: u32,
    /// Packets are encrypted or signed.
    pub transforms: bool,
}

impl Policy {
    /// The address whose packets alone it encrypts, where it is for a single one.
    pub fn only_sender(&self) -> Option<IpAddr> {
        let (address, bits) = self.source;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (self.transforms && bits >= width).then_some(address)
    }

    fn covers(&self, packet: &Packet) -> bool {
        let fits = |port: u16, (wanted, mask): (u16, u16)| (port ^ wanted) & mask == 0;
        let (from, to) = (packet.ports.0.unwrap_or(0), packet.ports.1.unwrap_or(0));
        packet.source.is_some_and(|source| is_within(source, self.source))
            && packet.destination.is_some_and(|destination| is_within(destination, self.destination))
            && (self.protocol == 0 || self.protocol == packet.protocol)
            && fits(from, self.ports[0])
            && fits(to, self.ports[1])
    }
}

/// Whether packets like this one are encrypted as they leave: of the policies that cover it, the first by priority says so.
pub fn transforms(policies: &[Policy], packet: &Packet) -> bool {
    let covering = policies.iter().filter(|policy| policy.covers(packet));
    covering.min_by_key(|policy| policy.priority).is_some_and(|policy| policy.transforms)
}

/// All policies for packets that leave; none where the kernel's interface to them is not loaded, as asking would load it.
///
/// # Errors
/// What the kernel refused.
pub fn policies(files: &Files) -> Result<Vec<Policy>, Trouble> {
    let mut found = Vec::new();
    if !Known::read(files).state(MODULE).is_ready() {
        return Ok(found);
    }
    socket::ask::<Trouble>(Subsystem::Ipsec, Request::dump(GET_POLICIES, &[0; 64]), |message| {
        found.extend(policy(message)?);
        Ok(())
    })?;
    Ok(found)
}

/// Reads one `XFRM_MSG_NEWPOLICY`; `None` for one of another direction, of an unknown family, or for some packets only that
/// cannot be told here.
///
/// # Errors
/// A length that does not fit.
pub fn policy(message: &Message<'_>) -> Result<Option<Policy>, Malformed> {
    let (info, rest) = message.payload.split_at_checked(INFO).ok_or(Malformed)?;
    let mut transforms = false;
    for attribute in attributes(rest) {
        let attribute = attribute?;
        transforms |= attribute.kind == TEMPLATES;
        if BOUND.contains(&attribute.kind) {
            return Ok(None);
        }
    }
    let at = |place: usize| info.get(place..).unwrap_or_default();
    let two = |place: usize| at(place).first_chunk().copied().ok_or(Malformed);
    let family = u16::from_ne_bytes(two(FAMILY)?);
    let address = |place: usize| match family {
        2 => at(place).first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        10 => at(place).first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    };
    let (Some(destination), Some(source)) = (address(0), address(SOURCE)) else { return Ok(None) };
    if at(DIRECTION).first() != Some(&DIRECTION_OUT) {
        return Ok(None);
    }
    let [to, from] = two(PREFIXES)?;
    let port = |place: usize| Ok((u16::from_be_bytes(two(place)?), u16::from_be_bytes(two(place + 2)?)));
    Ok(Some(Policy {
        source: (source, from),
        destination: (destination, to),
        protocol: at(PROTOCOL).first().copied().unwrap_or_default(),
        ports: [port(SOURCE_PORT)?, port(DESTINATION_PORT)?],
        priority: at(PRIORITY).first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Malformed)?,
        transforms,
    }))
}

/// Whether an address is in a network, given with the number of its leading bits.
fn is_within(address: IpAddr, (network, bits): (IpAddr, u8)) -> bool {
    let number = |address: IpAddr| -> (u128, u32) {
        match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        }
    };
    let ((one, width), (other, other_width)) = (number(address), number(network));
    let ignored = width.saturating_sub(u32::from(bits));
    width == other_width && one.checked_shr(ignored).unwrap_or(0) == other.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> Message<'_> {
        Message { kind: 0x13, flags: 0, sequence: 1, payload }
    }

    /// From 10.1.0.0/24 to 10.2.0.0/16.
    fn info(direction: u8, priority: u32) -> Vec<u8> {
        let mut info = vec![0; INFO];
        info[0..4].copy_from_slice(&[10, 2, 0, 0]);
        info[SOURCE..SOURCE + 4].copy_from_slice(&[10, 1, 0, 0]);
        info[FAMILY..FAMILY + 2].copy_from_slice(&2_u16.to_ne_bytes());
        info[PREFIXES..PREFIXES + 2].copy_from_slice(&[16, 24]);
        info[PRIORITY..PRIORITY + 4].copy_from_slice(&priority.to_ne_bytes());
        info[DIRECTION] = direction;
        info
    }

    fn with(mut info: Vec<u8>, kind: u16) -> Vec<u8> {
        info.extend(8_u16.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()).chain([0; 4]));
        info
    }

    fn read(bytes: &[u8]) -> Policy {
        policy(&message(bytes)).unwrap().unwrap()
    }

    fn packet(source: &str, destination: &str) -> Packet {
        Packet {
            family: 2,
            protocol: 17,
            source: source.parse().ok(),
            destination: destination.parse().ok(),
            ports: (Some(4000), Some(53)),
            ..Packet::default()
        }
    }

    #[test]
    fn a_policy_covers_its_networks_in_its_direction() {
        let policies = [read(&with(info(DIRECTION_OUT, 0), TEMPLATES))];
        assert!(transforms(&policies, &packet("10.1.0.7", "10.2.200.1")));
        assert!(!transforms(&policies, &packet("10.2.200.1", "10.1.0.7")));
        assert!(!transforms(&policies, &packet("10.1.1.7", "10.2.200.1")));
        assert!(!transforms(&policies, &packet("fd00::1", "10.2.200.1")));
        let everything =
            Policy { source: ("::".parse().unwrap(), 0), destination: ("::".parse().unwrap(), 0), ..policies[0] };
        assert!(transforms(&[everything], &packet("fd00::1", "fd00::2")));
        assert!(!transforms(&[everything], &packet("10.1.0.7", "10.2.0.1")));
    }

    #[test]
    fn a_policy_for_one_address_is_told_apart() {
        let mut bytes = with(info(DIRECTION_OUT, 0), TEMPLATES);
        assert_eq!(read(&bytes).only_sender(), None);
        bytes[PREFIXES + 1] = 32;
        assert_eq!(read(&bytes).only_sender(), Some("10.1.0.0".parse().unwrap()));
        assert_eq!(Policy { transforms: false, ..read(&bytes) }.only_sender(), None);
    }

    #[test]
    fn a_policy_for_a_protocol_and_a_port_covers_no_other() {
        let mut info = with(info(DIRECTION_OUT, 0), TEMPLATES);
        info[PROTOCOL] = 17;
        info[DESTINATION_PORT..DESTINATION_PORT + 4].copy_from_slice(&[0, 53, 0xff, 0xff]);
        let covered = packet("10.1.0.7", "10.2.200.1");
        assert!(transforms(&[read(&info)], &covered));
        assert!(!transforms(&[read(&info)], &Packet { ports: (Some(53), Some(4000)), ..covered.clone() }));
        assert!(!transforms(&[read(&info)], &Packet { protocol: 6, ..covered }));
    }

    #[test]
    fn one_without_template_lets_packets_pass_before_those_of_lower_priority() {
        let bypass = |priority| read(&info(DIRECTION_OUT, priority));
        let tunnel = read(&with(info(DIRECTION_OUT, 10), TEMPLATES));
        let covered = packet("10.1.0.7", "10.2.200.1");
        assert!(!transforms(&[bypass(1)], &covered));
        assert!(!transforms(&[tunnel, bypass(9)], &covered));
        assert!(transforms(&[bypass(11), tunnel], &covered));
    }

    #[test]
    fn nothing_is_loaded_to_ask() {
        assert_eq!(policies(&Files::below("/nonexistent")), Ok(Vec::new()));
    }

    #[test]
    fn other_directions_virtual_devices_and_short_ones_are_told_apart() {
        for direction in [0, 2, 3, 9] {
            assert_eq!(policy(&message(&info(direction, 0))), Ok(None), "direction {direction}");
        }
        for kind in BOUND {
            assert_eq!(policy(&message(&with(info(DIRECTION_OUT, 0), kind))), Ok(None), "attribute {kind}");
        }
        let bytes = with(info(DIRECTION_OUT, 0), TEMPLATES);
        assert_eq!(policy(&message(&bytes[..INFO - 1])), Err(Malformed));
        assert_eq!(policy(&message(&bytes[..INFO + 7])), Err(Malformed));
    }
}
