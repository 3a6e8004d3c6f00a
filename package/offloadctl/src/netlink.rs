//! The framing of netlink: messages in a datagram, attributes in a message.
//!
//! Layouts are those of `linux/netlink.h` and `linux/netfilter/nfnetlink.h`. Lengths and header fields are in the byte
//! order of the machine; the values that netfilter puts into attributes are big-endian.

/// Bytes of `struct nlmsghdr`: length, type, flags, sequence, port.
const MESSAGE_HEADER: usize = 16;
/// Bytes of `struct nfgenmsg`: family, version, resource id.
const NETFILTER_HEADER: usize = 4;
/// Bytes of `struct nlattr`: length, type.
const ATTRIBUTE_HEADER: usize = 4;
/// Bits of an attribute's type that are flags: `NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`.
const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// `NLMSG_ERROR`: an error number follows, 0 for an acknowledgement.
pub const KIND_ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump; an error number may follow.
pub const KIND_DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: the kernel's list changed during the dump.
pub const FLAG_INTERRUPTED: u16 = 0x10;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS_DUMP: u16 = 0x01 | 0x300;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const FLAGS_ONE: u16 = 0x01 | 0x04;
/// The sequence number of every request: a socket carries one only.
pub const SEQUENCE: u32 = 1;
/// `NLMSG_MIN_TYPE`: messages of subsystems begin here, those of netlink itself lie below.
pub const KIND_LOWEST: u16 = 0x10;
/// `NLA_F_NESTED`: set by the sender on attributes that hold others.
pub const NESTED: u16 = 0x8000;

/// A length in the message does not fit the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// One netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// For netfilter: the subsystem in the high byte, its message number in the low one.
    pub kind: u16,
    /// `NLM_F_…`.
    pub flags: u16,
    /// Copied by the kernel from the request.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits a netfilter message into its address family and its attributes.
    pub fn netfilter(&self) -> Result<(u8, Attributes<'a>), Malformed> {
        let (header, rest) = self.payload.split_at_checked(NETFILTER_HEADER).ok_or(Malformed)?;
        Ok((header[0], attributes(rest)))
    }

    /// The error number of an `NLMSG_ERROR` or `NLMSG_DONE`, positive; 0 when there is none.
    pub fn error_number(&self) -> i32 {
        let code = self.payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        code.checked_neg().unwrap_or(i32::MAX)
    }
}

/// One attribute; its value may hold further attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, without the flag bits.
    pub kind: u16,
    /// Its value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes inside this one.
    pub fn nested(&self) -> Attributes<'a> {
        attributes(self.value)
    }

    /// A big-endian number of four bytes.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// A big-endian number of eight bytes.
    pub fn u64(&self) -> Result<u64, Malformed> {
        self.value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// A number of four bytes in the byte order of the machine, as all but netfilter have them.
    pub fn native_u32(&self) -> Result<u32, Malformed> {
        self.value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Malformed)
    }

    /// A number of two bytes in the byte order of the machine, as generic netlink has them.
    pub fn native_u16(&self) -> Result<u16, Malformed> {
        self.value.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)).ok_or(Malformed)
    }

    /// A big-endian number of two bytes.
    pub fn u16(&self) -> Result<u16, Malformed> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// A name, up to its terminating zero; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        let end = self.value.iter().position(|&byte| byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end]).into_owned()
    }
}

/// The messages of one datagram. Ends after the first malformed one.
pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

/// See [`messages`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = take_message(&mut self.rest);
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

fn take_message<'a>(rest: &mut &'a [u8]) -> Result<Message<'a>, Malformed> {
    let bytes = *rest;
    let header: [u8; MESSAGE_HEADER] = *bytes.first_chunk().ok_or(Malformed)?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).map_err(|_| Malformed)?;
    let payload = bytes.get(MESSAGE_HEADER..length).ok_or(Malformed)?;
    *rest = after(bytes, length);
    Ok(Message {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        payload,
    })
}

/// The attributes in `bytes`. Ends after the first malformed one.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

