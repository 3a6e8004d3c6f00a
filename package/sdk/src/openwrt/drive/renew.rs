//! A tree in which a run did not end well is made anew.
//!
//! OpenWrt's build writes in place: packages (`scripts/ipkg-build`, `apk mkpkg`), stamps, lists of what was scanned,
//! the staging folder. What an interrupt or a full disk leaves of them looks finished to `make`, and stays wrong for
//! every later run. So a run leaves a mark outside the tree and takes it away when all packages are checked; where the
//! mark is found, the archive is unpacked again.

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Cancel, Events, Failure, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::make::STAGE;
use super::tree::Tree;
use super::unpack::{TREE, unpack};

/// The mark, beside the tree.
const MARK: &str = "unfinished";

/// Where the archive is unpacked again, beside the tree.
const FRESH: &str = "fresh";

/// Work in the tree that is not finished.
#[derive(Debug)]
#[must_use = "a tree is made anew unless the work in it is finished"]
pub(super) struct Work(Utf8PathBuf);

/// Begins work in a tree, in a new one if earlier work was not finished.
///
/// # Errors
/// As [`unpack`]; `IO…` when the mark cannot be set.
pub(super) fn begin(tree: &Tree, archive: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Work> {
    let mark = tree.folder().join(MARK);
    if mark.exists() {
        events.line(STAGE, "the last run in this SDK did not end well; unpacking it anew");
        renew(tree, archive, events, cancel)?;
    }
    files::write(&mark, "")?;
    Ok(Work(mark))
}

impl Work {
    /// Everything that was built in the tree is whole.
    pub(super) fn finished(self) -> Result<()> {
        std::fs::remove_file(&self.0).map_err(|error| Failure::io("remove the mark of a run", &self.0, &error))
    }
}

/// Whoever reads facts in the tree meanwhile finds the old one or the new one.
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
