//! The lab without QEMU: a thread plays the router.

mod flows;
mod ftp;
mod pppoe;
mod robust;
mod router;
mod special;
mod topology;
mod web;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8PathBuf;
use model::{Cancel, Deadline, Result};
use tempfile::TempDir;

use super::{Lab, Options, Plan, Side, stream};

/// Long enough for a busy machine, and never waited for in a test that passes.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// A deadline that is meant to pass.
fn at_once() -> Deadline {
    Deadline::after(Duration::from_millis(200))
}

/// Both hosts in one network, for a router that only passes frames on.
fn bridged() -> Plan {
    let mut plan = Plan::masquerade();
    for (host, number) in [(&mut plan.lan, 1), (&mut plan.wan, 2)] {
        host.ipv4 = (Ipv4Addr::new(10, 0, 0, number), 24);
        host.ipv6 = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()), 64);
        host.gateway4 = None;
        host.gateway6 = None;
    }
    plan
}

/// Connects as QEMU does.
fn connect(lab: &Lab, side: Side) -> UnixStream {
    UnixStream::connect(lab.socket(side).unwrap()).unwrap()
}

/// The directory of a test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        Place(tempfile::Builder::new().permissions(private).tempdir().unwrap())
    }

    fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.0.path().to_owned()).unwrap()
    }

    fn options(&self) -> Options {
        Options::new(bridged(), Cancel::default())
    }

    fn lab(&self) -> Lab {
        self.lab_with(self.options()).unwrap()
    }

    fn lab_with(&self, options: Options) -> Result<Lab> {
        Lab::start(stream::listen(&self.path())?, options)
    }
}
