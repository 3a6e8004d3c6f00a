//! A root to install into that goes away again.

use camino::Utf8Path;
use model::{Failure, Result};

/// An empty root; dropping it removes it.
pub(super) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|error| Failure::io("make a scratch root", "/tmp", &error))?;
        match Utf8Path::from_path(folder.path()) {
            Some(_) => Ok(Scratch(folder)),
            None => {
                let error = std::io::ErrorKind::InvalidFilename.into();
                Err(Failure::io("use a scratch root", folder.path().display(), &error))
            }
        }
    }

    pub(super) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap_or(Utf8Path::new(""))
    }

    /// Writes a file, with the folders above it.
    pub(super) fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path().join(path.trim_start_matches('/'));
        let folder = path.parent().unwrap_or(self.path());
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::io("prepare the scratch root", &path, &error))
    }
}
