//! The lab: this process is both ends of the wire.
//!
//! ```text
//!          our process                          QEMU                          our process
//!  ┌──────────────────────────┐     ┌─────────────────────────┐     ┌──────────────────────────┐
//!  │ LAN host  192.168.1.2/24 │     │         router          │     │ WAN host  203.0.113.2/24 │
//!  │ flows, smoltcp           ├─────┤ eth0               eth1 ├─────┤ flows, smoltcp           │
//!  │ gateway 192.168.1.1      │  ▲  │ 192.168.1.1 203.0.113.1 │  ▲  │ web server on port 80    │
//!  └──────────────────────────┘  │  └─────────────────────────┘  │  └──────────────────────────┘
//!                             lan.sock                       wan.sock
//! ```
//!
//! What is between a host and the router is a [`Wire`]. Each NIC of an emulated router is a `-netdev stream`
//! that connects to one of our unix sockets ([`stream`]). There is no other path: what the router sends ends
//! here, and is counted, checked and, if asked for, captured. No privilege, bridge, tap device or second guest is
//! needed.
//!
//! ```no_run
//! use std::time::Duration;
//! use model::{Cancel, Deadline};
//! use vm::lab::{Flow, Lab, Options, Plan, Side, stream};
//!
//! # fn main() -> model::Result<()> {
//! let soon = || Deadline::after(Duration::from_secs(10));
//! let wires = stream::listen("/tmp/private".into())?;
//! let lab = Lab::start(wires, Options::new(Plan::masquerade(), Cancel::default()))?;
//! // Start QEMU with `lab.socket(Side::Lan)` and `lab.socket(Side::Wan)`, then:
//! lab.connected(soon())?;
//! let mut flow = lab.open(Flow::udp(Side::Lan, ([203, 0, 113, 2], 5000).into()), soon())?;
//! flow.exchange(2000, soon())?;
//! // Look at the router while the flow is alive, then go on or end it.
//! let report = flow.close(soon())?;
//! report.check()?;
//! assert_eq!(report.there.source.map(|from| from.ip()), Some([203, 0, 113, 1].into()), "masqueraded");
//! assert_eq!(report.there.wire.hop_limit, Some((63, 63)), "one router on the way");
//! # Ok(())
//! # }
//! ```
//!
//! Every call that waits has a deadline and ends early when the user interrupts. Dropping the [`Lab`]
//! ends its thread and removes its sockets.

mod craft;
mod dhcp;
mod engine;
mod failures;
mod flow;
pub mod frames;
mod ftp;
mod handle;
mod host;
mod http;
mod link;
mod neighbour;
mod nic;
mod notes;
mod packet;
mod payload;
mod pcap;
mod plan;
mod pppoe;
mod remote;
mod report;
mod request;
pub mod stream;
mod tag;
mod traffic;
mod tunnel;
mod way;
mod wire;
mod wireguard;

#[cfg(test)]
mod tests;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Failure, Result};

use engine::{Engine, Parts};
use frames::MAX_FRAME;
use link::Record;
use pcap::Capture;
use remote::{Command, Remote};

pub use ftp::{Ftp, FtpMode};
pub use handle::FlowHandle;
pub use http::Request;
pub use link::{FrameCounts, LinkCounts};
pub use plan::{Both, HostPlan, PPPOE_MTU, Plan, Side, Tunnel};
pub use report::{Amount, Arrivals, Direction, Exchange, FlowReport, Refusals};
pub use traffic::{End, Flow, IpOption, Special, Transport};
pub use wire::{Closed, Wire, Wires, Words};

/// What the stack can do: IPv6 needs 1,280 bytes, and smoltcp is tested up to 9,216.
const MTUS: std::ops::RangeInclusive<usize> = 1280..=9000;

/// How to start a [`Lab`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The addresses of both hosts.
    pub plan: Plan,
    /// An existing directory for `lan.pcap` and `wan.pcap`, if links are to be captured.
    pub captures: Option<Utf8PathBuf>,
    /// Ends all waits.
    pub cancel: Cancel,
}

impl Options {
    /// Without captures.
    pub fn new(plan: Plan, cancel: Cancel) -> Self {
        Options { plan, captures: None, cancel }
    }
}

/// Two links with a host on each, and the thread that runs them.
#[derive(Debug)]
pub struct Lab {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
    /// Where QEMU connects, if it is to.
    sockets: Both<Option<Utf8PathBuf>>,
    next_flow: AtomicU64,
}

