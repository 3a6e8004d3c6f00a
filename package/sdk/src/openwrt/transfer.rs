//! Getting bytes from a mirror in spite of what networks do.
//!
//! What passes by itself (an overloaded server, a broken connection, silence) is tried again a few times with
//! growing pauses; what does not (no such file, no permission) is told at once. A digest that does not match is
//! neither: it is never tried again, see [`super::store`].

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use model::{Cancel, Deadline, Events, Failure, Result};

use super::mirror::{Mirror, Stream, read_trouble};
use super::trouble::{Patience, Trouble};

/// Name of the stage in reports.
pub(super) const STAGE: &str = "fetch";

/// How often a pause looks whether the user interrupted.
const TICK: Duration = Duration::from_millis(20);

/// Bytes that are copied at once.
const CHUNK: usize = 256 << 10;

/// What a transfer works with.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Where from.
    pub(super) mirror: Mirror,
    /// How patiently.
    pub(super) patience: Patience,
    /// Told of failed attempts.
    pub(super) events: Events,
    /// The user's interrupt.
    pub(super) cancel: Cancel,
    /// Set when another transfer failed, so that this one need not go on.
    pub(super) stop: Arc<AtomicBool>,
}

impl Link {
    /// Repeats an attempt as long as there is hope.
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

    /// A whole small file, in memory.
    pub(super) fn small(&self, path: &Utf8Path, limit: u64) -> Result<Vec<u8>, Trouble> {
        self.persist(path, || {
            let stream = self.mirror.open(path, None)?;
            let mut bytes = Vec::new();
            self.copy(stream, &mut bytes, path, limit, |_| {})?;
            Ok(bytes)
        })
    }

    /// Copies a stream to its end, and tells how many bytes came after each chunk. `limit` is that of the whole
    /// file, the part that was there before included.
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
            // Nobody sees this: the failure of the other transfer is what is told.
            true => Err(Trouble::Ended(Failure::interrupted())),
            false => Ok(()),
        }
    }

    /// Pauses, unless the work is to end.
    pub(super) fn wait(&self, pause: Duration) -> Result<(), Trouble> {
        let deadline = Deadline::after(pause);
        while !deadline.passed() {
            self.go_on()?;
            std::thread::sleep(TICK.min(deadline.left()));
        }
        Ok(())
    }
}
