//! One run at a time per part of the cache, by flock(2): the kernel releases the lock when its holder dies.
//!
//! The locks of opkg and apk on a router are in the crate `client`.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Events, Exit, Failure, Problem, Result};

/// How often a busy lock is tried: flock(2) has no form with a time limit.
const POLL: Duration = Duration::from_millis(20);

/// How long we wait silently before telling the user who holds the lock.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many characters of the holder's command a message shows.
const COMMAND: usize = 100;

/// How to wait for a lock.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// The stage that wants the lock, for messages.
    pub stage: &'a str,
    /// After this the wait gives up.
    pub at_most: Duration,
    /// Where a long wait is announced.
    pub events: &'a Events,
    /// Cancels the wait.
    pub cancel: &'a Cancel,
}

/// An exclusive lock, held until dropped. The file holds the process id of its holder, for messages.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Unlocks explicitly: closing would release the lock only when every copy of the descriptor is closed, and a child
    /// that another thread is just starting holds one until it runs its own program.
    fn drop(&mut self) {
        let _closing_releases_it_as_well = self.file.unlock();
    }
}

impl Lock {
    /// Waits for the lock, and tells the user who holds it.
    ///
    /// # Errors
    /// `CACHE001` when its holder keeps it too long.
    pub fn take(path: &Utf8Path, waiting: &Waiting) -> Result<Lock> {
        let Waiting { stage, at_most, events, cancel } = *waiting;
        let deadline = Deadline::after(at_most);
        let started = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = Lock::try_take(path)? {
                return Ok(lock);
            }
            cancel.check()?;
            if deadline.passed() {
                return Err(busy(stage, path, deadline.after));
            }
            if !told && started.elapsed() >= PATIENCE {
                events.notice(stage, format!("waiting for {}, which works on the same stage", holder(path)));
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
            // The process id is only for messages, so a full disk must not stop us from using a finished stage.
            let _unnamed =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
            return Ok(Some(Lock { file }));
        }
    }
}

/// Whether `path` still names the open file or folder.
pub fn is_still_at(file: &File, path: &Utf8Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Describes the process that holds the lock, as far as it is known.
fn holder(path: &Utf8Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(20).read_to_string(&mut text));
    let (Ok(_), Ok(id)) = (read, text.trim().parse::<u32>()) else { return "another process".into() };
    match command_of(id) {
        Some(command) => format!("process {id} (`{command}`)"),
        None => format!("process {id}"),
    }
}

/// The command line of a process of this machine.
fn command_of(id: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    let shown: String = line.chars().take(COMMAND).collect();
    (!shown.is_empty()).then_some(shown)
}

fn busy(stage: &str, path: &Utf8Path, waited: Duration) -> Failure {
    let place: Utf8PathBuf = path.to_owned();
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "CACHE001",
        what: format!("the stage `{stage}` is busy"),
        why: format!("{} works on it and did not finish in {} s", holder(path), waited.as_secs_f32()),
        fix: "wait for that run or end it, allow more time with --lock-timeout, or use another XDG_CACHE_HOME",
    })
    .at(place)
}

#[cfg(test)]
mod tests {
    use model::Event;

    use super::*;

    #[test]
    fn a_wait_soon_tells_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("x.lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let (events, cancel) = (Events::to(sender), Cancel::default());
                let at_most = Duration::from_secs(60);
                Lock::take(&path, &Waiting { stage: "fetch", at_most, events: &events, cancel: &cancel })
            });
            let Event::Notice { stage, text } = told.recv_timeout(Duration::from_secs(50)).unwrap() else { panic!() };
            let (me, program) = (std::process::id(), std::env::args().next().unwrap());
            assert_eq!(stage, "fetch");
            assert!(text.contains(&format!("process {me} (`{}", &program[..program.len().min(COMMAND)])), "{text}");
            drop(held);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(told.iter().count(), 0, "once is enough");
    }

    #[test]
    fn a_lock_on_a_removed_file_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("x.lock");
        let first = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        let second = Lock::try_take(&path).unwrap();
        assert!(second.is_some() && path.exists());
        drop(first);
        assert!(Lock::try_take(&path).unwrap().is_none(), "the second lock counts");
    }

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("x.lock");
        let lock = Lock::try_take(&path).unwrap().unwrap();
        let _copy_of_a_starting_child = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("x.lock");
        let _held = Lock::try_take(&path).unwrap().unwrap();
        let (events, cancel) = (Events::discard(), Cancel::default());
        let waiting = Waiting { stage: "fetch", at_most: Duration::ZERO, events: &events, cancel: &cancel };
        let failure = Lock::take(&path, &waiting).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CACHE001", Exit::Blocked));
        assert!(failure.finding().why.contains(&format!("process {}", std::process::id())), "{failure}");
        cancel.cancel();
        assert_eq!(Lock::take(&path, &waiting).unwrap_err().exit(), Exit::Interrupted);
    }
}
