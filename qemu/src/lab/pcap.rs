//! Captures of a link, readable by tcpdump and Wireshark.
//!
//! The classic file format with nanosecond stamps (magic `a1b23c4d`, see pcap-savefile(5)), one file
//! a link. What was captured is handed to the system at the end of each turn of the lab's loop, so a
//! run that is killed leaves a readable file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Failure, Result};

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

/// An open capture.
#[derive(Debug)]
pub(super) struct Capture {
    path: Utf8PathBuf,
    file: BufWriter<File>,
    /// The first write that failed: capturing ends there.
    error: Option<io::Error>,
}

impl Capture {
    /// Starts a new file; `snap` is the length of the longest frame.
    pub(super) fn create(path: &Utf8Path, snap: u32) -> Result<Self> {
        let fail = |error| Failure::io("write the capture", path, &error);
        let mut file = BufWriter::with_capacity(256 << 10, File::create(path).map_err(fail)?);
        file.write_all(&file_header(snap)).and_then(|()| file.flush()).map_err(fail)?;
        Ok(Capture { path: path.to_owned(), file, error: None })
    }

    /// Adds a frame, stamped now.
    pub(super) fn record(&mut self, frame: &[u8]) {
        if self.error.is_none() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let written =
                self.file.write_all(&record_header(now, frame.len())).and_then(|()| self.file.write_all(frame));
            self.error = written.err();
        }
    }

    /// Hands what was added to the system; fails with the first write that failed, once.
    pub(super) fn flush(&mut self) -> Result<()> {
        let outcome = match self.error.take() {
            Some(error) => Err(error),
            None => self.file.flush(),
        };
        outcome.map_err(|error| Failure::io("write the capture", &self.path, &error))
    }
}

fn file_header(snap: u32) -> [u8; 24] {
    let mut head = [0; 24];
    head[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    head[4..6].copy_from_slice(&2_u16.to_le_bytes());
    head[6..8].copy_from_slice(&4_u16.to_le_bytes());
    head[16..20].copy_from_slice(&snap.to_le_bytes());
    head[20..].copy_from_slice(&ETHERNET.to_le_bytes());
    head
}

fn record_header(at: Duration, length: usize) -> [u8; 16] {
    // The format counts seconds in 32 bits, to 2106.
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX).to_le_bytes();
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = [0; 16];
    for (place, word) in [seconds, at.subsec_nanos().to_le_bytes(), length, length].iter().enumerate() {
        head[place * 4..place * 4 + 4].copy_from_slice(word);
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_one_of_the_manual() {
        assert_eq!(
            file_header(65_535),
            [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(record_header(Duration::new(1, 2), 60), [1, 0, 0, 0, 2, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
    }

    #[test]
    fn a_capture_that_cannot_be_written_says_so() {
        let failure = Capture::create("/nonexistent/lan.pcap".into(), 1).unwrap_err();
        assert_eq!(failure.id(), "IO004");

        let mut full = Capture::create("/dev/full".into(), 1).err();
        assert_eq!(full.take().map(|failure| failure.id()), Some("IO002"));
    }
}
