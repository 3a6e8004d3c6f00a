//! Operations on files and folders whose errors say what was being done when the operating system refused.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Failure, Result};

/// Makes a folder and its parents.
pub fn create_folder(path: &Utf8Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Failure::io("make the folder", path, &error))
}

/// Writes a new file. For folders that nobody sees before they are renamed; elsewhere use [`crate::aside::write`], so
/// that no reader sees half a file.
pub fn write(path: &Utf8Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Failure::io("write the file", path, &error))
}

/// Reads a whole file.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io("read the file", path, &error))
}

/// Reads a whole file of text.
pub fn read_text(path: &Utf8Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("read the file", path, &error))
}

/// Removes a file, or a folder with everything in it. A missing path is no error.
pub fn remove(path: &Utf8Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// The paths in a folder, sorted; none when the folder does not exist.
pub fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let refused = |error: std::io::Error| Failure::io("list the folder", folder, &error);
    let listing = match folder.read_dir_utf8() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(refused)?,
    };
    let mut found = Vec::new();
    for entry in listing {
        found.push(entry.map_err(refused)?.into_path());
    }
    found.sort();
    Ok(found)
}

/// The files in a folder with one of these extensions, sorted; none when the folder does not exist.
pub fn with_extension(folder: &Utf8Path, extensions: &[&str]) -> Result<Vec<Utf8PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| path.extension().is_some_and(|own| extensions.contains(&own)) && path.is_file());
    Ok(found)
}

/// Whether we run as root, told by the owner of our own entry in /proc.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_sorted_by_extension_and_go_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        create_folder(&root.join("a/x.ipk")).unwrap();
        for name in ["c.apk", "b.ipk", "notes", ".ipk"] {
            write(&root.join("a").join(name), name).unwrap();
        }
        let found = with_extension(&root.join("a"), &["ipk", "apk"]).unwrap();
        assert_eq!(found, [root.join("a/b.ipk"), root.join("a/c.apk")]);
        assert_eq!(read_text(&found[0]).unwrap(), "b.ipk");
        for _ in 0..2 {
            remove(&root.join("a")).unwrap();
            assert!(entries(&root.join("a")).unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_refused_names_the_path() {
        let place = |result: Result<()>| result.unwrap_err().finding().place.clone().unwrap();
        assert_eq!(place(read(Utf8Path::new("/no/file")).map(drop)), "/no/file");
        assert_eq!(place(write(Utf8Path::new("/no/file"), "")), "/no/file");
        assert_eq!(place(entries(Utf8Path::new("/dev/null")).map(drop)), "/dev/null");
        assert_eq!(place(create_folder(Utf8Path::new("/dev/null/x"))), "/dev/null/x");
        assert_eq!(place(remove(Utf8Path::new("/proc/self/stat"))), "/proc/self/stat");
    }
}
