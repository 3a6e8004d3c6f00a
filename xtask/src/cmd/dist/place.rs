//! Where trees are on this machine: a web server serves `current`, a link that is replaced in one step.
//!
//! ```text
//! OUT/current -> trees/0123456789abcdef
//! OUT/trees/0123456789abcdef/    named after its own list of digests; the previous one stays for current readers
//! OUT/trees/.aside-*             being made
//! ```

use camino::{Utf8Path, Utf8PathBuf};
use host::aside::AsideFolder;
use host::files;
use model::{Digest, Failure, Result};

/// Name of the link.
const CURRENT: &str = "current";
/// How many digits of the digest name a tree.
const DIGITS: usize = 16;

pub(super) struct Place {
    out: Utf8PathBuf,
    trees: Utf8PathBuf,
}

impl Place {
    pub(super) fn at(out: &Utf8Path) -> Result<Place> {
        let trees = out.join("trees");
        files::create_folder(&trees)?;
        Ok(Place { out: out.to_owned(), trees })
    }

    /// The lock file for the only run that may work here.
    pub(super) fn lock(&self) -> Utf8PathBuf {
        self.trees.join(".lock")
    }

    /// Removes leftovers of killed runs; the caller holds the lock.
    pub(super) fn tidy(&self) -> Result<()> {
        let ours = |path: &Utf8PathBuf| path.file_name().is_some_and(|name| name.starts_with(".aside-"));
        files::entries(&self.trees)?.iter().filter(|path| ours(path)).try_for_each(|path| files::remove(path))?;
        files::remove(&self.out.join(format!(".{CURRENT}")))
    }

    /// The tree that is published here, if any.
    pub(super) fn current(&self) -> Option<Utf8PathBuf> {
        let link = self.out.join(CURRENT).read_link_utf8().ok()?;
        Some(self.out.join(link)).filter(|tree| tree.is_dir())
    }

    /// An empty folder that is removed unless it is published.
    pub(super) fn aside(&self) -> Result<AsideFolder> {
        AsideFolder::begin(&self.trees.join("new"))
    }

    /// Publishes a tree after `verified` checked it. Returns its path, and whether it differs from the previous one;
    /// `is_good` means that the previous one was verified.
    pub(super) fn publish(
        &self,
        tree: AsideFolder,
        is_good: bool,
        verified: impl FnOnce(&Utf8Path) -> Result<()>,
    ) -> Result<(Utf8PathBuf, bool)> {
        let list = files::read(&tree.place.join("sha256sums"))?;
        let name: String = Digest::of(list).to_string().chars().take(DIGITS).collect();
        let (place, before) = (self.trees.join(&name), self.current());
        if is_good && before.as_ref() == Some(&place) {
            return Ok((self.out.join(CURRENT), false));
        }
        verified(&tree.place)?;
        // An existing tree of this name may have been changed since.
        let old = self.trees.join(".aside-old");
        let moved = std::fs::rename(&place, &old);
        let io = |error: std::io::Error| Failure::io("publish the tree", &place, &error);
        match moved {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => std::fs::rename(&tree.place, &place).map_err(io)?,
        }
        files::remove(&old)?;
        let link = self.out.join(format!(".{CURRENT}"));
        files::remove(&link)?;
        std::os::unix::fs::symlink(format!("trees/{name}"), &link).map_err(io)?;
        std::fs::rename(&link, self.out.join(CURRENT)).map_err(io)?;
        let stays = |path: &Utf8PathBuf| {
            *path == place
                || Some(path) == before.as_ref()
                || path.file_name().is_some_and(|name| name.starts_with('.'))
        };
        files::entries(&self.trees)?.iter().filter(|path| !stays(path)).try_for_each(|path| files::remove(path))?;
        Ok((self.out.join(CURRENT), true))
    }
}
