//! One wire: the unix socket that QEMU's `-netdev stream` connects to.
//!
//! QEMU sends each Ethernet frame behind its length in four bytes, big-endian (`net/stream.c` and
//! `net_fill_rstate` in `net/net.c`). A wrong length cannot be recovered from: nothing in the stream
//! marks the start of a frame. Frames are read and written many at a time and used where they lie.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;

use model::Result;
use smoltcp::wire::EthernetProtocol;

use super::failures;
use super::pcap::Capture;
use super::plan::Side;
use super::{packet, pppoe, tag};

/// The longest frame: QEMU's own limit, `NET_BUFSIZE` of `include/net/net.h`.
pub(super) const MAX_FRAME: usize = 4096 + 65536;

/// Bytes of the length in front of a frame.
const PREFIX: usize = 4;

/// How much is read at once; several of the longest frames.
const INBOX: usize = 4 * (MAX_FRAME + PREFIX);

/// When so many bytes wait for QEMU to read them, the stack keeps its packets to itself.
const OUTBOX: usize = 1 << 20;

/// What went over a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FrameCounts {
    /// All frames.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// ARP frames.
    pub arp: u64,
    /// IPv4 frames.
    pub ipv4: u64,
    /// IPv6 frames, multicast listener reports and the like included.
    pub ipv6: u64,
    /// Frames of another type, or too short to have one. They are counted and otherwise ignored.
    pub other: u64,
    /// PPPoE frames, of discovery and of sessions.
    pub pppoe: u64,
    /// How many of all frames have a VLAN tag. They are also counted by the type behind it.
    pub tagged: u64,
    /// How many of the IPv4 frames hold fragments.
    pub fragments: u64,
}

impl FrameCounts {
    fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let (kind, payload) = tag::content(frame).unwrap_or_default();
        self.tagged += u64::from(tag::has_one(frame));
        *match EthernetProtocol::from(kind) {
            EthernetProtocol::Arp => &mut self.arp,
            EthernetProtocol::Ipv4 => &mut self.ipv4,
            EthernetProtocol::Ipv6 => &mut self.ipv6,
            EthernetProtocol::Unknown(pppoe::DISCOVERY | pppoe::SESSION) => &mut self.pppoe,
            _ => &mut self.other,
        } += 1;
        let is_fragment = |packet: packet::Packet<'_>| packet.more_fragments || packet.is_later_fragment;
        self.fragments += u64::from(packet::read(payload).is_some_and(is_fragment));
    }
}

/// What went over one link, over all connections of QEMU to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounts {
    /// From the router to our host.
    pub from_router: FrameCounts,
    /// From our host to the router.
    pub to_router: FrameCounts,
    /// Frames from the router without the tag of the VLAN that the plan names for this side, or with
    /// another one. They are among `from_router` and otherwise ignored.
    pub wrong_vlan: u64,
    /// How often QEMU connected.
    pub connections: u64,
}

/// What outlives a connection: counters and capture.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) counts: LinkCounts,
    pub(super) capture: Option<Capture>,
}

impl Record {
    fn capture(&mut self, frame: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.record(frame);
        }
    }
}

/// A connection of QEMU.
#[derive(Debug)]
pub(super) struct Link {
    side: Side,
    stream: UnixStream,
    inbox: Vec<u8>,
    /// What of `inbox` was read and not yet taken.
    filled: Range<usize>,
    outbox: Outbox,
}

/// Frames on their way to QEMU, each behind its length.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` QEMU has taken.
    sent: usize,
}

impl Outbox {
    /// Adds a frame of `length` bytes that `write` fills in.
    pub(super) fn push<R>(&mut self, record: &mut Record, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let start = self.bytes.len() + PREFIX;
        // The stack makes no frame longer than its MTU, which is far below 4 GiB.
        self.bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.resize(start + length, 0);
        let frame = &mut self.bytes[start..];
        let result = write(frame);
        record.counts.to_router.add(frame);
        record.capture(frame);
        result
    }
}

