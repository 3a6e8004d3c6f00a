//! One run at a time per stage key, by flock(2): the kernel releases it when its holder dies.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Deadline, Exit, Failure, Result};

use crate::Ctx;

/// How often a busy lock is tried: flock(2) has no form with a time limit.
const POLL: Duration = Duration::from_millis(20);

/// How long we wait before telling the user for whom.
const PATIENCE: Duration = Duration::from_secs(1);

/// An exclusive lock, held until dropped. The file holds the process id of its holder, for messages.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing alone would release the lock only when every copy of the descriptor is closed, and a
    /// child that another thread is just starting has one until it runs its own program.
    fn drop(&mut self) {
        let _closing_releases_it_as_well = self.file.unlock();
    }
}

impl Lock {
    /// Waits for the lock, at most as long as the user allows, and says for whom.
    pub fn take(ctx: &Ctx, stage: &str, path: &Utf8Path) -> Result<Lock> {
        let deadline = Deadline::after(ctx.lock_timeout);
        let started = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = Lock::try_take(path)? {
                return Ok(lock);
            }
            ctx.cancel.check()?;
            if deadline.passed() {
                return Err(busy(stage, path, deadline.after));
            }
            if !told && started.elapsed() >= PATIENCE {
                ctx.events.line(stage, format!("waiting for {}, which works on the same stage", holder(path)));
                told = true;
            }
            std::thread::sleep(POLL.min(deadline.left()));
        }
    }

    /// Takes the lock if nobody holds it.
    pub fn try_take(path: &Utf8Path) -> Result<Option<Lock>> {
        let refused = |error: std::io::Error| Failure::io("lock the cache", path, &error);
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(refused)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(refused(error)),
            }
            // `clean` removes lock files while it holds them: a lock on a removed file locks nothing.
            if !is_still_at(&file, path) {
                continue;
            }
            // Only for messages, so a full disk must not stand in the way of using a finished stage.
            let _unnamed =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
            return Ok(Some(Lock { file }));
        }
    }
}

/// Whether a path still names the file, or folder, that is held open.
pub(crate) fn is_still_at(file: &File, path: &Utf8Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Who holds the lock, as well as can be told.
fn holder(path: &Utf8Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(20).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "another process".into(),
    }
}

fn busy(stage: &str, path: &Utf8Path, waited: Duration) -> Failure {
    let place: Utf8PathBuf = path.to_owned();
    Failure::new(
        Exit::Blocked,
        "CACHE001",
        format!("the stage `{stage}` is busy"),
        format!("{} works on it and did not finish in {} s", holder(path), waited.as_secs_f32()),
        "wait for that run or end it, allow more time with --lock-timeout, or use another XDG_CACHE_HOME",
    )
    .at(place)
}

#[cfg(test)]
impl Lock {
    /// What fork(2) gives to a child.
    pub(super) fn copy(&self) -> File {
        self.file.try_clone().unwrap()
    }
}
