//! Fetches bytes from a mirror despite network failures.
//!
//! Failures that may pass (an overloaded server, a broken connection, silence) are retried a few times with growing
//! pauses; others (no such file, no permission) are reported at once. A wrong digest is never retried, see
//! [`super::store`].

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use model::{Cancel, Deadline, Events, Failure, Result};

use super::mirror::{Mirror, Stream, read_trouble};
use super::trouble::{Patience, Trouble};

/// Name of the stage in events.
pub(super) const STAGE: &str = "fetch";

/// How often a pause checks for an interrupt.
const TICK: Duration = Duration::from_millis(20);

/// How many bytes are copied at a time.
const CHUNK: usize = 256 << 10;

/// What a transfer works with.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// The mirror to fetch from.
    pub(super) mirror: Mirror,
    /// Deadlines and numbers of attempts.
    pub(super) patience: Patience,
    /// Where failed attempts are reported.
    pub(super) events: Events,
    /// The user's interrupt.
    pub(super) cancel: Cancel,
    /// Set when another transfer failed, so that this one ends too.
    pub(super) stop: Arc<AtomicBool>,
}

impl Link {
    /// Repeats an attempt while its failure may pass.
    pub(super) fn persist<T>(
        &self,
        path: &Utf8Path,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut pause = self.patience.pause;
        for number in 1.. {
            match attempt() {
                Err(trouble) if trouble.passes() && number < self.patience.attempts => {
                    let why = trouble.why(&self.patience);
                    let name = path.file_name().unwrap_or_default();
                    self.events.line(STAGE, format!("{name}: {why}; trying again"));
                    self.wait(pause)?;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        Err(Trouble::Silent)
    }

    /// Fetches a whole small file into memory.
    pub(super) fn small(&self, path: &Utf8Path, limit: u64) -> Result<Vec<u8>, Trouble> {
        self.persist(path, || {
            let stream = self.mirror.open(path, None)?;
            let mut bytes = Vec::new();
            self.copy(stream, &mut bytes, path, limit, |_| {})?;
            Ok(bytes)
        })
    }

    /// Copies a stream to its end; calls `came` after each chunk. `limit` applies to the whole file, including the part
    /// fetched before.
    pub(super) fn copy(
        &self,
        stream: Stream,
        into: &mut dyn Write,
        name: &Utf8Path,
        limit: u64,
        mut came: impl FnMut(u64),
    ) -> Result<(), Trouble> {
        let Stream { mut reader, begins, size, validator: _ } = stream;
        if size.is_some_and(|size| size > limit) {
            return Err(Trouble::TooLarge(limit));
        }
        let mut chunk = vec![0; CHUNK];
        let mut total = begins;
        let (mut since, mut within) = (Instant::now(), 0);
        loop {
            self.go_on()?;
            let length = reader.read(&mut chunk).map_err(|error| read_trouble(&error))?;
            if length == 0 {
                break;
            }
            total += length as u64;
            within += length as u64;
            if total > limit {
                return Err(Trouble::TooLarge(limit));
            }
            let bytes = chunk.get(..length).unwrap_or_default();
            into.write_all(bytes).map_err(|error| Trouble::Ended(Failure::io("write the download", name, &error)))?;
            came(length as u64);
            if since.elapsed() >= self.patience.silence {
                if within < self.patience.least {
                    return Err(Trouble::Silent);
                }
                (since, within) = (Instant::now(), 0);
            }
        }
        match size {
            Some(size) if size != total => Err(Trouble::Broken(format!("it ended after {total} of {size} bytes"))),
            _ => Ok(()),
        }
    }

    fn go_on(&self) -> Result<(), Trouble> {
        self.cancel.check().map_err(Trouble::Ended)?;
        match self.stop.load(Ordering::Relaxed) {
            // The user does not see this failure, but that of the other transfer.
            true => Err(Trouble::Ended(Failure::interrupted())),
            false => Ok(()),
        }
    }

    /// Pauses, unless the work is cancelled.
    pub(super) fn wait(&self, pause: Duration) -> Result<(), Trouble> {
        let deadline = Deadline::after(pause);
        while !deadline.passed() {
            self.go_on()?;
            std::thread::sleep(TICK.min(deadline.left()));
        }
        Ok(())
    }
}
