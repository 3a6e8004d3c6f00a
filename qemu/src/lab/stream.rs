//! The wire to an emulated router: the unix socket that QEMU's `-netdev stream` connects to.
//!
//! QEMU sends each Ethernet frame behind its length in four bytes, big-endian (`net/stream.c` and
//! `net_fill_rstate` in `net/net.c`). A wrong length cannot be recovered from: nothing in the stream
//! marks the start of a frame.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Failure, Result};
use tempfile::TempDir;

use super::failures;
use super::frames::{Inbox, Outbox};
use super::plan::{Both, Side};
use super::wire::{Closed, Wire, Wires, Words};

const WORDS: Words = Words {
    who: "QEMU",
    absent: "look at QEMU's own messages; it must be started with the two `-netdev stream` arguments, and be version 7.2 or newer",
    gone: "QEMU ended, crashed or was not started yet: look at its last messages and the guest's console",
    noise: "make sure that only QEMU's `-netdev stream` uses the socket, then run again",
};

/// A socket that QEMU connects to; it goes with the wire.
#[derive(Debug)]
struct Stream {
    path: Utf8PathBuf,
    listener: UnixListener,
    /// A connection of QEMU.
    peer: Option<UnixStream>,
    /// The directory, where it is ours.
    _folder: Option<Arc<TempDir>>,
}

/// Listens on `lan.sock` and `wan.sock` in an empty directory that only this user may enter (mode 0700): whoever may
/// enter it may pretend to be the router.
///
/// # Errors
/// `LAB001` when a socket cannot be had.
pub fn listen(directory: &Utf8Path) -> Result<Wires> {
    listen_in(directory, None)
}

/// Listens in a new directory, which goes with the second of the wires.
///
/// # Errors
/// `LAB001` or `IO…` when there is no place for sockets.
pub fn private() -> Result<Wires> {
    let temporary = std::env::temp_dir();
    let failed = |error: &io::Error| Failure::io("make a folder for the lab's sockets", temporary.display(), error);
    let private = std::fs::Permissions::from_mode(0o700);
    let folder =
        tempfile::Builder::new().prefix("lab-").permissions(private).tempdir().map_err(|error| failed(&error))?;
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned())
        .map_err(|_| failed(&io::ErrorKind::InvalidFilename.into()))?;
    listen_in(&path, Some(Arc::new(folder)))
}

fn listen_in(directory: &Utf8Path, folder: Option<Arc<TempDir>>) -> Result<Wires> {
    let metadata =
        std::fs::metadata(directory).map_err(|error| Failure::io("use the work directory", directory, &error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let error = io::Error::other("others may enter its directory, which must have mode 0700");
        return Err(failures::listen(directory, &error));
    }
    let wire = |side: Side| -> Result<Box<dyn Wire>> {
        Ok(Box::new(Stream::listen(directory.join(format!("{}.sock", side.word())), folder.clone())?))
    };
    Ok(Both { lan: wire(Side::Lan)?, wan: wire(Side::Wan)? })
}

impl Stream {
    fn listen(path: Utf8PathBuf, folder: Option<Arc<TempDir>>) -> Result<Stream> {
        let bound = UnixListener::bind(&path).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        match bound {
            Ok(listener) => Ok(Stream { path, listener, peer: None, _folder: folder }),
            Err(error) => Err(failures::listen(&path, &error)),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Wire for Stream {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.peer.as_ref().map_or_else(|| self.listener.as_fd(), AsFd::as_fd))
    }

    fn connect(&mut self) -> io::Result<bool> {
        let accepted = self.listener.accept().and_then(|(peer, _)| peer.set_nonblocking(true).map(|()| peer));
        match accepted {
            Ok(peer) => {
                self.peer = Some(peer);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self, inbox: &mut Inbox) -> Result<(), Closed> {
        self.peer.as_mut().map_or_else(|| Err(closed()), |peer| receive(peer, inbox))
    }

    fn send(&mut self, outbox: &mut Outbox) -> Result<(), Closed> {
        self.peer.as_mut().map_or_else(|| Err(closed()), |peer| send(peer, outbox))
    }

    fn disconnect(&mut self) {
        self.peer = None;
    }

    fn words(&self) -> &'static Words {
        &WORDS
    }

    fn socket(&self) -> Option<&Utf8Path> {
        Some(&self.path)
    }
}

/// Reads what is there, as far as there is room.
pub(super) fn receive(mut peer: impl Read, inbox: &mut Inbox) -> Result<(), Closed> {
    loop {
        let room = inbox.room();
        if room.is_empty() {
            return Ok(());
        }
        match peer.read(room) {
            // The last frames are worth having; the end is found again after them.
            Ok(0) if inbox.has_frame() == Ok(true) => return Ok(()),
            Ok(0) => return Err(closed()),
            Ok(count) => inbox.add(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Closed(error.to_string())),
        }
    }
}

/// Sends what is taken, in pieces that need not be frames.
pub(super) fn send(mut peer: impl Write, outbox: &mut Outbox) -> Result<(), Closed> {
    while !outbox.unsent().is_empty() {
        match peer.write(outbox.unsent()) {
            Ok(count) => outbox.remove(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Closed(error.to_string())),
        }
    }
    Ok(())
}

fn closed() -> Closed {
    Closed("QEMU closed the connection".into())
}

#[cfg(test)]
mod tests;
