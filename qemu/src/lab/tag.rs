//! VLAN tags (IEEE 802.1Q): put in front of every frame of a side whose plan names a VLAN, and taken
//! off again, both in place.

use std::ops::RangeInclusive;

/// Bytes of a tag.
pub(super) const LENGTH: usize = 4;

/// VLANs that can be named: 0 means "none" and 4095 is reserved.
pub(super) const VLANS: RangeInclusive<u16> = 1..=4094;

/// Where a tag, or without one the type of the frame, stands: behind the two addresses.
const PLACE: usize = 12;

/// The type that says that a tag follows.
const TYPE: [u8; 2] = [0x81, 0x00];

/// The type of what a frame carries behind its tag, if it has one, and that payload.
pub(super) fn content(frame: &[u8]) -> Option<(u16, &[u8])> {
    let place = if has_one(frame) { PLACE + LENGTH } else { PLACE };
    let (kind, payload) = frame.get(place..)?.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*kind), payload))
}

/// Whether a frame has a tag.
pub(super) fn has_one(frame: &[u8]) -> bool {
    frame.get(PLACE..PLACE + 2) == Some(&TYPE)
}

/// The frame without its tag; `None` when it has none or that of another VLAN.
pub(super) fn take_off(frame: &mut [u8], vlan: u16) -> Option<&mut [u8]> {
    let tag = frame.get(PLACE..PLACE + LENGTH)?;
    // The upper four bits of the second half are the priority and say nothing about the VLAN.
    if tag[..2] != TYPE || u16::from_be_bytes([tag[2] & 0x0f, tag[3]]) != vlan {
        return None;
    }
    frame.copy_within(..PLACE, LENGTH);
    frame.get_mut(LENGTH..)
}

/// Tags the frame that lies behind [`LENGTH`] unused bytes.
pub(super) fn put_on(frame: &mut [u8], vlan: u16) {
    if let (Some(_), [high, low]) = (frame.get(LENGTH..LENGTH + PLACE), vlan.to_be_bytes()) {
        frame.copy_within(LENGTH..LENGTH + PLACE, 0);
        frame[PLACE..PLACE + LENGTH].copy_from_slice(&[TYPE[0], TYPE[1], high, low]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_tag_stands_behind_the_addresses() {
        let plain: Vec<u8> = (1..=12).chain([8, 0, 0x45]).collect();
        let mut frame = [vec![0xff; LENGTH], plain.clone()].concat();
        put_on(&mut frame, 0x123);
        assert_eq!(frame[..12], plain[..12]);
        assert_eq!(frame[12..], [0x81, 0, 1, 0x23, 8, 0, 0x45]);
        assert_eq!(take_off(&mut frame.clone(), 0x124), None);
        frame[14] |= 0xe0;
        assert_eq!(take_off(&mut frame, 0x123), Some(plain.clone()).as_deref_mut());
        assert_eq!(take_off(&mut plain.clone(), 1), None);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(mut frame in prop::collection::vec(any::<u8>(), 0..20), tagged in any::<bool>()) {
            if tagged && frame.len() > 13 {
                frame[12..14].copy_from_slice(&TYPE);
            }
            let _ = (content(&frame), has_one(&frame));
            let _ = take_off(&mut frame, 1);
            put_on(&mut frame, 1);
        }
    }
}
