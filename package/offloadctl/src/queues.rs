//! Queueing disciplines of devices and routing rules that go by a mark, asked by rtnetlink.
//!
//! Layouts are those of `linux/rtnetlink.h` and `linux/fib_rules.h`.

use crate::netlink::{Malformed, Message, Request, attributes};
use crate::socket::{self, Subsystem, Trouble};

/// `RTM_GETQDISC`, and the bytes of `struct tcmsg`, in which the device's number follows four other bytes.
const GET_QUEUES: u16 = 38;
const QUEUE_HEADER: usize = 20;
const DEVICE: usize = 4;
const KIND: u16 = 1;
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
