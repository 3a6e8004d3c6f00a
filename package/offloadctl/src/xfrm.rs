//! IPsec policies, as far as it takes to say that one covers a connection.
//!
//! The layout is that of `struct xfrm_selector`, with which `struct xfrm_userpolicy_info` of `linux/xfrm.h` begins.

use std::net::IpAddr;

use crate::files::Files;
use crate::modules::Known;
use crate::netlink::{Malformed, Message, Request};
use crate::socket::{self, Subsystem, Trouble};

/// The module that answers. Programs that configure IPsec have it loaded.
const MODULE: &str = "xfrm_user";
/// `XFRM_MSG_GETPOLICY`.
const GET_POLICIES: u16 = 0x15;
const SOURCE: usize = 16;
const FAMILY: usize = 40;
const PREFIXES: usize = 42;
/// Bytes of `struct xfrm_selector`.
const SELECTOR: usize = 56;
/// Where in `struct xfrm_userpolicy_info` the direction stands: after the selector, limits, times, priority and index.
const DIRECTION: usize = 160;
/// `XFRM_POLICY_MAX`: from here on, policies are those of a single socket.
const DIRECTIONS: u8 = 3;

/// Addresses that a policy covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    source: (IpAddr, u8),
    destination: (IpAddr, u8),
}

impl Policy {
    /// Whether it covers packets from one address to the other, or back.
    pub fn covers(&self, one: IpAddr, other: IpAddr) -> bool {
        let there = is_within(one, self.source) && is_within(other, self.destination);
        let back = is_within(other, self.source) && is_within(one, self.destination);
        there || back
    }
}

/// All policies; none where the kernel's interface to them is not loaded, as asking would load it.
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

/// Reads one `XFRM_MSG_NEWPOLICY`; `None` for one of a single socket or of an unknown family.
///
/// # Errors
/// A length that does not fit.
pub fn policy(message: &Message<'_>) -> Result<Option<Policy>, Malformed> {
    let selector = message.payload.get(..SELECTOR).ok_or(Malformed)?;
    if message.payload.get(DIRECTION).is_some_and(|direction| *direction >= DIRECTIONS) {
        return Ok(None);
    }
    let family = selector.get(FAMILY..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u16::from_ne_bytes(*bytes));
    let address = |at: usize| match family {
        Some(2) => selector.get(at..)?.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        Some(10) => selector.get(at..)?.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    };
    let (Some(destination), Some(source)) = (address(0), address(SOURCE)) else { return Ok(None) };
    let [to, from] = *selector.get(PREFIXES..).and_then(|bytes| bytes.first_chunk::<2>()).ok_or(Malformed)?;
    Ok(Some(Policy { source: (source, from), destination: (destination, to) }))
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

    fn info(direction: u8) -> Vec<u8> {
        let mut info = vec![0; 168];
        info[0..4].copy_from_slice(&[10, 2, 0, 0]);
        info[16..20].copy_from_slice(&[10, 1, 0, 0]);
        info[40..42].copy_from_slice(&2_u16.to_ne_bytes());
        info[42..44].copy_from_slice(&[16, 24]);
        info[160] = direction;
        info
    }

    #[test]
    fn a_policy_covers_both_directions_of_its_networks_only() {
        let policy = policy(&message(&info(1))).unwrap().unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(policy.covers(address("10.1.0.7"), address("10.2.200.1")));
        assert!(policy.covers(address("10.2.200.1"), address("10.1.0.7")));
        assert!(!policy.covers(address("10.1.1.7"), address("10.2.200.1")));
        assert!(!policy.covers(address("fd00::1"), address("10.2.200.1")));
        let everything = Policy { source: (address("::"), 0), destination: (address("::"), 0) };
        assert!(everything.covers(address("fd00::1"), address("fd00::2")));
        assert!(!everything.covers(address("10.1.0.7"), address("10.2.0.1")));
    }

    #[test]
    fn nothing_is_loaded_to_ask() {
        assert_eq!(policies(&Files::below("/nonexistent")), Ok(Vec::new()));
    }

    #[test]
    fn policies_of_sockets_and_short_ones_are_told_apart() {
        assert_eq!(policy(&message(&info(3))), Ok(None));
        assert_eq!(policy(&message(&[0; 56])), Ok(None));
        assert_eq!(policy(&message(&[0; 55])), Err(Malformed));
    }
}
