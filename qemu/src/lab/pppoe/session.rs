//! One PPP session: which protocols it has agreed on, and what it says to control packets.

use std::net::Ipv4Addr;

use super::control::{
    DISCARD_REQUEST, ECHO_REPLY, ECHO_REQUEST, PROTOCOL_REJECT, Setting, TERMINATE_REQUEST, read, write,
};
use super::layer::{Layer, Opinion};

/// Protocol numbers of PPP (IANA).
pub(super) const IPV4: u16 = 0x0021;
pub(super) const IPV6: u16 = 0x0057;
const LCP: u16 = 0xc021;
const IPCP: u16 = 0x8021;
const IPV6CP: u16 = 0x8057;

/// Options of LCP: RFC 1661 §6.
const MRU: u8 = 1;
const MAGIC: u8 = 5;
/// The option of IPCP: RFC 1332 §3.3.
const ADDRESS: u8 = 3;
/// The option of IPV6CP: RFC 5072 §4.1.
const INTERFACE: u8 = 1;

/// Tells our end from the other, should a line loop back.
const OUR_MAGIC: [u8; 4] = *b"lab.";

/// What is wanted of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Our address.
    pub(super) own: Ipv4Addr,
    /// The other end's.
    pub(super) peer: Ipv4Addr,
    /// The lower half of our link-local IPv6 address.
    pub(super) interface: [u8; 8],
    /// Bytes of the largest IP packet that we take.
    pub(super) mru: u16,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    terms: Terms,
    lcp: Layer,
    ipcp: Layer,
    ipv6cp: Layer,
}

impl Session {
    pub(super) fn new(terms: Terms) -> Self {
        let layer = |options: &[(u8, &[u8])]| {
            Layer::new(options.iter().map(|&(kind, data)| Setting { kind, data: data.to_vec() }).collect())
        };
        Session {
            terms,
            lcp: layer(&[(MRU, &terms.mru.to_be_bytes()), (MAGIC, &OUR_MAGIC)]),
            ipcp: layer(&[(ADDRESS, &terms.own.octets())]),
            ipv6cp: layer(&[(INTERFACE, &terms.interface)]),
        }
    }

    /// Whether packets of a protocol may go.
    pub(super) fn carries(&self, protocol: u16) -> bool {
        self.lcp.is_open()
            && match protocol {
                IPV4 => self.ipcp.is_open(),
                IPV6 => self.ipv6cp.is_open(),
                _ => false,
            }
    }

    /// Takes what is no IP packet; what to send for it, with its protocol.
    pub(super) fn receive(&mut self, protocol: u16, bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let terms = self.terms;
        let said = match (protocol, read(bytes)) {
            (LCP, Some(packet)) => match packet.code {
                ECHO_REQUEST if self.lcp.is_open() => {
                    let data = [&OUR_MAGIC[..], packet.data.get(4..).unwrap_or_default()].concat();
                    vec![write(ECHO_REPLY, packet.id, &data)]
                }
                ECHO_REQUEST | ECHO_REPLY | DISCARD_REQUEST | PROTOCOL_REJECT => Vec::new(),
                code => {
                    let was_open = self.lcp.is_open();
                    let said = self.lcp.receive(packet, link_opinion);
                    if code == TERMINATE_REQUEST || was_open && !self.lcp.is_open() {
                        self.ipcp.close();
                        self.ipv6cp.close();
                    }
                    said
                }
            },
            // Until the link is agreed upon, everything else is passed over: RFC 1661 §3.4.
            _ if !self.lcp.is_open() => Vec::new(),
            (IPCP, Some(packet)) => self.ipcp.receive(packet, |setting| address_opinion(setting, terms)),
            (IPV6CP, Some(packet)) => self.ipv6cp.receive(packet, |setting| interface_opinion(setting, terms)),
            (LCP | IPCP | IPV6CP | IPV4 | IPV6, _) => Vec::new(),
            _ => {
                let rejected = [&protocol.to_be_bytes()[..], bytes].concat();
                return vec![(LCP, write(PROTOCOL_REJECT, 1, &rejected))];
            }
        };
        said.into_iter().map(|packet| (protocol, packet)).collect()
    }
}

/// Options that make headers smaller are no use over PPPoE (RFC 2516 §7), and who wants us to
/// authenticate is refused.
fn link_opinion(setting: &Setting) -> Opinion {
    match (setting.kind, setting.data.len()) {
        (MRU, 2) | (MAGIC, 4) => Opinion::Fine,
        _ => Opinion::Unknown,
    }
}

fn address_opinion(setting: &Setting, terms: Terms) -> Opinion {
    match setting.kind {
        ADDRESS if setting.data == terms.peer.octets() => Opinion::Fine,
        ADDRESS => Opinion::Rather(terms.peer.octets().to_vec()),
        _ => Opinion::Unknown,
    }
}

fn interface_opinion(setting: &Setting, terms: Terms) -> Opinion {
    match setting.kind {
        INTERFACE if setting.data.len() == 8 && setting.data != [0; 8] && setting.data != terms.interface => {
            Opinion::Fine
        }
        INTERFACE => {
            let mut other = terms.interface;
            other[7] ^= 1;
            Opinion::Rather(other.to_vec())
        }
        _ => Opinion::Unknown,
    }
}