/// See [`attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = take_attribute(&mut self.rest);
        if attribute.is_err() {
            self.rest = &[];
        }
        Some(attribute)
    }
}

fn take_attribute<'a>(rest: &mut &'a [u8]) -> Result<Attribute<'a>, Malformed> {
    let bytes = *rest;
    let [l0, l1, k0, k1] = *bytes.first_chunk::<ATTRIBUTE_HEADER>().ok_or(Malformed)?;
    let length = usize::from(u16::from_ne_bytes([l0, l1]));
    let value = bytes.get(ATTRIBUTE_HEADER..length).ok_or(Malformed)?;
    *rest = after(bytes, length);
    Ok(Attribute { kind: u16::from_ne_bytes([k0, k1]) & !ATTRIBUTE_FLAGS, value })
}

/// What follows an item of `length` bytes, which lies within `bytes`: items start at multiples of four, the last one may
/// lack its padding.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get((length + 3) & !3..).unwrap_or(&[])
}

/// A request under construction.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request for everything of one sort; `header` is what comes before the attributes.
    pub fn dump(kind: u16, header: &[u8]) -> Request {
        Request::new(kind, FLAGS_DUMP, header)
    }

    /// A request for one thing, whose end the kernel acknowledges.
    pub fn one(kind: u16, header: &[u8]) -> Request {
        Request::new(kind, FLAGS_ONE, header)
    }

    /// A netfilter dump for all address families.
    pub fn netfilter(kind: u16) -> Request {
        Request::dump(kind, &[0; NETFILTER_HEADER])
    }

    fn new(kind: u16, flags: u16, header: &[u8]) -> Request {
        let mut bytes = vec![0; MESSAGE_HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&SEQUENCE.to_ne_bytes());
        bytes.extend(header);
        Request { bytes }
    }

    /// Adds an attribute; what does not fit its length field is cut, which no value of ours comes near.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Request {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value.iter().take(usize::from(length) - ATTRIBUTE_HEADER));
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// The bytes to send.
    pub fn into_bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_reads_back() {
        let request = Request::netfilter(0x0a17).with(1, b"fw4\0").with(2, b"longer\0").into_bytes();
        let [Ok(message)] = messages(&request).collect::<Vec<_>>()[..] else { panic!("{request:?}") };
        assert_eq!((message.kind, message.flags, message.sequence), (0x0a17, 0x301, SEQUENCE));
        let (family, inside) = message.netfilter().unwrap();
        assert_eq!(family, 0);
        let texts: Vec<_> = inside.flatten().map(|attribute| (attribute.kind, attribute.text())).collect();
        assert_eq!(texts, [(1, "fw4".into()), (2, "longer".into())]);
    }

    #[test]
    fn attributes_are_aligned_and_lose_their_flags() {
        // Five bytes padded to eight, then a nested one whose padding was cut off.
        let header = |length: u16, kind: u16| [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        let joined = [&header(5, 1)[..], b"x\x09\x09\x09", &header(6, 0x8003), b"y\0"].concat();
        let found: Vec<_> = attributes(&joined).map(Result::unwrap).collect();
        assert_eq!(found[0], Attribute { kind: 1, value: b"x" });
        assert_eq!(found[1].kind, 3);
        assert_eq!(found[1].text(), "y");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_length_below_the_header_ends_the_list() {
        for length in 0..4_u16 {
            let mut bytes = [0; 8];
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(attributes(&bytes).collect::<Vec<_>>(), [Err(Malformed)]);
        }
        assert_eq!(messages(&[0; 32]).collect::<Vec<_>>(), [Err(Malformed)]);
    }

    #[test]
    fn the_lowest_error_number_does_not_overflow() {
        let lowest = i32::MIN.to_ne_bytes();
        let message = Message { kind: KIND_ERROR, flags: 0, sequence: 0, payload: &lowest };
        assert_eq!(message.error_number(), i32::MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
            for attribute in attributes(&bytes).flatten() {
                let _ = (attribute.u16(), attribute.u32(), attribute.u64(), attribute.text());
                prop_assert!(attribute.nested().count() <= attribute.value.len());
            }
        }
    }
}
