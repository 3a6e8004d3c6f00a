//! A folder for sockets and other short-lived files of one run; also removes those of dead runs.
//!
//! All temporary files of a run are below `openwrt-offload-…/` in the temporary folder, which is removed when the run
//! ends. `kill -9` leaves it behind; the next run removes it. The folder is locked with flock(2), which ends with its
//! holder, so a running one's folder is never removed.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use host::lock::is_still_at;
use model::{Failure, Result};

/// Prefix of the folders' names. Short, because a socket's path may have only 107 bytes.
const PREFIX: &str = "openwrt-offload-";

/// The folder of this run; removed on drop.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes the folder below `TMPDIR`, makes it the place for all temporary files of this program, and removes folders
    /// of dead runs.
    pub fn take() -> Result<Scratch> {
        let parent = std::env::temp_dir();
        let parent = Utf8PathBuf::from_path_buf(parent)
            .map_err(|path| refused(&path.to_string_lossy(), &std::io::ErrorKind::InvalidFilename.into()))?;
        sweep(&parent);
        let scratch = Scratch::below(&parent)?;
        // A second run in the same process, as in tests, keeps using the first one's folder.
        let _first = tempfile::env::override_temp_dir(scratch.folder.path());
        Ok(scratch)
    }

    fn below(parent: &Utf8Path) -> Result<Scratch> {
        let failed = |error: std::io::Error| refused(parent.as_str(), &error);
        loop {
            let private = Permissions::from_mode(0o700);
            let folder =
                tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent).map_err(failed)?;
            let path = Utf8Path::from_path(folder.path()).unwrap_or(parent).to_owned();
            // Before it is locked it looks like a dead run's, and may be removed by another run; then try again.
            let Ok(lock) = File::open(&path) else { continue };
            if lock.try_lock().is_ok() && is_still_at(&lock, &path) {
                return Ok(Scratch { folder, _lock: lock });
            }
        }
    }
}

/// Removes folders whose run is dead. Failures are ignored, since the folders do no harm.
fn sweep(parent: &Utf8Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in parent.read_dir_utf8().into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().starts_with(PREFIX)
            && path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == user);
        let Some(folder) = ours.then(|| File::open(path).ok()).flatten() else { continue };
        if folder.try_lock().is_ok() {
            let _left_for_the_next_run = std::fs::remove_dir_all(path);
        }
    }
}

fn refused(parent: &str, error: &std::io::Error) -> Failure {
    Failure::io("make a folder for temporary files", parent, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_runs_folder_goes_and_a_living_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let living = Scratch::below(parent).unwrap();
        let dead = parent.join(format!("{PREFIX}dead/vm-1"));
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::write(dead.join("console"), "").unwrap();
        let foreign = parent.join("somebody-elses");
        std::fs::create_dir(&foreign).unwrap();
        let link = parent.join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&foreign, &link).unwrap();
        sweep(parent);
        assert!(!dead.parent().unwrap().exists());
        assert!(living.folder.path().is_dir() && foreign.is_dir() && link.is_symlink());
        drop(living);
        assert_eq!(parent.read_dir_utf8().unwrap().count(), 2);
    }

    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let failure = Scratch::below("/no/such/folder".into()).unwrap_err();
        assert_eq!((failure.id(), failure.finding().place.as_deref()), ("IO004", Some("/no/such/folder")));
    }
}
