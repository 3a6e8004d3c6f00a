//! Refuses what the stack cannot send, before anything is set up.

use std::net::IpAddr;

use model::Result;

use super::super::failures;
use super::super::payload::DATAGRAM_HEADER;
use super::super::plan::HostPlan;
use super::super::traffic::{Flow, Special, Transport};

/// Largest windows: datagrams, and bytes.
const MAX_DATAGRAMS: usize = 1024;
const MAX_BYTES: usize = 16 << 20;

/// The least that a fragment but the last can hold, RFC 791 §3.2.
const FRAGMENT_UNIT: usize = 8;

/// Payload bytes of the largest datagram from `host` to the flow's destination.
pub(super) fn room(flow: &Flow, host: &HostPlan) -> usize {
    // UDP and ICMP echo have headers of the same length.
    host.mtu - 8 - if flow.to.is_ipv4() { 20 } else { 40 }
}

/// Whether a flow makes sense.
pub(super) fn flow(flow: &Flow, near: &HostPlan) -> Result<()> {
    let refuse = |why: String| Err(failures::bad_flow(why));
    let to = flow.to.ip();
    if to.is_multicast() || to.is_unspecified() || to == IpAddr::from([255; 4]) {
        return refuse(format!("{to} is not the address of one host"));
    }
    if near.next_hop(to).is_none() {
        return refuse(format!("the {} host has no route to {to}", flow.from.word()));
    }
    if flow.transport == Transport::Icmp {
        if !flow.echo {
            return refuse("an ICMP flow that is no echo has nobody who answers".into());
        }
    } else if flow.to.port() == 0 || flow.far_port() == 0 {
        return refuse("port 0 cannot be sent to".into());
    }
    let most = match flow.transport {
        Transport::Tcp => MAX_BYTES,
        Transport::Udp | Transport::Icmp => MAX_DATAGRAMS,
    };
    if !(1..=most).contains(&flow.window) {
        return refuse(format!("a window of {} is not between 1 and {most}", flow.window));
    }
    if flow.transport == Transport::Tcp {
        return Ok(());
    }
    if flow.sizes.is_empty() {
        return refuse("no size of datagrams is given".into());
    }
    sizes(&flow.sizes, room(flow, near))
}

/// Whether packets of a flow can be special like this.
pub(super) fn special(special: &Special, flow: &Flow, near: &HostPlan) -> Result<()> {
    let refuse = |why: &str| Err(failures::bad_flow(why));
    if special.changes_packets() && flow.to.is_ipv6() {
        return refuse("options, fragments and the DF bit are of IPv4 only");
    }
    if special.fragment.is_some_and(|most| most < FRAGMENT_UNIT) {
        return refuse("a fragment holds at least 8 bytes");
    }
    let option = special.option.map_or(0, |option| option.bytes().len());
    if flow.transport == Transport::Tcp {
        return if option == 0 { Ok(()) } else { refuse("TCP fills its packets and leaves no room for an option") };
    }
    let each = if special.sizes.is_empty() { &flow.sizes } else { &special.sizes };
    sizes(each, room(flow, near) - option)
}

fn sizes(sizes: &[usize], most: usize) -> Result<()> {
    match sizes.iter().find(|&&size| !(DATAGRAM_HEADER..=most).contains(&size)) {
        Some(size) => {
            Err(failures::bad_flow(format!("a datagram of {size} bytes is not between {DATAGRAM_HEADER} and {most}")))
        }
        None => Ok(()),
    }
}