impl Lab {
    /// Puts a host at each of two wires.
    ///
    /// Fails with `LAB005` for an MTU or a VLAN that cannot be, `IO…` when a capture cannot be written, and
    /// `LAB013` when the thread cannot be started.
    pub fn start(wires: Wires, options: Options) -> Result<Lab> {
        let Options { plan, captures, cancel } = options;
        for side in [Side::Lan, Side::Wan] {
            let HostPlan { mtu, vlan, pppoe, .. } = *plan.get(side);
            if !MTUS.contains(&mtu) {
                let (least, most) = (MTUS.start(), MTUS.end());
                return Err(failures::bad_flow(format!("an MTU of {mtu} is not between {least} and {most}")));
            }
            if pppoe.is_some() && mtu > PPPOE_MTU {
                return Err(failures::bad_flow(format!("an MTU of {mtu} over PPPoE is more than {PPPOE_MTU}")));
            }
            if let Some(vlan) = vlan.filter(|vlan| !tag::VLANS.contains(vlan)) {
                let (first, last) = (tag::VLANS.start(), tag::VLANS.end());
                return Err(failures::bad_flow(format!("a VLAN of {vlan} is not between {first} and {last}")));
            }
        }
        let record = |side: Side| -> Result<Record> {
            let capture = match &captures {
                Some(directory) => {
                    let path = directory.join(format!("{}.pcap", side.word()));
                    Some(Capture::create(&path, u32::try_from(MAX_FRAME).unwrap_or(u32::MAX))?)
                }
                None => None,
            };
            Ok(Record { capture, ..Record::default() })
        };
        let records = Both { lan: record(Side::Lan)?, wan: record(Side::Wan)? };
        let socket = |wire: &dyn Wire| wire.socket().map(Utf8Path::to_owned);
        let sockets = Both { lan: socket(&*wires.lan), wan: socket(&*wires.wan) };
        let fail = |error: std::io::Error| failures::broken("start its thread", &error);
        let (commands, received) = channel();
        let (wake, woken) = UnixStream::pair().map_err(fail)?;
        for end in [&wake, &woken] {
            end.set_nonblocking(true).map_err(fail)?;
        }
        let engine = Engine::new(Parts { commands: received, wake: woken, wires, records, plan });
        let thread = std::thread::Builder::new().name("lab".into()).spawn(|| engine.run()).map_err(fail)?;
        let remote = Remote::new(commands, wake, cancel);
        Ok(Lab { remote, thread: Some(thread), sockets, next_flow: AtomicU64::new(0) })
    }

    /// The socket that QEMU's NIC on this side has to connect to, if the wire is for QEMU.
    pub fn socket(&self, side: Side) -> Option<&Utf8Path> {
        self.sockets.get(side).as_deref()
    }

    /// Waits until somebody is at the other end of both wires. Fails with `LAB002` after the deadline.
    pub fn connected(&self, deadline: Deadline) -> Result<()> {
        self.remote.call(deadline, |reply| Command::Connected { deadline, reply })
    }

    /// Opens a flow; a TCP connection is established at both ends when this returns.
    ///
    /// Fails with `LAB003` when a link is down, `LAB005` when the flow makes no sense, `LAB006` after
    /// the deadline, and `LAB009` when the connection was refused.
    pub fn open(&self, flow: Flow, deadline: Deadline) -> Result<FlowHandle> {
        let id = self.next_flow.fetch_add(1, Ordering::Relaxed);
        match self.remote.call(deadline, |reply| Command::Open { id, flow, deadline, reply }) {
            Ok(near) => Ok(FlowHandle::new(self.remote.clone(), id, near)),
            Err(failure) => {
                self.remote.tell(Command::Forget { id });
                Err(failure)
            }
        }
    }

    /// Serves a directory on port 80 of the WAN host from now on, in place of the one before.
    pub fn serve(&self, directory: &Utf8Path) -> Result<()> {
        let fail = |error| Failure::io("serve the directory", directory, &error);
        let root = directory.canonicalize_utf8().map_err(fail)?;
        std::fs::read_dir(&root).map_err(fail)?;
        self.remote.ask(|reply| Command::Serve { root, reply })
    }

    /// What the web server was asked for so far.
    pub fn requests(&self) -> Result<Vec<Request>> {
        self.remote.ask(|reply| Command::Requests { reply })
    }

    /// What went over the links so far.
    pub fn counts(&self) -> Result<Both<LinkCounts>> {
        self.remote.ask(|reply| Command::Counts { reply })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remote.tell(Command::Shutdown);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _panicked = thread.join();
        }
    }
}
