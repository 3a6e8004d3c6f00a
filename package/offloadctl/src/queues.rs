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

/// Whether packets that come in through a device are redirected to another one.
///
/// # Errors
/// What the kernel refused.
pub fn redirects(device: u32) -> Result<bool, Trouble> {
    let mut header = [0; QUEUE_HEADER];
    header[DEVICE..DEVICE + 4].copy_from_slice(&device.to_ne_bytes());
    header[PARENT..PARENT + 4].copy_from_slice(&INCOMING.to_ne_bytes());
    let mut found = false;
    socket::ask::<Trouble>(Subsystem::Route, Request::dump(GET_FILTERS, &header), |message| {
        found |= is_redirect(message)?;
        Ok(())
    })?;
    Ok(found)
}

/// Reads one `RTM_NEWTFILTER`: each kind of classifier has its list of actions in an attribute of another number.
///
/// # Errors
/// A length that does not fit.
pub fn is_redirect(message: &Message<'_>) -> Result<bool, Malformed> {
    let (_, rest) = message.payload.split_at_checked(QUEUE_HEADER).ok_or(Malformed)?;
    let mut found = false;
    for option in attributes(rest) {
        let option = option?;
        if option.kind != OPTIONS {
            continue;
        }
        let lists = option.nested().flatten().flat_map(|list| list.nested().flatten());
        found |= lists.into_iter().any(|action| is_redirection(&action));
    }
    Ok(found)
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
