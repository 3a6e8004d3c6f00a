//! One netlink conversation: a request and its answers, in bounded memory.

use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{GENERIC, NETFILTER, XFRM},
    recv, send, socket_with, sockopt,
};

use crate::finding::Finding;
use crate::netlink::{self, Malformed, Message, Request};

/// The kernel fills at most 32 KiB for a dump; anything above is reported as truncated rather than guessed at.
const RECEIVE_BYTES: usize = 64 * 1024;
/// How long the kernel may be silent. It answers from memory, so seconds mean that nothing will come.
const SILENCE: Duration = Duration::from_secs(5);

/// Why an answer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel wants `CAP_NET_ADMIN`.
    NotPermitted,
    /// This kernel has no such subsystem, or its module is not loaded.
    NotThere,
    /// The kernel or a sandbox refused with another error number.
    Refused(i32),
    /// No answer in time.
    Silent,
    /// The answer does not follow the documented layout.
    Malformed,
}

impl From<Malformed> for Trouble {
    fn from(_: Malformed) -> Trouble {
        Trouble::Malformed
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::from_number(errno.raw_os_error())
    }
}

impl Trouble {
    /// Sorts an error number of the kernel. A subsystem that is not registered is answered with `EINVAL`, a netfilter
    /// without netlink with `EPROTONOSUPPORT`.
    fn from_number(number: i32) -> Trouble {
        match Errno::from_raw_os_error(number) {
            Errno::PERM | Errno::ACCESS => Trouble::NotPermitted,
            Errno::INVAL | Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => Trouble::NotThere,
            Errno::AGAIN => Trouble::Silent,
            _ => Trouble::Refused(number),
        }
    }

    /// In words, about `subject` ("the flowtables", …).
    pub fn finding(self, subject: &str) -> Finding {
        let what = format!("cannot read {subject}");
        match self {
            Trouble::NotPermitted => Finding::not_permitted(subject),
            Trouble::NotThere => Finding::new(
                "OCTL004",
                what,
                "this kernel has no such netlink subsystem, or its module is not loaded",
                "install kmod-nft-offload and kmod-nf-conntrack-netlink, then load them or reboot",
            ),
            Trouble::Refused(number) => Finding::new(
                "OCTL005",
                what,
                format!("the kernel or a sandbox refused: {}", std::io::Error::from_raw_os_error(number)),
                "try again on the router itself, as root and outside of containers",
            ),
            Trouble::Silent => Finding::new(
                "OCTL007",
                what,
                format!("the kernel did not answer within {} seconds", SILENCE.as_secs()),
                "look at dmesg for a blocked or crashed kernel, then try again",
            ),
            Trouble::Malformed => Finding::new(
                "OCTL006",
                what,
                "the kernel's answer does not follow the layout of netlink that this version knows",
                "update offloadctl; if it is the newest, report it with the kernel release",
            ),
        }
    }
}

/// Whether the kernel's list stood still during the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Each item was seen once.
    Steady,
    /// Items may be missing or doubled.
    Changed,
}

/// Part of the kernel that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsystem {
    /// nf_tables and ctnetlink.
    Netfilter,
    /// Everything with a name of its own, such as ethtool.
    Generic,
    /// Routes and devices.
    Route,
    /// IPsec.
    Ipsec,
}

/// Sends a request and hands each message of the answer to `each`, as it arrives.
///
/// # Errors
/// What the kernel refused, or the first error that `each` returns.
pub fn ask<E: From<Trouble>>(
    subsystem: Subsystem,
    request: Request,
    mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<Consistency, E> {
    ask_in_turn(subsystem, request, &mut each)
}

/// What does it is there once for each kind of error, and not for each question: the program has to be small.
#[inline(never)]
fn ask_in_turn<E: From<Trouble>>(
    subsystem: Subsystem,
    request: Request,
    each: &mut dyn FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<Consistency, E> {
    let (socket, mut buffer) = open(subsystem).map_err(Trouble::from)?;
    send(&socket, &request.into_bytes(), SendFlags::empty()).map_err(Trouble::from)?;
    let mut consistency = Consistency::Steady;
    loop {
        let length = match recv(&socket, &mut buffer[..], RecvFlags::TRUNC) {
            Err(Errno::INTR) => continue,
            received => received.map_err(Trouble::from)?.1,
        };
        // With TRUNC the kernel tells the full length, also of what it had to cut off.
        let datagram = buffer.get(..length).ok_or(Trouble::Malformed)?;
        for message in netlink::messages(datagram) {
            let message = message.map_err(Trouble::from)?;
            if message.sequence != netlink::SEQUENCE {
                continue;
            }
            if message.flags & netlink::FLAG_INTERRUPTED != 0 {
                consistency = Consistency::Changed;
            }
            match (message.kind, message.error_number()) {
                (netlink::KIND_DONE | netlink::KIND_ERROR, 0) => return Ok(consistency),
                (netlink::KIND_DONE | netlink::KIND_ERROR, number) => return Err(Trouble::from_number(number).into()),
                (netlink::KIND_LOWEST.., _) => each(&message)?,
                _ => {}
            }
        }
    }
}

fn open(subsystem: Subsystem) -> Result<(rustix::fd::OwnedFd, Vec<u8>), Errno> {
    let protocol = match subsystem {
        Subsystem::Netfilter => Some(NETFILTER),
        Subsystem::Generic => Some(GENERIC),
        // Its number is 0.
        Subsystem::Route => None,
        Subsystem::Ipsec => Some(XFRM),
    };
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(SILENCE))?;
    Ok((socket, vec![0; RECEIVE_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_its_own_id() {
        let ids = [
            (Errno::PERM, "OCTL003"),
            (Errno::INVAL, "OCTL004"),
            (Errno::PROTONOSUPPORT, "OCTL004"),
            (Errno::NOMEM, "OCTL005"),
            (Errno::AGAIN, "OCTL007"),
        ];
        for (errno, id) in ids {
            assert_eq!(Trouble::from(errno).finding("the flowtables").id, id);
        }
        assert_eq!(Trouble::from(Malformed).finding("the flowtables").id, "OCTL006");
    }

    #[test]
    fn a_subsystem_that_no_kernel_has_is_not_there() {
        // 0xff is above NFNL_SUBSYS_COUNT of every kernel; without privilege the kernel says so first.
        let answer = ask::<Trouble>(Subsystem::Netfilter, Request::netfilter(0xff00), |_| Ok(()));
        assert!(matches!(answer, Err(Trouble::NotThere | Trouble::NotPermitted)), "{answer:?}");
    }
}
