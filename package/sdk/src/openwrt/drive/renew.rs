//! Replaces a tree in which a run did not finish.
//!
//! OpenWrt's build writes in place: packages (`scripts/ipkg-build`, `apk mkpkg`), stamps, scan results, the staging
//! folder. After an interrupt or a full disk, incomplete files look finished to `make`, and stay wrong for every later
//! run. So a run sets a mark outside the tree and removes it when all packages are checked; if the next run finds the
//! mark, it unpacks the archive again.

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Cancel, Events, Failure, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::make::STAGE;
use super::tree::Tree;
use super::unpack::{TREE, unpack};

/// The mark, in a file beside the tree.
const MARK: &str = "unfinished";

/// The folder beside the tree in which the archive is unpacked again.
const FRESH: &str = "fresh";

/// Unfinished work in the tree.
#[derive(Debug)]
#[must_use = "the tree is replaced unless the work in it is finished"]
pub(super) struct Work(Utf8PathBuf);

/// Begins work in a tree; replaces the tree first if earlier work was not finished.
///
/// # Errors
/// As [`unpack`]; `IO…` when the mark cannot be set.
pub(super) fn begin(tree: &Tree, archive: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Work> {
    let mark = tree.folder().join(MARK);
    if mark.exists() {
        events.line(STAGE, "the last run in this SDK did not finish; unpacking the SDK again");
        renew(tree, archive, events, cancel)?;
    }
    files::write(&mark, "")?;
    Ok(Work(mark))
}

impl Work {
    /// Tells that everything in the tree was built completely.
    pub(super) fn finished(self) -> Result<()> {
        std::fs::remove_file(&self.0).map_err(|error| Failure::io("remove the mark of a run", &self.0, &error))
    }
}

/// Replaces the tree; anyone who reads it meanwhile sees the old one or the new one.
fn renew(tree: &Tree, archive: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<()> {
    let fresh = tree.folder().join(FRESH);
    files::remove(&fresh)?;
    files::create_folder(&fresh)?;
    unpack(archive, &fresh, events, cancel)?;
    let unpacked = fresh.join(TREE);
    renameat_with(CWD, unpacked.as_std_path(), CWD, tree.root().as_std_path(), RenameFlags::EXCHANGE)
        .map_err(|error| Failure::io("put the new tree in the old one's place", tree.root(), &error.into()))?;
    files::remove(&fresh)?;
    files::remove(&tree.home())
}
