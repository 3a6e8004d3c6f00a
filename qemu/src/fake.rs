//! A guest and wires that are made up, so that whatever talks to a router can be tested without one.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::{Deadline, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use crate::guest::{About, Guest, Origin, Output};
use crate::lab::frames::{Inbox, MAX_FRAME, Outbox};
use crate::lab::{Both, Closed, Wire, Wires, Words};

/// Answers a script, or a command given by its words with blanks between them.
pub type Answer<'a> = dyn FnMut(&str) -> Result<Output> + 'a;

/// A guest that answers what a function says.
pub struct Scripted<'a> {
    about: About,
    answer: Box<Answer<'a>>,
    /// What was put into it.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl<'a> Scripted<'a> {
    /// A stand-in on Linux 6.12 that answers so.
    pub fn new(answer: impl FnMut(&str) -> Result<Output> + 'a) -> Self {
        let about = About { label: "a fake".into(), kernel: "6.12".into(), origin: Origin::StandIn };
        Scripted { about, answer: Box::new(answer), files: BTreeMap::new() }
    }

    /// The same guest, which is something else.
    #[must_use]
    pub fn that_is(self, about: About) -> Self {
        Scripted { about, ..self }
    }
}

/// What a command that went well prints.
pub fn says(text: &str) -> Output {
    Output { code: 0, out: text.into() }
}

impl Guest for Scripted<'_> {
    fn about(&self) -> &About {
        &self.about
    }

    fn run(&mut self, words: &[&str], _: Deadline) -> Result<Output> {
        (self.answer)(&words.join(" "))
    }

    fn script(&mut self, script: &str, _: Deadline) -> Result<Output> {
        (self.answer)(script)
    }

    fn put(&mut self, files: &[(&str, &[u8])], _: Deadline) -> Result<()> {
        self.files.extend(files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())));
        Ok(())
    }

    fn reboot(&mut self, _: Deadline) -> Result<()> {
        (self.answer)("reboot").map(drop)
    }

    fn tail(&self) -> String {
        "the end of a fake".into()
    }

    fn power_off(self: Box<Self>, _: Deadline) -> Result<()> {
        Ok(())
    }
}

/// Two wires for a lab, and their other ends: sockets on which each message is a frame.
///
/// # Errors
/// What the system says to one socket more.
pub fn wires() -> io::Result<(Wires, Both<OwnedFd>)> {
    let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let ((lan, far_lan), (wan, far_wan)) = (pair()?, pair()?);
    for end in [&lan, &wan] {
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((Both { lan: Box::new(Cable(Some(lan))), wan: Box::new(Cable(Some(wan))) }, Both { lan: far_lan, wan: far_wan }))
}

/// A wire of which every message is a frame, as on an interface of the host. Once cut, it stays so.
struct Cable(Option<OwnedFd>);

const WORDS: Words = Words {
    who: "the test",
    absent: "connect it",
    gone: "keep the other end as long as the lab",
    noise: "send frames",
};

impl Wire for Cable {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    fn connect(&mut self) -> io::Result<bool> {
        Ok(self.0.is_some())
    }

    fn receive(&mut self, inbox: &mut Inbox) -> Result<(), Closed> {
        let Some(end) = &self.0 else { return Err(cut()) };
        loop {
            match inbox.add_frame(|room| recv(end, room, RecvFlags::empty()).map(|(count, _)| count)) {
                Some(Ok(0)) => return Err(cut()),
                Some(Ok(_)) => {}
                None | Some(Err(Errno::AGAIN)) => return Ok(()),
                Some(Err(Errno::INTR)) => {}
                Some(Err(error)) => return Err(Closed(io::Error::from(error).to_string())),
            }
        }
    }

    fn send(&mut self, outbox: &mut Outbox) -> Result<(), Closed> {
        let Some(end) = &self.0 else { return Err(cut()) };
        while let Some(frame) = outbox.first() {
            match send(end, frame, SendFlags::NOSIGNAL) {
                Ok(_) => outbox.remove_first(),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Closed(io::Error::from(error).to_string())),
            }
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        self.0 = None;
    }

    fn words(&self) -> &'static Words {
        &WORDS
    }
}

fn cut() -> Closed {
    Closed("the other end was dropped".into())
}

/// Takes a frame from the other end of a wire; `None` when the lab is gone.
///
/// # Errors
/// What the system says to reading a socket.
pub fn take(end: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; MAX_FRAME];
    let (count, _) = recv(end, &mut frame[..], RecvFlags::empty())?;
    frame.truncate(count);
    Ok((count > 0).then_some(frame))
}

/// Sends a frame from the other end of a wire.
///
/// # Errors
/// The lab is gone.
pub fn give(end: &OwnedFd, frame: &[u8]) -> io::Result<()> {
    send(end, frame, SendFlags::NOSIGNAL)?;
    Ok(())
}
