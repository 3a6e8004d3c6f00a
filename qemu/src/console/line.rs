//! The line of a serial console: rexpect's reader and writer over a unix socket.
//!
//! rexpect reads ahead in a thread of its own, which is what keeps QEMU from stalling when nobody
//! listens. Its waiting is a poll every 100 ms, as long as a whole command of ours takes, so it is
//! asked only for what has already arrived, and a bell rung by its thread tells when to ask again.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rexpect::error::Error;
use rexpect::reader::Regex;
use rexpect::session::{ReadUntil, StreamSession};

/// A guest that takes no byte for this long is not listening.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// What a wait for bytes ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing within the time.
    Nothing,
    /// The other end is gone.
    Closed,
}

/// Both directions of a console.
pub(super) struct Line {
    stream: StreamSession<UnixStream>,
    bell: Receiver<()>,
    anything: Regex,
    end: UnixStream,
}

impl Line {
    pub(super) fn new(socket: UnixStream) -> io::Result<Line> {
        let end = socket.try_clone()?;
        let writer = socket.try_clone()?;
        writer.set_write_timeout(Some(WRITE_WAIT))?;
        let (ring, bell) = sync_channel(1);
        // A timeout of zero: rexpect answers at once with what it has.
        let stream = rexpect::spawn_stream(Belled { socket, ring }, writer, Some(0));
        let anything = Regex::new("(?s).+").map_err(io::Error::other)?;
        Ok(Line { stream, bell, anything, end })
    }

    /// Sends all of it; ASCII, so that a partial write ends between two characters.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let sent = self.stream.send(rest).map_err(into_io)?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(sent..).unwrap_or_default();
        }
        self.stream.flush().map_err(into_io)
    }

    /// Sends Ctrl-C.
    pub(super) fn interrupt(&mut self) -> io::Result<()> {
        self.stream.send_control('c').map_err(into_io)
    }

    /// Waits up to `within` for bytes and returns all that have arrived.
    pub(super) fn receive(&mut self, within: Duration) -> Received {
        let until = Instant::now() + within;
        loop {
            let found = self.arrived();
            if found != Received::Nothing {
                return found;
            }
            match self.bell.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // It may have rung for bytes that were taken before.
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Received::Nothing,
                // rexpect's thread has passed on everything and ended.
                Err(RecvTimeoutError::Disconnected) => {
                    let last = self.arrived();
                    return if last == Received::Nothing { Received::Closed } else { last };
                }
            }
        }
    }

    fn arrived(&mut self) -> Received {
        match self.stream.exp_any(vec![ReadUntil::Regex(self.anything.clone())]) {
            // rexpect keeps each byte as the character of the same number.
            Ok((_, text)) => Received::Bytes(text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()),
            Err(Error::Timeout { .. }) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// A reader that rings when what it gave out before has been taken up: rexpect's thread comes back
/// for more only after it has passed on every byte of the last time.
struct Belled {
    socket: UnixStream,
    ring: SyncSender<()>,
}

impl Read for Belled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A bell that still rings needs no second stroke.
        let _rung = self.ring.try_send(());
        loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // rexpect would ask again for ever after an error; the end is what it means.
                Err(_) => return Ok(0),
                Ok(count) => return Ok(count),
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Ends rexpect's thread, which waits on a clone of the socket.
        let _gone = self.end.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn every_byte_value_survives_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut wire = Line::new(near).unwrap();
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
        let copy = sent.clone();
        let writer = std::thread::spawn(move || far.write_all(&copy).map(|()| far));
        let mut got = Vec::new();
        while got.len() < sent.len() {
            match wire.receive(LONG) {
                Received::Bytes(bytes) => got.extend(bytes),
                Received::Nothing => {}
                Received::Closed => panic!("closed after {} bytes", got.len()),
            }
        }
        assert!(got == sent);
        drop(writer.join().unwrap().unwrap());
        assert_eq!(wire.receive(LONG), Received::Closed);
    }

    #[test]
    fn an_answer_is_noticed_without_polling() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut wire = Line::new(near).unwrap();
        let echo = std::thread::spawn(move || {
            let mut byte = [0];
            while far.read(&mut byte).unwrap() == 1 && byte != [b'q'] {
                far.write_all(&byte).unwrap();
            }
        });
        let begin = Instant::now();
        for _ in 0..100 {
            wire.send("x").unwrap();
            while wire.receive(LONG) == Received::Nothing {}
        }
        // rexpect's own waiting would need ten seconds.
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        wire.send("q").unwrap();
        echo.join().unwrap();
    }

    #[test]
    fn silence_is_not_the_end() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut wire = Line::new(near).unwrap();
        let mut seen = Received::Bytes(vec![]);
        for _ in 0..3 {
            seen = wire.receive(Duration::from_millis(1));
        }
        assert_eq!(seen, Received::Nothing);
        wire.interrupt().unwrap();
        let mut byte = [0];
        (&far).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [3]);
    }
}
