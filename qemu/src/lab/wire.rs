//! One wire: frames of a host into the router, and out of it.
//!
//! The lab asks nothing else of whatever is at the other end. A wire never waits: the lab does, with poll(2), for what
//! it names.

use std::io;
use std::os::fd::BorrowedFd;

use camino::Utf8Path;

use super::frames::{Inbox, Outbox};
use super::plan::Both;

/// The two wires of a lab.
pub type Wires = Both<Box<dyn Wire>>;

/// A wire, used by the lab's thread alone.
pub trait Wire: Send {
    /// What to wait for with poll(2): while nobody is at the other end, to read means that somebody may be. `None`:
    /// nobody will come.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Looks for the other end, without waiting; whether it is there. Asked until it is.
    ///
    /// # Errors
    /// What breaks the lab as a whole.
    fn connect(&mut self) -> io::Result<bool>;

    /// Takes the frames that have arrived, as far as there is room.
    ///
    /// # Errors
    /// The other end is gone, and its last frames are taken.
    fn receive(&mut self, inbox: &mut Inbox) -> Result<(), Closed>;

    /// Sends what the other end takes.
    ///
    /// # Errors
    /// The other end is gone.
    fn send(&mut self, outbox: &mut Outbox) -> Result<(), Closed>;

    /// Gives up the other end, which is gone or talks nonsense; another may come.
    fn disconnect(&mut self);

    /// How messages speak about it.
    fn words(&self) -> &'static Words;

    /// The socket that QEMU has to connect to, where the wire is one.
    fn socket(&self) -> Option<&Utf8Path> {
        None
    }
}

/// The other end is gone, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed(pub String);

/// How messages speak about a wire, and what they advise.
#[derive(Debug)]
pub struct Words {
    /// Who is at the other end, such as `QEMU`.
    pub who: &'static str,
    /// What to do when nobody came.
    pub absent: &'static str,
    /// What to do when it is gone.
    pub gone: &'static str,
    /// What to do when it sends what is no frame.
    pub noise: &'static str,
}
