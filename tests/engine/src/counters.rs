//! Counters of each direction of each flow, as nft prints them.

use std::collections::BTreeMap;

use model::Count;

use crate::scenario::Proto;

/// A direction of a flow as the forward hook sees it: protocol, source and destination port. Of ICMP echo the
/// identifier, as source of the requests and as destination of the replies; the other port is 0.
pub type Key = (Proto, u16, u16);

/// Elements as nft prints them: `udp . 50000 . 7007 counter packets 2 bytes 2056`, with the number of the protocol
/// on an image without `/etc/protocols`, and `echo-request . 50000 counter packets 2 bytes 168`.
pub(crate) fn elements(text: &str) -> BTreeMap<Key, Count> {
    let words: Vec<&str> = text.split([' ', '\t', '\n', ',', '{', '}', '=']).filter(|word| !word.is_empty()).collect();
    let count = |words: &[&str]| match words {
        ["counter", "packets", packets, "bytes", bytes] => {
            Some(Count { packets: packets.parse().ok()?, bytes: bytes.parse().ok()? })
        }
        _ => None,
    };
    let ports = |words: &[&str]| -> Option<(Key, Count)> {
        let ([proto, ".", source, ".", destination], rest) = words.split_first_chunk()? else { return None };
        let proto = match *proto {
            "tcp" | "6" => Proto::Tcp,
            "udp" | "17" => Proto::Udp,
            _ => return None,
        };
        Some(((proto, source.parse().ok()?, destination.parse().ok()?), count(rest)?))
    };
    let echo = |words: &[&str]| -> Option<(Key, Count)> {
        let ([kind, ".", identifier], rest) = words.split_first_chunk()? else { return None };
        let identifier = identifier.parse().ok()?;
        let key = match *kind {
            "echo-request" => (Proto::Icmp, identifier, 0),
            "echo-reply" => (Proto::Icmp, 0, identifier),
            _ => return None,
        };
        Some((key, count(rest)?))
    };
    words.windows(10).filter_map(ports).chain(words.windows(8).filter_map(echo)).collect()
}
