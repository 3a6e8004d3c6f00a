//! Small signed files that are kept with their signatures: lists of digests and indexes of packages. They are verified
//! again whenever they are used.

use camino::{Utf8Path, Utf8PathBuf};
use host::files::{create_folder, read, remove, write};
use host::lock::{Lock, Waiting};
use model::{Digest, Failure, Result};

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

    /// One of the files, if it is there.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.folder.join(name)).ok()
    }

    /// Replaces all files at once.
    pub(super) fn save(&self, files: &[(&str, &[u8])], waiting: &Waiting) -> Result<()> {
        create_folder(self.folder.parent().unwrap_or(&self.folder))?;
        let _lock = Lock::take(&self.lock, waiting)?;
        remove(&self.temporary)?;
        create_folder(&self.temporary)?;
        files.iter().try_for_each(|(name, bytes)| write(&self.temporary.join(name), bytes))?;
        remove(&self.folder)?;
        std::fs::rename(&self.temporary, &self.folder)
            .map_err(|error| Failure::io("keep the list", &self.folder, &error))?;
        write(&self.stamp, b"")
    }
}
