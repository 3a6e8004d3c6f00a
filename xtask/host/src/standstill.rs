//! Tells whether a silent program still works, by the files that it writes.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

/// How often a silent program's files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(2);

/// Watches a program for signs of life.
pub(crate) struct Standstill<'a> {
    /// How long it may give no sign.
    pub(crate) limit: Duration,
    writes_to: &'a [Utf8PathBuf],
    since: Instant,
    looked: Instant,
    newest: Duration,
}

impl<'a> Standstill<'a> {
    pub(crate) fn new(limit: Duration, writes_to: &'a [Utf8PathBuf]) -> Self {
        Standstill { limit, writes_to, since: Instant::now(), looked: Instant::now(), newest: newest_change(writes_to) }
    }

    pub(crate) fn moved(&mut self) {
        self.since = Instant::now();
    }

    pub(crate) fn too_long(&mut self) -> bool {
        let interval = LOOK_AT_FILES.min(self.limit);
        if self.since.elapsed() < interval || self.looked.elapsed() < interval {
            return false;
        }
        self.looked = Instant::now();
        let newest = newest_change(self.writes_to);
        if newest != self.newest {
            self.newest = newest;
            self.moved();
        }
        self.since.elapsed() >= self.limit
    }
}

/// When something in these folders, or in their subfolders, was last changed.
fn newest_change(folders: &[Utf8PathBuf]) -> Duration {
    fn newest(folder: &Utf8Path, depth: usize) -> Duration {
        let changed = |path: &Utf8Path| {
            let time = path.symlink_metadata().and_then(|meta| meta.modified()).ok()?;
            time.duration_since(std::time::UNIX_EPOCH).ok()
        };
        let below = folder.read_dir_utf8().into_iter().flatten().flatten().map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth > 0 {
                newest(entry.path(), depth - 1)
            } else {
                changed(entry.path()).unwrap_or_default()
            }
        });
        below.max().max(changed(folder)).unwrap_or_default()
    }
    folders.iter().map(|folder| newest(folder, 2)).max().unwrap_or_default()
}