impl Link {
    pub(super) fn new(side: Side, stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Link { side, stream, inbox: vec![0; INBOX], filled: 0..0, outbox: Outbox::default() })
    }

    /// The socket, to wait for.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads what is there, as far as there is room. Fails when QEMU is gone and its last frame taken.
    pub(super) fn fill(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.end + MAX_FRAME + PREFIX > self.inbox.len() {
            self.inbox.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        while self.filled.end < self.inbox.len() {
            match self.stream.read(&mut self.inbox[self.filled.end..]) {
                // The last frames are worth having; the end is found again after them.
                Ok(0) if matches!(self.has_frame(), Ok(true)) => break,
                Ok(0) => return Err(failures::not_connected(self.side, "QEMU closed the connection")),
                Ok(count) => self.filled.end += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failures::not_connected(self.side, &error.to_string())),
            }
        }
        Ok(())
    }

    /// Checks the announced length of the next frame; whether that frame has arrived.
    pub(super) fn has_frame(&self) -> Result<bool> {
        match self.announced() {
            Some(length) if length as usize > MAX_FRAME => Err(failures::framing(self.side, length, MAX_FRAME)),
            Some(length) => Ok(self.filled.len() >= PREFIX + length as usize),
            None => Ok(false),
        }
    }

    fn announced(&self) -> Option<u32> {
        self.inbox[self.filled.clone()].first_chunk().map(|prefix| u32::from_be_bytes(*prefix))
    }

    /// Takes the next frame, if it has arrived, and the place to answer it.
    pub(super) fn next_frame(&mut self, record: &mut Record) -> Option<(&mut [u8], &mut Outbox)> {
        if !self.has_frame().unwrap_or(false) {
            return None;
        }
        let start = self.filled.start + PREFIX;
        let end = start + self.announced()? as usize;
        self.filled.start = end;
        let frame = &mut self.inbox[start..end];
        record.counts.from_router.add(frame);
        record.capture(frame);
        Some((frame, &mut self.outbox))
    }

    /// Whether QEMU has to catch up before it is sent more.
    pub(super) fn is_congested(&self) -> bool {
        self.outbox.bytes.len() - self.outbox.sent >= OUTBOX
    }

    /// Where to put frames; `None` while the link is congested.
    pub(super) fn outbox(&mut self) -> Option<&mut Outbox> {
        if self.is_congested() { None } else { Some(&mut self.outbox) }
    }

    /// Whether frames wait for QEMU to read.
    pub(super) fn has_unsent(&self) -> bool {
        self.outbox.sent < self.outbox.bytes.len()
    }

    /// Sends what QEMU takes. Fails when QEMU is gone.
    pub(super) fn flush(&mut self) -> Result<()> {
        let Outbox { bytes, sent } = &mut self.outbox;
        while *sent < bytes.len() {
            match self.stream.write(&bytes[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failures::not_connected(self.side, &error.to_string())),
            }
        }
        if *sent == bytes.len() {
            bytes.clear();
            *sent = 0;
        } else if *sent > OUTBOX {
            bytes.drain(..*sent);
            *sent = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Link, UnixStream, Record) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(Side::Lan, ours).unwrap(), theirs, Record::default())
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_cuts() {
        let frames: Vec<Vec<u8>> = (1..40_u8).map(|n| vec![n; usize::from(n) * 37]).collect();
        let mut bytes = Vec::new();
        for frame in &frames {
            bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        for cut in [1, 3, 4, 5, 1000] {
            let (mut link, mut theirs, mut record) = pair();
            let mut seen = Vec::new();
            for piece in bytes.chunks(cut) {
                theirs.write_all(piece).unwrap();
                link.fill().unwrap();
                while let Some((frame, _)) = link.next_frame(&mut record) {
                    seen.push(frame.to_vec());
                }
            }
            assert_eq!(seen, frames, "cut {cut}");
            assert_eq!(record.counts.from_router.frames, 39);
            assert_eq!(record.counts.from_router.other, 39, "none of them is a known protocol");
        }
    }

    #[test]
    fn a_frame_gets_its_length_in_front() {
        let (mut link, mut theirs, mut record) = pair();
        link.outbox().unwrap().push(&mut record, 3, |frame| frame.copy_from_slice(b"abc"));
        assert!(link.has_unsent());
        link.flush().unwrap();
        assert!(!link.has_unsent());
        let mut seen = [0; 7];
        theirs.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"\0\0\0\x03abc");
        assert_eq!((record.counts.to_router.frames, record.counts.to_router.bytes), (1, 3));
    }

    #[test]
    fn a_length_beyond_the_longest_frame_ends_the_link() {
        let (mut link, mut theirs, mut record) = pair();
        theirs.write_all(&u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes()).unwrap();
        link.fill().unwrap();
        assert!(link.next_frame(&mut record).is_none());
        assert_eq!(link.has_frame().unwrap_err().id(), "LAB004");
    }

    #[test]
    fn the_longest_frame_passes_many_times() {
        let (mut link, theirs, mut record) = pair();
        let sender = std::thread::spawn(move || {
            let mut theirs = theirs;
            for _ in 0..20 {
                theirs.write_all(&u32::try_from(MAX_FRAME).unwrap().to_be_bytes()).unwrap();
                theirs.write_all(&vec![7; MAX_FRAME]).unwrap();
            }
        });
        let mut count = 0;
        loop {
            let gone = link.fill().is_err();
            while link.next_frame(&mut record).is_some() {
                count += 1;
            }
            if gone {
                break;
            }
        }
        sender.join().unwrap();
        assert_eq!(count, 20);
    }

    #[test]
    fn a_peer_that_is_gone_is_a_failure_on_both_ways() {
        let (mut link, theirs, mut record) = pair();
        drop(theirs);
        assert_eq!(link.fill().unwrap_err().id(), "LAB003");
        link.outbox().unwrap().push(&mut record, 3, |_| ());
        assert_eq!(link.flush().unwrap_err().id(), "LAB003");
    }

    #[test]
    fn the_last_frames_of_a_peer_that_is_gone_are_taken() {
        let (mut link, mut theirs, mut record) = pair();
        theirs.write_all(b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x09half").unwrap();
        drop(theirs);
        link.fill().unwrap();
        assert_eq!(link.next_frame(&mut record).map(|(frame, _)| frame.to_vec()), Some(b"a".to_vec()));
        link.fill().unwrap();
        assert_eq!(link.next_frame(&mut record).map(|(frame, _)| frame.to_vec()), Some(b"b".to_vec()));
        assert!(link.next_frame(&mut record).is_none(), "the third was cut off");
        assert_eq!(link.fill().unwrap_err().id(), "LAB003");
    }

    #[test]
    fn a_peer_that_does_not_read_fills_the_outbox_and_loses_nothing() {
        let (mut link, mut theirs, mut record) = pair();
        let mut pushed = 0_u32;
        while let Some(outbox) = link.outbox() {
            outbox.push(&mut record, 1000, |frame| frame.fill(pushed.to_le_bytes()[0]));
            pushed += 1;
            link.flush().unwrap();
        }
        assert!(pushed > 1000);
        let mut frame = vec![0; 1004];
        for number in 0..pushed {
            theirs.read_exact(&mut frame).unwrap();
            assert_eq!(frame[4], number.to_le_bytes()[0]);
            link.flush().unwrap();
        }
        assert!(!link.has_unsent());
    }
}
