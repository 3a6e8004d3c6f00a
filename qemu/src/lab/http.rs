//! The WAN host's web server: the router fetches the feed from it, as it would on the Internet.
//!
//! HTTP/1.1 (RFC 9112) as far as opkg, apk, wget and curl need it: GET and HEAD of plain files with a
//! length, several connections, kept open unless asked otherwise. Everything is written down, so a
//! scenario can tell what the router fetched, and what it did not.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};

use super::host::Host;
use super::request::{self, Head, MAX_HEAD, Method, Refusal};

/// The port.
pub(super) const PORT: u16 = 80;

/// Sockets that wait for a connection: smoltcp refuses a SYN that finds none.
const LISTENING: usize = 16;

/// Connections at once; more are refused.
const CONNECTIONS: usize = 64;

/// Bytes of a connection's buffers.
const WINDOW: usize = 128 << 10;

/// A connection that does nothing for so long is ended.
const IDLE: Duration = Duration::from_secs(30);

/// A request that the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Who asked; the router's own address, or what it translated to.
    pub peer: Option<SocketAddr>,
    /// The request line, such as `GET /Packages.gz HTTP/1.1`.
    pub line: String,
    /// The status code of the answer.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes: u64,
    /// Whether the whole answer was.
    pub complete: bool,
}

/// The server.
#[derive(Debug, Default)]
pub(super) struct Server {
    root: Option<Utf8PathBuf>,
    connections: Vec<Connection>,
    log: Vec<Request>,
}

/// An answer on its way.
#[derive(Debug)]
struct Answer {
    head: Vec<u8>,
    /// How much of `head` was sent.
    sent: usize,
    body: Body,
    keep: bool,
    /// Its place in the log.
    entry: usize,
}

#[derive(Debug)]
enum Body {
    Nothing,
    File { file: File, left: u64 },
}

/// A connection, or a socket that waits for one.
#[derive(Debug)]
struct Connection {
    socket: SocketHandle,
    /// What was received and not yet answered.
    received: Vec<u8>,
    answer: Option<Answer>,
    /// When something last happened; nothing yet for a socket that waits.
    active: Option<Instant>,
}

impl Server {
    /// Serves a directory from now on, in place of the one before; answers under way go on.
    pub(super) fn serve(&mut self, root: Utf8PathBuf) {
        self.root = Some(root);
    }

    /// What was asked so far.
    pub(super) fn log(&self) -> Vec<Request> {
        self.log.clone()
    }

    /// Forgets all connections: the router they came from is gone.
    pub(super) fn reset(&mut self, host: &mut Host) {
        for connection in self.connections.drain(..) {
            host.sockets.remove(connection.socket);
        }
    }

    /// Takes requests, sends answers and keeps enough sockets listening.
    pub(super) fn advance(&mut self, host: &mut Host) {
        let Some(root) = self.root.as_deref() else { return };
        let mut listening = 0;
        let log = &mut self.log;
        self.connections.retain_mut(|connection| {
            let socket = host.tcp(connection.socket);
            let keep = connection.advance(socket, root, log);
            listening += usize::from(socket.is_listening());
            if !keep {
                host.sockets.remove(connection.socket);
            }
            keep
        });
        while listening < LISTENING && self.connections.len() < CONNECTIONS {
            let socket = host.add_tcp(WINDOW);
            if host.tcp(socket).listen(PORT).is_err() {
                host.sockets.remove(socket);
                return;
            }
            listening += 1;
            self.connections.push(Connection { socket, received: Vec::new(), answer: None, active: None });
        }
    }

    /// When a connection will have been idle for too long.
    pub(super) fn wakeup(&self, host: &Host) -> Option<Instant> {
        let open = |connection: &&Connection| !host.sockets.get::<tcp::Socket<'_>>(connection.socket).is_listening();
        self.connections.iter().filter(open).filter_map(|connection| Some(connection.active? + IDLE)).min()
    }
}

