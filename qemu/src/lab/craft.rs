//! Packets that smoltcp does not write: with IPv4 options, in fragments, or free to be fragmented.
//!
//! They are made from the plain packets that it does write, on their way to the wire.

use smoltcp::wire::Ipv4Packet;

use super::traffic::Special;

/// The packets to send in place of a plain one. What is no IPv4, or a fragment already, stays as it
/// is; so does a packet whose fragments would be no smaller. `ident` has to differ from packet to packet: fragments are
/// known by it, also those that a router makes.
pub(super) fn craft(packet: &[u8], special: &Special, ident: u16) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    let is_whole = |packet: Ipv4Packet<&Vec<u8>>| !packet.more_frags() && packet.frag_offset() == 0;
    let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
    if !is_ipv4 || !Ipv4Packet::new_checked(&packet).is_ok_and(is_whole) {
        return vec![packet];
    }
    if let Some(option) = special.option {
        packet = with_option(packet, option.bytes());
    }
    let mut view = Ipv4Packet::new_unchecked(&mut packet);
    view.set_ident(ident);
    view.set_dont_frag(!special.may_fragment && special.fragment.is_none());
    view.fill_checksum();
    match special.fragment.map(|most| most / 8 * 8) {
        Some(most @ 8..) => fragments(&packet, most),
        _ => vec![packet],
    }
}

/// Adds an option to a packet that has none.
fn with_option(mut packet: Vec<u8>, option: &[u8]) -> Vec<u8> {
    let header = Ipv4Packet::new_unchecked(&packet).header_len();
    let length = packet.len() + option.len();
    packet.splice(usize::from(header)..usize::from(header), option.iter().copied());
    let mut view = Ipv4Packet::new_unchecked(&mut packet);
    // The stack's MTU and an option of at most 40 bytes keep both lengths in range.
    view.set_header_len(header + u8::try_from(option.len()).unwrap_or(0));
    view.set_total_len(u16::try_from(length).unwrap_or(u16::MAX));
    packet
}

/// Cuts a packet as RFC 791 §3.2 describes; options go with the first fragment only, as those that
/// we use are not to be copied.
fn fragments(packet: &[u8], most: usize) -> Vec<Vec<u8>> {
    let header = usize::from(Ipv4Packet::new_unchecked(packet).header_len());
    let (head, payload) = packet.split_at(header);
    let count = payload.len().div_ceil(most);
    if count < 2 {
        return vec![packet.to_vec()];
    }
    let cut = |(number, part): (usize, &[u8])| {
        let head = if number == 0 { head } else { &head[..20] };
        let mut fragment = [head, part].concat();
        let length = fragment.len();
        let mut view = Ipv4Packet::new_unchecked(&mut fragment);
        view.set_header_len(u8::try_from(head.len()).unwrap_or(20));
        view.set_total_len(u16::try_from(length).unwrap_or(u16::MAX));
        view.set_more_frags(number + 1 < count);
        view.set_frag_offset(u16::try_from(number * most).unwrap_or(u16::MAX));
        view.fill_checksum();
        fragment
    };
    payload.chunks(most).enumerate().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::traffic::IpOption;

    /// UDP with 60 bytes behind the IP header.
    fn plain() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 80, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend(0..60);
        packet
    }

    fn checked(packet: &[u8]) -> Ipv4Packet<&[u8]> {
        let view = Ipv4Packet::new_checked(packet).unwrap();
        assert!(view.verify_checksum());
        assert_eq!((usize::from(view.total_len()), view.ident()), (packet.len(), 7));
        view
    }

    #[test]
    fn fragments_hold_the_payload_in_order() {
        let special = Special { fragment: Some(30), option: Some(IpOption::NoOperation), ..Special::default() };
        let made = craft(&plain(), &special, 7);
        let views: Vec<_> = made.iter().map(|fragment| checked(fragment)).collect();
        let facts: Vec<_> =
            views.iter().map(|view| (view.frag_offset(), view.more_frags(), view.header_len())).collect();
        assert_eq!(facts, [(0, true, 24), (24, true, 20), (48, false, 20)]);
        assert_eq!(views.iter().map(|view| view.payload()).collect::<Vec<_>>().concat(), (0..60).collect::<Vec<u8>>());
        assert!(views.iter().all(|view| !view.dont_frag()));
    }

    #[test]
    fn options_follow_the_header_and_only_df_is_cleared_when_asked() {
        let special = Special { option: Some(IpOption::RecordRoute), ..Special::default() };
        let made = craft(&plain(), &special, 7);
        let view = checked(&made[0]);
        assert_eq!((made.len(), view.header_len(), view.dont_frag()), (1, 28, true));
        assert_eq!((&made[0][20..24], view.payload()), (&[7, 7, 4, 0][..], &plain()[20..]));
        let made = craft(&plain(), &Special { may_fragment: true, ..Special::default() }, 7);
        assert!(!checked(&made[0]).dont_frag());
        let made = craft(&plain(), &Special { fragment: Some(64), ..Special::default() }, 7);
        assert_eq!(made.len(), 1, "nothing to cut");
    }

    #[test]
    fn what_is_no_whole_ipv4_packet_stays_as_it_is() {
        let special = Special { fragment: Some(8), ..Special::default() };
        let mut fragment = plain();
        fragment[6] = 0x20;
        for packet in [&[][..], &[0x60; 60], &[0x45, 0, 0], &fragment] {
            assert_eq!(craft(packet, &special, 1), [packet]);
        }
    }
}
