//! A connection of QEMU, whose end the tests hold.

use super::*;
use crate::lab::frames::MAX_FRAME;
use crate::lab::link::{self, Link, Record};

/// Our end of a connection, with what passes there.
struct End {
    peer: UnixStream,
    link: Link,
    record: Record,
}

impl End {
    fn fill(&mut self) -> Result<(), Closed> {
        receive(&self.peer, &mut self.link.inbox)
    }

    fn flush(&mut self) -> Result<(), Closed> {
        send(&self.peer, &mut self.link.outbox)
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.link.next_frame(&mut self.record).map(|(frame, _)| frame.to_vec())
    }

    /// Sends a frame, unless the other end has to catch up.
    fn push(&mut self, length: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let outbox = self.link.outbox();
        outbox.map(|outbox| link::push(outbox, &mut self.record, length, write)).is_some()
    }
}

fn pair() -> (End, UnixStream) {
    let (peer, theirs) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    (End { peer, link: Link::default(), record: Record::default() }, theirs)
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
        let (mut end, mut theirs) = pair();
        let mut seen = Vec::new();
        for piece in bytes.chunks(cut) {
            theirs.write_all(piece).unwrap();
            end.fill().unwrap();
            while let Some(frame) = end.next_frame() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames, "cut {cut}");
        assert_eq!(end.record.counts.from_router.frames, 39);
        assert_eq!(end.record.counts.from_router.other, 39, "none of them is a known protocol");
    }
}

#[test]
fn a_frame_gets_its_length_in_front() {
    let (mut end, mut theirs) = pair();
    assert!(end.push(3, |frame| frame.copy_from_slice(b"abc")));
    assert!(!end.link.outbox.is_empty());
    end.flush().unwrap();
    assert!(end.link.outbox.is_empty());
    let mut seen = [0; 7];
    theirs.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"\0\0\0\x03abc");
    assert_eq!((end.record.counts.to_router.frames, end.record.counts.to_router.bytes), (1, 3));
}

#[test]
fn a_length_beyond_the_longest_frame_ends_the_link() {
    let (mut end, mut theirs) = pair();
    theirs.write_all(&u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes()).unwrap();
    end.fill().unwrap();
    assert!(end.next_frame().is_none());
    assert_eq!(end.link.inbox.has_frame(), Err(u32::try_from(MAX_FRAME + 1).unwrap()));
}

#[test]
fn the_longest_frame_passes_many_times() {
    let (mut end, theirs) = pair();
    let sender = std::thread::spawn(move || {
        let mut theirs = theirs;
        for _ in 0..20 {
            theirs.write_all(&u32::try_from(MAX_FRAME).unwrap().to_be_bytes()).unwrap();
            theirs.write_all(&vec![7; MAX_FRAME]).unwrap();
        }
    });
    let mut count = 0;
    loop {
        let gone = end.fill().is_err();
        while end.next_frame().is_some() {
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
    let (mut end, theirs) = pair();
    drop(theirs);
    assert_eq!(end.fill(), Err(closed()));
    assert!(end.push(3, |_| ()));
    assert!(end.flush().is_err());
}

#[test]
fn the_last_frames_of_a_peer_that_is_gone_are_taken() {
    let (mut end, mut theirs) = pair();
    theirs.write_all(b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x09half").unwrap();
    drop(theirs);
    end.fill().unwrap();
    assert_eq!(end.next_frame(), Some(b"a".to_vec()));
    end.fill().unwrap();
    assert_eq!(end.next_frame(), Some(b"b".to_vec()));
    assert!(end.next_frame().is_none(), "the third was cut off");
    assert_eq!(end.fill(), Err(closed()));
}

#[test]
fn a_peer_that_does_not_read_fills_the_outbox_and_loses_nothing() {
    let (mut end, mut theirs) = pair();
    let mut pushed = 0_u32;
    while end.push(1000, |frame| frame.fill(pushed.to_le_bytes()[0])) {
        pushed += 1;
        end.flush().unwrap();
    }
    assert!(pushed > 1000);
    let mut frame = vec![0; 1004];
    for number in 0..pushed {
        theirs.read_exact(&mut frame).unwrap();
        assert_eq!(frame[4], number.to_le_bytes()[0]);
        end.flush().unwrap();
    }
    assert!(end.link.outbox.is_empty());
}
