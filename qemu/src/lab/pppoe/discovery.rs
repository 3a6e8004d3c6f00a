//! The discovery stage of PPPoE: RFC 2516 §5, and the header of all its frames, §4.

/// Types of Ethernet frames.
pub(in super::super) const DISCOVERY: u16 = 0x8863;
pub(in super::super) const SESSION: u16 = 0x8864;

/// Version 1 and type 1.
const VERSION_AND_TYPE: u8 = 0x11;

/// Codes of discovery packets.
pub(super) const INITIATION: u8 = 0x09;
pub(super) const OFFER: u8 = 0x07;
pub(super) const REQUEST: u8 = 0x19;
pub(super) const CONFIRMATION: u8 = 0x65;
pub(super) const TERMINATION: u8 = 0xa7;

/// Bytes of the header: version and type, code, session, length.
pub(super) const HEADER: usize = 6;

/// Tags, RFC 2516 appendix A.
const END_OF_LIST: u16 = 0x0000;
const SERVICE_NAME: u16 = 0x0101;
const CONCENTRATOR_NAME: u16 = 0x0102;
const HOST_UNIQUE: u16 = 0x0103;
const RELAY_SESSION: u16 = 0x0110;

/// How our concentrator calls itself.
const NAME: &[u8] = b"lab";

/// A PPPoE packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) code: u8,
    pub(super) session: u16,
    pub(super) payload: &'a [u8],
}

/// Reads a packet; what follows its length is padding. `None` when it is cut off or another version.
pub(super) fn read(bytes: &[u8]) -> Option<Packet<'_>> {
    let ([version, code, a, b, c, d], rest) = bytes.split_first_chunk::<HEADER>()?;
    let payload = rest.get(..usize::from(u16::from_be_bytes([*c, *d])))?;
    let session = u16::from_be_bytes([*a, *b]);
    (*version == VERSION_AND_TYPE).then_some(Packet { code: *code, session, payload })
}

/// The header of a packet whose payload has `length` bytes.
pub(super) fn header(code: u8, session: u16, length: usize) -> [u8; HEADER] {
    let [a, b] = session.to_be_bytes();
    // No frame is as long as that.
    let [c, d] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [VERSION_AND_TYPE, code, a, b, c, d]
}

/// The tags of a discovery packet: number and value. `None` when a length in them is wrong.
fn tags(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut tags = Vec::new();
    while let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() {
        let kind = u16::from_be_bytes([*a, *b]);
        if kind == END_OF_LIST {
            return Some(tags);
        }
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*c, *d]).into())?;
        tags.push((kind, value));
        bytes = rest;
    }
    bytes.is_empty().then_some(tags)
}

/// The tags of our answer to a request: the service that was asked for, our name, and what the other
/// end wants back. `None` when the request is malformed, or names no service, which it must.
pub(super) fn answer_tags(request: &[u8]) -> Option<Vec<u8>> {
    let asked = tags(request)?;
    asked.iter().find(|(kind, _)| *kind == SERVICE_NAME)?;
    let echoed = asked.into_iter().filter(|(kind, _)| [SERVICE_NAME, HOST_UNIQUE, RELAY_SESSION].contains(kind));
    let mut bytes = Vec::new();
    for (kind, value) in echoed.chain([(CONCENTRATOR_NAME, NAME)]) {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(value);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_names_the_service_and_returns_what_is_to_be_returned() {
        let request = [1, 1, 0, 0, 1, 3, 0, 2, 7, 8, 9, 9, 0, 1, 5, 1, 0x10, 0, 1, 6];
        let answer = answer_tags(&request).unwrap();
        assert_eq!(
            answer,
            [1, 1, 0, 0, 1, 3, 0, 2, 7, 8, 1, 0x10, 0, 1, 6, 1, 2, 0, 3, b'l', b'a', b'b'],
            "the tag that nobody knows is left out"
        );
        assert_eq!(answer_tags(&[1, 3, 0, 1, 5]), None, "no service");
        for bad in [&[1, 1, 0, 1][..], &[1, 1, 0], &[1, 1, 0, 0, 9]] {
            assert_eq!(answer_tags(bad), None, "{bad:?}");
        }
        assert!(answer_tags(&[1, 1, 0, 0, 0, 0, 0, 0, 9]).is_some(), "what follows the end is passed over");
    }

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        let bytes = [0x11, 0x09, 0, 7, 0, 2, 1, 2, 3];
        assert_eq!(read(&bytes), Some(Packet { code: 9, session: 7, payload: &[1, 2] }));
        assert_eq!(header(9, 7, 2), bytes[..6]);
        for end in 0..8 {
            assert_eq!(read(&bytes[..end]), None);
        }
        assert_eq!(read(&[0x21, 9, 0, 0, 0, 0]), None, "another version");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = answer_tags(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION_AND_TYPE;
            }
            if let Some(packet) = read(&bytes) {
                prop_assert!(packet.payload.len() + HEADER <= bytes.len());
            }
        }
    }
}
