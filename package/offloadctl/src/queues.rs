//! Queueing disciplines of devices and routing rules that go by a mark, asked by rtnetlink.
//!
//! Layouts are those of `linux/rtnetlink.h` and `linux/fib_rules.h`.

use crate::netlink::{Attribute, Malformed, Message, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};

/// `RTM_GETQDISC`, and the bytes of `struct tcmsg`, in which the device's number follows four other bytes.
const GET_QUEUES: u16 = 38;
const QUEUE_HEADER: usize = 20;
const DEVICE: usize = 4;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// Where the protocol stands whose packets a filter looks at, of all of them, in the order of the network.
const PROTOCOL: usize = 16;
const EVERY_PROTOCOL: [u8; 2] = [0, 3];
/// `TCA_U32_SEL`, and where its first condition begins, with its mask; a condition has 16 bytes.
const SELECTOR: u16 = 5;
const CONDITIONS: usize = 16;
/// `RTM_GETTFILTER`, and where in `struct tcmsg` the parent stands: for what comes in, of `ingress` and `clsact` alike.
const GET_FILTERS: u16 = 46;
const PARENT: usize = 12;
const INCOMING: u32 = 0xffff_fff2;
/// `TCA_MIRRED_PARMS`, and where in `struct tc_mirred` it says what is done: `TCA_EGRESS_REDIR`, `TCA_INGRESS_REDIR`.
const PARAMETERS: u16 = 2;
const WHAT: usize = 20;
const REDIRECT_OUT: i32 = 1;
const REDIRECT_IN: i32 = 3;
/// `RTM_GETRULE`, and the bytes of `struct fib_rule_hdr`.
const GET_RULES: u16 = 34;
const RULE_HEADER: usize = 12;
const MARK: u16 = 10;

/// The kind of each queueing discipline, with the number of its device.
///
/// # Errors
/// What the kernel refused; so for the other.
pub fn queues() -> Result<Vec<(u32, String)>, Trouble> {
    let mut found = Vec::new();
    socket::ask::<Trouble>(Subsystem::Route, Request::dump(GET_QUEUES, &[0; QUEUE_HEADER]), |message| {
        found.push(queue(message)?);
        Ok(())
    })?;
    Ok(found)
}

/// How many routing rules go by a mark.
pub fn marked_rules() -> Result<usize, Trouble> {
    let mut number = 0;
    socket::ask::<Trouble>(Subsystem::Route, Request::dump(GET_RULES, &[0; RULE_HEADER]), |message| {
        number += usize::from(has_mark(message)?);
        Ok(())
    })?;
    Ok(number)
}

/// Which packets that come in through a device are redirected to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redirects {
    /// None.
    None,
    /// Some of them: which ones is not looked at.
    Some,
    /// All of them.
    All,
}

/// Which packets that come in through a device are redirected to another one.
///
/// # Errors
/// What the kernel refused.
pub fn redirects(device: u32) -> Result<Redirects, Trouble> {
    let mut header = [0; QUEUE_HEADER];
    header[DEVICE..DEVICE + 4].copy_from_slice(&device.to_ne_bytes());
    header[PARENT..PARENT + 4].copy_from_slice(&INCOMING.to_ne_bytes());
    let mut found = Redirects::None;
    socket::ask::<Trouble>(Subsystem::Route, Request::dump(GET_FILTERS, &header), |message| {
        found = found.max(redirect(message)?);
        Ok(())
    })?;
    Ok(found)
}

/// Devices that redirect packets as they come in, by their number, of those with such queueing disciplines.
pub fn redirecting(queues: &[(u32, String)]) -> Vec<(u32, Redirects)> {
    let incoming = queues.iter().filter(|(_, kind)| kind == "ingress" || kind == "clsact");
    let asked = incoming.map(|(device, _)| (*device, redirects(*device).unwrap_or(Redirects::None)));
    asked.filter(|(_, redirects)| *redirects != Redirects::None).collect()
}

/// Reads one `RTM_NEWTFILTER`: each kind of classifier has its list of actions in an attribute of another number.
///
/// # Errors
/// A length that does not fit.
pub fn redirect(message: &Message<'_>) -> Result<Redirects, Malformed> {
    let (header, rest) = message.payload.split_at_checked(QUEUE_HEADER).ok_or(Malformed)?;
    let of_every_protocol = header.get(PROTOCOL..PROTOCOL + 2).is_some_and(|protocol| {
        // The lower half of a number in the machine's order.
        let place = if cfg!(target_endian = "big") { header.get(PROTOCOL + 2..) } else { Some(protocol) };
        place.is_some_and(|protocol| protocol.starts_with(&EVERY_PROTOCOL))
    });
    let (mut is_redirect, mut takes_all) = (false, false);
    for found in attributes(rest) {
        let found = found?;
        match found.kind {
            KIND => takes_all |= found.text() == "matchall",
            OPTIONS => {
                for option in found.nested().flatten() {
                    is_redirect |= option.nested().flatten().any(|action| is_redirection(&action));
                    takes_all |= option.kind == SELECTOR && is_empty(option.value);
                }
            }
            _ => {}
        }
    }
    Ok(match (is_redirect, takes_all && of_every_protocol) {
        (false, _) => Redirects::None,
        (true, false) => Redirects::Some,
        (true, true) => Redirects::All,
    })
}

/// Whether a selector of u32 has no condition that looks at any bit.
fn is_empty(selector: &[u8]) -> bool {
    let conditions = selector.get(CONDITIONS..).unwrap_or_default();
    conditions.chunks_exact(16).all(|condition| condition.starts_with(&[0; 4]))
}

/// One action: its kind, and in its options what it does.
fn is_redirection(action: &Attribute<'_>) -> bool {
    let fields: Vec<_> = action.nested().flatten().collect();
    let field = |kind| fields.iter().find(|field| field.kind == kind);
    let is_mirred = field(KIND).is_some_and(|kind| kind.value == b"mirred\0");
    let parameters = field(OPTIONS).and_then(|options| options.nested().flatten().find(|part| part.kind == PARAMETERS));
    let what = parameters.and_then(|parameters| parameters.value.get(WHAT..)?.first_chunk().copied());
    is_mirred && matches!(what.map(i32::from_ne_bytes), Some(REDIRECT_OUT | REDIRECT_IN))
}

/// Reads one `RTM_NEWQDISC`.
///
/// # Errors
/// A length that does not fit; so for the other.
pub fn queue(message: &Message<'_>) -> Result<(u32, String), Malformed> {
    let (header, rest) = message.payload.split_at_checked(QUEUE_HEADER).ok_or(Malformed)?;
    let device = header.get(DEVICE..).and_then(|bytes| bytes.first_chunk()).ok_or(Malformed)?;
    let mut kind = String::new();
    for found in attributes(rest) {
        let found = found?;
        if found.kind == KIND {
            kind = found.text();
        }
    }
    Ok((u32::from_ne_bytes(*device), kind))
}

/// Reads one `RTM_NEWRULE`.
pub fn has_mark(message: &Message<'_>) -> Result<bool, Malformed> {
    let (_, rest) = message.payload.split_at_checked(RULE_HEADER).ok_or(Malformed)?;
    for found in attributes(rest) {
        let found = found?;
        if found.kind == MARK {
            return Ok(found.native_u32()? != 0);
        }
    }
    Ok(false)
}
