//! File operations that say what they were doing when the operating system refused.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use model::{Failure, Result};

/// Creates a directory and those above it.
pub(crate) fn create_directory(path: &Utf8Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Failure::io("create the directory", path, &error))
}

/// Writes a new file. Callers hand us directories that nobody sees before they are renamed.
pub(crate) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Failure::io("write the file", path, &error))
}

/// Replaces a file whole: whoever reads it sees the old one or the new one.
pub(crate) fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("aside");
    write(&aside, bytes)?;
    std::fs::rename(&aside, path).map_err(|error| Failure::io("replace the file", path, &error))
}

/// Reads a whole file.
pub(crate) fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io("read the file", path, &error))
}

/// Reads a whole file of text.
pub(crate) fn read_text(path: &Utf8Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("read the file", path, &error))
}

/// Whether we run as root: the owner of our own entry in /proc.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}
