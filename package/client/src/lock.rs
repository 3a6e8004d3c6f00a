//! One run at a time for each root.
//!
//! The lock belongs to the open file, so it ends with the process, however that dies. The file names its holder, for
//! the message of a run that gives up waiting, and is removed when the run ends.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::root::Root;

/// How often a waiting run tries again: flock has no wait with a deadline.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The lock; held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    root: Root,
    path: Utf8PathBuf,
    made: Vec<Utf8PathBuf>,
    _file: OwnedFd,
}

/// The result of one attempt.
enum Attempt {
    Taken(Lock),
    /// Another run holds it; its description.
    Held(String),
}

impl Lock {
    /// Takes the lock `path`, waiting up to `patience` for another run to end.
    pub(crate) fn take(root: &Root, path: &Utf8Path, patience: Duration) -> Result<Lock> {
        let failed = Error::io("lock", path);
        let deadline = Instant::now() + patience;
        loop {
            // Starts over each time, because the run that ends removes the file and any folder it made.
            match Lock::try_take(root, path) {
                Ok(Attempt::Taken(lock)) => return Ok(lock),
                Ok(Attempt::Held(holder)) if Instant::now() >= deadline => {
                    return Err(Error::Locked { path: path.to_owned(), holder, waited: patience });
                }
                Err(error) if error.kind() != ErrorKind::NotFound || Instant::now() >= deadline => {
                    return Err(failed(error));
                }
                Ok(Attempt::Held(_)) | Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    fn try_take(root: &Root, path: &Utf8Path) -> io::Result<Attempt> {
        let mut made = Vec::new();
        for folder in root.missing_parents(path) {
            let (parent, name) = root.parent(&folder)?;
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => made.push(folder),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (folder, name) = root.parent(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if still_there(&*folder, name, &file) => {
                rustix::fs::ftruncate(&file, 0)?;
                rustix::io::write(&file, format!("{}\n", std::process::id()).as_bytes())?;
                Ok(Attempt::Taken(Lock { root: root.clone(), path: path.to_owned(), made, _file: file }))
            }
            Ok(()) => Ok(Attempt::Held("a process that has just ended".into())),
            Err(Errno::WOULDBLOCK) => Ok(Attempt::Held(holder(&file))),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still locked, so that nobody locks a file that is then removed.
        let _gone = self.root.remove(&self.path);
        for folder in self.made.iter().rev() {
            let _in_use = self.root.remove_empty(folder);
        }
    }
}

/// Whether the name still leads to the locked file.
fn still_there(folder: impl AsFd, name: &str, file: &OwnedFd) -> bool {
    let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    match (named, rustix::fs::fstat(file)) {
        (Ok(named), Ok(held)) => (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino),
        _ => false,
    }
}

/// The holder, as the lock file describes it.
fn holder(file: &OwnedFd) -> String {
    let mut text = [0; 20];
    let length = rustix::io::read(file, &mut text).unwrap_or(0);
    match String::from_utf8_lossy(&text[..length]).trim() {
        "" => "a process that did not say who it is".into(),
        number => format!("process {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/var/lock/opkg.lock";

    #[test]
    fn the_second_run_waits_and_then_says_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        let first = Lock::take(&root, PATH.into(), Duration::ZERO).unwrap();
        let error = Lock::take(&root, PATH.into(), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.id(), "INST022");
        assert!(error.line().contains(&format!("process {}", std::process::id())), "{}", error.line());

        let waiting = std::thread::spawn({
            let root = root.clone();
            move || Lock::take(&root, PATH.into(), Duration::from_secs(20)).map(drop)
        });
        drop(first);
        waiting.join().unwrap().unwrap();
        assert_eq!(root.kind(PATH.into()).unwrap(), None);
    }

    #[test]
    fn a_run_alone_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        let lock = Lock::take(&root, PATH.into(), Duration::ZERO).unwrap();
        assert_eq!(root.names("/var/lock".into()).unwrap(), ["opkg.lock"]);
        drop(lock);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
