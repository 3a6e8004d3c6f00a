//! A line of text over a TCP connection, for protocols that routers read and rewrite.

use model::Result;
use smoltcp::iface::SocketHandle;

use super::super::failures;
use super::super::host::Host;
use super::super::plan::{Both, Side};
use super::super::traffic::{End, Flow, Transport};

/// The longest line that is listened to, in bytes.
const LONGEST: usize = 1000;

/// A line on its way.
#[derive(Debug)]
pub(super) struct Line {
    from: End,
    /// What was not yet given to the stack.
    left: Vec<u8>,
    heard: Vec<u8>,
}

impl Line {
    /// Fails when the flow has no two ends that can talk, or the text is no line.
    pub(super) fn new(flow: &Flow, from: End, text: &str) -> Result<Line> {
        if flow.transport != Transport::Tcp || flow.echo {
            return Err(failures::bad_flow("lines of text go over a TCP connection between the two hosts"));
        }
        if text.contains(['\r', '\n']) || text.len() > LONGEST - 2 {
            return Err(failures::bad_flow("a line of text has no line break and is at most 998 bytes long"));
        }
        Ok(Line { from, left: format!("{text}\r\n").into_bytes(), heard: Vec::new() })
    }

    /// Gives the text to the one end and takes it from the other; `ends` are the near and the far one.
    pub(super) fn advance(&mut self, ends: [(Side, SocketHandle); 2], hosts: &mut Both<Host>) {
        let [from, to] = match self.from {
            End::Near => ends,
            End::Far => [ends[1], ends[0]],
        };
        if let Ok(sent) = hosts.get_mut(from.0).tcp(from.1).send_slice(&self.left) {
            self.left.drain(..sent);
        }
        let socket = hosts.get_mut(to.0).tcp(to.1);
        while socket.can_recv() && self.heard.len() < LONGEST {
            let room = LONGEST - self.heard.len();
            let heard = socket.recv(|data| {
                let length = data.len().min(room);
                self.heard.extend_from_slice(&data[..length]);
                (length, ())
            });
            if heard.is_err() {
                return;
            }
        }
    }

    /// What the other end heard, once it is a whole line.
    pub(super) fn heard(&self) -> Option<String> {
        let text = self.heard.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
