//! Small signed files that are kept with their signatures: lists of digests and indexes of packages. They are verified
//! again whenever they are used.

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::files::{create_folder, read, remove, write};
use host::lock::{Lock, Waiting};
use model::{Digest, Failure, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// How often files are read that are replaced meanwhile.
const READS: u32 = 5;

/// The place of the files of one address.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: Utf8PathBuf,
    stamp: Utf8PathBuf,
    lock: Utf8PathBuf,
    temporary: Utf8PathBuf,
}

impl Kept {
    /// The place for an address; laid out like a stage of `xtask`, for `clean`.
    pub(super) fn below(cache: &Utf8Path, address: &str) -> Self {
        let key: String = Digest::of(address).to_string().chars().take(32).collect();
        let sibling = |ending: &str| cache.join("openwrt-lists").join(format!("{key}{ending}"));
        Kept { folder: sibling(""), stamp: sibling(".stamp"), lock: sibling(".lock"), temporary: sibling(".tmp") }
    }

    /// These files, as far as they are there, of one and the same [`Kept::save`].
    pub(super) fn read<const N: usize>(&self, names: [&str; N]) -> [Option<Vec<u8>>; N] {
        let which = || std::fs::metadata(&self.folder).ok().map(|meta| (meta.ino(), meta.ctime(), meta.ctime_nsec()));
        let mut before = which();
        for _ in 1..READS {
            let files = names.map(|name| read(&self.folder.join(name)).ok());
            let after = which();
            if after == before {
                return files;
            }
            before = after;
        }
        // Whoever uses them verifies them, and asks the mirror where they do not fit.
        names.map(|name| read(&self.folder.join(name)).ok())
    }

    /// Replaces all files at once; whoever reads them meanwhile gets the old ones or the new ones.
    pub(super) fn save(&self, files: &[(&str, &[u8])], waiting: &Waiting) -> Result<()> {
        create_folder(self.folder.parent().unwrap_or(&self.folder))?;
        let _lock = Lock::take(&self.lock, waiting)?;
        remove(&self.temporary)?;
        create_folder(&self.temporary)?;
        files.iter().try_for_each(|(name, bytes)| write(&self.temporary.join(name), bytes))?;
        let (new, old) = (self.temporary.as_std_path(), self.folder.as_std_path());
        let flags = if self.folder.exists() { RenameFlags::EXCHANGE } else { RenameFlags::empty() };
        renameat_with(CWD, new, CWD, old, flags)
            .map_err(|error| Failure::io("keep the list", &self.folder, &error.into()))?;
        remove(&self.temporary)?;
        write(&self.stamp, b"")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use model::{Cancel, Events};

    use super::*;

    #[test]
    fn what_is_read_while_it_is_replaced_belongs_together() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::below(Utf8Path::from_path(folder.path()).unwrap(), "http://mirror.invalid/x");
        let (events, cancel) = (Events::discard(), Cancel::default());
        let waiting = Waiting { stage: "x", at_most: Duration::from_secs(60), events: &events, cancel: &cancel };
        let save = |number: u32| {
            let text = number.to_string();
            kept.save(&[("list", text.as_bytes()), ("signature", text.as_bytes())], &waiting).unwrap();
        };
        assert_eq!(kept.read(["list", "signature"]), [None, None]);
        save(0);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..300 {
                    save(number);
                    std::thread::sleep(Duration::from_micros(500));
                }
                ended.store(true, Ordering::Relaxed);
            });
            while !ended.load(Ordering::Relaxed) {
                let [list, signature] = kept.read(["list", "signature"]);
                assert!(list.is_some() && list == signature, "{list:?} and {signature:?}");
                // Somebody who reads does not hinder who writes.
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        assert_eq!(kept.read(["list", "none"]), [Some(b"299".to_vec()), None]);
    }
}