impl Connection {
    /// One step; whether the connection is still of use.
    fn advance(&mut self, socket: &mut tcp::Socket<'_>, root: &Utf8Path, log: &mut Vec<Request>) -> bool {
        match socket.state() {
            State::Listen => {
                self.active = None;
                return true;
            }
            // What TIME-WAIT protects from, late segments of an old connection, the lab has no use for.
            State::Closed | State::TimeWait => return false,
            _ => {}
        }
        // Nobody looked here while it waited, perhaps for longer than a connection may be idle.
        if self.active.get_or_insert_with(Instant::now).elapsed() >= IDLE {
            socket.abort();
            return true;
        }
        loop {
            if let Some(answer) = &mut self.answer {
                let (sent, done) = answer.send(socket, log);
                if sent {
                    self.active = Some(Instant::now());
                }
                match done {
                    Done::NotYet => return true,
                    Done::KeepOpen => self.answer = None,
                    Done::Close => {
                        self.answer = None;
                        socket.close();
                        return true;
                    }
                    Done::Broken => {
                        socket.abort();
                        return true;
                    }
                }
            }
            if !socket.may_send() {
                return true;
            }
            self.receive(socket);
            match request::parse(&self.received) {
                Some((used, parsed)) => {
                    let line = request::first_line(&self.received);
                    self.received.drain(..used);
                    let entry = log.len();
                    let (answer, status) = answer(root, parsed, entry);
                    let peer = socket.remote_endpoint().map(Into::into);
                    log.push(Request { peer, line, status, bytes: 0, complete: false });
                    self.answer = Some(answer);
                }
                None if !socket.may_recv() => {
                    socket.close();
                    return true;
                }
                None => return true,
            }
        }
    }

    /// Takes what arrived, as far as a request may be long.
    fn receive(&mut self, socket: &mut tcp::Socket<'_>) {
        while self.received.len() <= MAX_HEAD && socket.can_recv() {
            let taken = socket.recv(|data| {
                let length = data.len().min(MAX_HEAD + 1 - self.received.len());
                self.received.extend_from_slice(&data[..length]);
                (length, length)
            });
            if !matches!(taken, Ok(1..)) {
                return;
            }
            self.active = Some(Instant::now());
        }
    }
}

/// What became of an answer.
enum Done {
    NotYet,
    KeepOpen,
    Close,
    /// The file ended before its length: it was changed while it was sent.
    Broken,
}

impl Answer {
    /// Sends as much as there is room for; whether that was anything, and what remains to be done.
    fn send(&mut self, socket: &mut tcp::Socket<'_>, log: &mut [Request]) -> (bool, Done) {
        let mut any = false;
        while self.sent < self.head.len() {
            match socket.send_slice(&self.head[self.sent..]) {
                Ok(count @ 1..) => self.sent += count,
                _ => return (any, Done::NotYet),
            }
            any = true;
        }
        if let Body::File { file, left } = &mut self.body {
            while *left > 0 {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let sent = socket.send(|room| {
                    let length = room.len().min(most);
                    let read = if length == 0 { Ok(0) } else { file.read(&mut room[..length]) };
                    (*read.as_ref().unwrap_or(&0), (length, read))
                });
                match sent {
                    Ok((1.., Ok(count @ 1..))) => {
                        *left -= count as u64;
                        any = true;
                        if let Some(entry) = log.get_mut(self.entry) {
                            entry.bytes += count as u64;
                        }
                    }
                    Ok((1.., _)) => return (any, Done::Broken),
                    _ => return (any, Done::NotYet),
                }
            }
        }
        if let Some(entry) = log.get_mut(self.entry) {
            entry.complete = true;
        }
        (any, if self.keep { Done::KeepOpen } else { Done::Close })
    }
}

/// The answer to a request, and its status.
fn answer(root: &Utf8Path, parsed: Result<Head, Refusal>, entry: usize) -> (Answer, u16) {
    let found = parsed.and_then(|head| {
        let (file, length) = open(root, &head.target)?;
        Ok((head, file, length))
    });
    let (status, reason, length, body, keep) = match found {
        Ok((Head { method: Method::Get, keep, .. }, file, length)) => {
            (200, "OK", length, Body::File { file, left: length }, keep)
        }
        Ok((Head { method: Method::Head, keep, .. }, _, length)) => (200, "OK", length, Body::Nothing, keep),
        Err(refusal) => (refusal.status(), refusal.reason(), 0, Body::Nothing, refusal.keeps()),
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nServer: openwrt-offload\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    );
    (Answer { head: head.into_bytes(), sent: 0, body, keep, entry }, status)
}

/// Opens a file below the root, whatever links lie there.
fn open(root: &Utf8Path, target: &str) -> Result<(File, u64), Refusal> {
    let path = root.join(request::relative_path(target)?);
    let real = path.canonicalize_utf8().map_err(|_| Refusal::NotFound)?;
    let real_root = root.canonicalize_utf8().map_err(|_| Refusal::NotFound)?;
    if !real.starts_with(&real_root) {
        return Err(Refusal::Forbidden);
    }
    // A named pipe would block the lab when opened: look before.
    let is_file = std::fs::metadata(&real).is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Err(Refusal::NotFound);
    }
    let file = File::open(&real).map_err(|_| Refusal::NotFound)?;
    let length = file.metadata().map_err(|_| Refusal::NotFound)?.len();
    Ok((file, length))
}
