//! Writing a file so that a reader sees the old one or the whole new one.

use std::io::Write;

use camino::Utf8Path;
use model::{Failure, Result};

/// Writes `bytes` beside `path` and renames them into place; parent folders are made.
pub fn write_aside(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    let refused = |error: std::io::Error| Failure::io("write the file", path, &error);
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    std::fs::create_dir_all(folder).map_err(refused)?;
    let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(refused)?;
    aside.write_all(bytes).map_err(refused)?;
    // A temporary file is private; a result is for everybody whom the folder lets in.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    aside.as_file().set_permissions(readable).map_err(refused)?;
    aside.persist(path).map_err(|error| refused(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("a/report.xml");
        for text in ["a long first version", "short"] {
            write_aside(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(path.parent().unwrap().read_dir_utf8().unwrap().count(), 1);
    }

    #[test]
    fn a_folder_in_the_way_is_a_failure_that_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let failure = write_aside(path, b"x").unwrap_err();
        assert_eq!(failure.finding().place.as_deref(), Some(path.as_str()));
    }
}
