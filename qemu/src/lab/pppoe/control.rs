//! Control packets of PPP (RFC 1661 §5) and the options in them, read from bytes that may be anything.

/// Codes that LCP, IPCP and IPV6CP share.
pub(super) const CONFIGURE_REQUEST: u8 = 1;
pub(super) const CONFIGURE_ACK: u8 = 2;
pub(super) const CONFIGURE_NAK: u8 = 3;
pub(super) const CONFIGURE_REJECT: u8 = 4;
pub(super) const TERMINATE_REQUEST: u8 = 5;
pub(super) const TERMINATE_ACK: u8 = 6;
pub(super) const CODE_REJECT: u8 = 7;

/// Codes of LCP only.
pub(super) const PROTOCOL_REJECT: u8 = 8;
pub(super) const ECHO_REQUEST: u8 = 9;
pub(super) const ECHO_REPLY: u8 = 10;
pub(super) const DISCARD_REQUEST: u8 = 11;

/// Bytes in front of a packet's data: code, identifier and length.
const HEADER: usize = 4;

/// A control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control<'a> {
    pub(super) code: u8,
    pub(super) id: u8,
    pub(super) data: &'a [u8],
}

/// Reads a packet; what follows its length is padding. `None` when it is cut off.
pub(super) fn read(bytes: &[u8]) -> Option<Control<'_>> {
    let [code, id, high, low] = *bytes.first_chunk::<HEADER>()?;
    let data = bytes.get(HEADER..usize::from(u16::from_be_bytes([high, low])))?;
    Some(Control { code, id, data })
}

/// Writes a packet. Data beyond what a length can say, which nothing here has, is cut off.
pub(super) fn write(code: u8, id: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + data.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![code, id];
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    bytes.truncate(length.into());
    bytes
}

/// An option: its type, and its data without type and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) kind: u8,
    pub(super) data: Vec<u8>,
}

/// Reads a list of options; `None` when a length in it is wrong.
pub(super) fn settings(mut data: &[u8]) -> Option<Vec<Setting>> {
    let mut settings = Vec::new();
    while let [kind, length, ..] = *data {
        let length = usize::from(length);
        settings.push(Setting { kind, data: data.get(2..length)?.to_vec() });
        data = &data[length..];
    }
    data.is_empty().then_some(settings)
}

/// Writes a list of options.
pub(super) fn write_settings(settings: &[Setting]) -> Vec<u8> {
    let one = |setting: &Setting| {
        let length = u8::try_from(setting.data.len() + 2).unwrap_or(u8::MAX);
        [&[setting.kind, length], &setting.data[..usize::from(length) - 2]].concat()
    };
    settings.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_is_read_up_to_its_length() {
        let bytes = [1, 7, 0, 10, 1, 4, 5, 0xd4, 5, 2, 0xff];
        let packet = read(&bytes).unwrap();
        assert_eq!((packet.code, packet.id, packet.data), (1, 7, &[1, 4, 5, 0xd4, 5, 2][..]));
        let list = settings(packet.data).unwrap();
        assert_eq!(list, [Setting { kind: 1, data: vec![5, 0xd4] }, Setting { kind: 5, data: vec![] }]);
        assert_eq!(write(1, 7, &write_settings(&list)), bytes[..10]);
        for end in 0..10 {
            assert_eq!(read(&bytes[..end]), None);
        }
        assert_eq!(read(&[1, 7, 0, 3]), None, "shorter than its header");
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for data in [&[1][..], &[1, 0], &[1, 1, 2], &[1, 4, 0], &[1, 2, 3]] {
            assert_eq!(settings(data), None, "{data:?}");
        }
        assert_eq!(settings(&[]), Some(vec![]));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = read(&bytes) {
                let written = write(packet.code, packet.id, packet.data);
                prop_assert_eq!(&written[..], &bytes[..written.len()]);
                if let Some(list) = settings(packet.data) {
                    prop_assert_eq!(write_settings(&list), packet.data);
                }
            }
        }
    }
}
