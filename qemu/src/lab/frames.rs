//! Frames on their way between a wire and a host: two buffers, in which they are used where they lie.
//!
//! In both, each frame stands behind its length in four bytes, big-endian. So QEMU's sockets have them, and such a
//! wire moves many at a time without a look at them; other wires go frame by frame.

use std::ops::Range;

/// The longest frame: QEMU's own limit, `NET_BUFSIZE` of `include/net/net.h`. No interface of a host has longer ones.
pub const MAX_FRAME: usize = 4096 + 65536;

/// Bytes of the length in front of a frame.
const PREFIX: usize = 4;

/// How much is read at once; several of the longest frames.
const INBOX: usize = 4 * (MAX_FRAME + PREFIX);

/// When so many bytes wait for the other end to read them, the stack keeps its packets to itself.
const OUTBOX: usize = 1 << 20;

/// Frames that have arrived.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// What of `bytes` was read and not yet taken.
    filled: Range<usize>,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { bytes: vec![0; INBOX], filled: 0..0 }
    }
}

impl Inbox {
    /// Where a wire that carries bytes puts what it reads; empty while frames have to be taken first.
    pub fn room(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.start > 0 && self.filled.end + MAX_FRAME + PREFIX > self.bytes.len() {
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        &mut self.bytes[self.filled.end..]
    }

    /// So many bytes were put into the room.
    pub fn add(&mut self, count: usize) {
        self.filled.end = (self.filled.end + count).min(self.bytes.len());
    }

    /// Takes a frame from a wire that carries whole ones; `read` is given the room for the longest, and tells the
    /// length, 0 if there was none. `None`: frames have to be taken first.
    pub fn add_frame<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Option<Result<usize, E>> {
        let (prefix, room) = self.room().split_first_chunk_mut::<PREFIX>()?;
        let read = read(room.get_mut(..MAX_FRAME)?).map(|length| length.min(MAX_FRAME));
        if let Ok(length @ 1..) = read {
            *prefix = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            self.add(PREFIX + length);
        }
        Some(read)
    }

    /// Whether the next frame has arrived whole; its announced length, when no frame is so long.
    pub fn has_frame(&self) -> Result<bool, u32> {
        match self.announced() {
            Some(length) if length as usize > MAX_FRAME => Err(length),
            Some(length) => Ok(self.filled.len() >= PREFIX + length as usize),
            None => Ok(false),
        }
    }

    fn announced(&self) -> Option<u32> {
        self.bytes[self.filled.clone()].first_chunk().map(|prefix| u32::from_be_bytes(*prefix))
    }

    /// Takes the next frame, if it has arrived.
    pub(super) fn next_frame(&mut self) -> Option<&mut [u8]> {
        if self.has_frame() != Ok(true) {
            return None;
        }
        let start = self.filled.start + PREFIX;
        let end = start + self.announced()? as usize;
        self.filled.start = end;
        Some(&mut self.bytes[start..end])
    }
}

/// Frames that wait to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` was sent.
    sent: usize,
}

impl Outbox {
    /// Adds a frame of `length` bytes that `write` fills in, and shows it.
    pub(super) fn push<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> (R, &[u8]) {
        let start = self.bytes.len() + PREFIX;
        // The stack makes no frame longer than its MTU, which is far below 4 GiB.
        self.bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.resize(start + length, 0);
        let frame = &mut self.bytes[start..];
        (write(frame), frame)
    }

    /// All that waits, each frame behind its length, for wires that carry bytes.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So many bytes of it were sent.
    pub fn remove(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > OUTBOX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The first frame that waits, for wires that carry whole ones.
    pub fn first(&self) -> Option<&[u8]> {
        let (prefix, rest) = self.unsent().split_first_chunk::<PREFIX>()?;
        rest.get(..u32::from_be_bytes(*prefix) as usize)
    }

    /// The first frame was sent, or is given up.
    pub fn remove_first(&mut self) {
        let length = self.first().map_or(0, <[u8]>::len);
        self.remove(PREFIX + length);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the other end has to catch up before it is sent more.
    pub(super) fn is_full(&self) -> bool {
        self.unsent().len() >= OUTBOX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_go_in_and_come_out_one_by_one() {
        let mut inbox = Inbox::default();
        let mut taken = 0;
        // More than fit at once, so that the room is made again and again.
        for number in 0..10_u8 {
            let added = inbox.add_frame(|room| {
                assert_eq!(room.len(), MAX_FRAME);
                room[..60_000].fill(number);
                Ok::<_, u8>(60_000)
            });
            if added.is_none() {
                assert_eq!(inbox.next_frame().map(|frame| frame[0]), Some(taken));
                taken += 1;
            }
        }
        assert!(taken > 0);
        while inbox.next_frame().is_some() {}
        assert_eq!((inbox.add_frame(|_| Err(7)), inbox.add_frame(|_| Ok::<_, u8>(0))), (Some(Err(7)), Some(Ok(0))));
        assert!(inbox.next_frame().is_none());
        let mut outbox = Outbox::default();
        for number in 1..4_u8 {
            let (_, frame) = outbox.push(2, |room| room.fill(number));
            assert_eq!(frame, [number; 2]);
        }
        assert_eq!(outbox.unsent().len(), 18);
        for number in 1..4_u8 {
            assert_eq!(outbox.first(), Some(&[number; 2][..]));
            outbox.remove_first();
        }
        assert!(outbox.first().is_none() && outbox.is_empty());
    }
}
