//! Reading the files that the kernel and `depmod` offer, below a root that tests choose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::finding::Finding;

/// The place where `/proc` and `/lib/modules` are found.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Below `root`, which is `/` outside of tests.
    pub fn below(root: impl Into<PathBuf>) -> Files {
        Files { root: root.into() }
    }

    /// Whether there is such a root: below one that is mistyped everything would only seem to be missing.
    ///
    /// # Errors
    /// `OCTL026`: there is not.
    pub fn check(&self) -> Result<(), Finding> {
        if self.root.is_dir() {
            return Ok(());
        }
        Err(Finding::new(
            "OCTL026",
            format!("there is no directory {}", self.root.display()),
            "--root names the system that is looked at, such as an image that is mounted",
            "correct the path, or leave --root out to look at the running system",
        ))
    }

    /// The path below the root; `path` is written as on a router, with a leading slash.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether the root is that of the running system.
    pub fn are_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether something is there.
    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The whole text; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, path: &str) -> io::Result<String> {
        fs::read(self.path(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The whole content.
    ///
    /// # Errors
    /// What the system says.
    pub fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(path))
    }

    /// The whole text, or nothing when the file is not there or not readable: for sources that may be absent.
    pub fn read_or_empty(&self, path: &str) -> String {
        self.read(path).unwrap_or_default()
    }

    /// Opens a file that is too long to be read at once.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, path: &str) -> io::Result<fs::File> {
        fs::File::open(self.path(path))
    }

    /// Names of the files in a directory; none when it is not there.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else { return Vec::new() };
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}
