//! Files and folders that appear whole: written beside their final place, then renamed.
//!
//! A reader sees either the old one or the new one, and an interrupted write leaves the old one. The temporary one lies
//! in the same folder, so the rename stays within one file system. It is removed in every case except when this process
//! is killed.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Failure, Result};
use tempfile::{NamedTempFile, TempDir};

/// Replaces a file by `bytes`, with mode 0644 whatever the umask is; creates parent folders.
pub fn write(path: &Utf8Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    let written = || {
        std::fs::create_dir_all(parent(path))?;
        let mut aside = Aside::begin(path)?;
        aside.file().write_all(bytes.as_ref())?;
        aside.file().set_permissions(Permissions::from_mode(0o644))?;
        aside.keep()
    };
    written().map_err(|error| Failure::io("write the file", path, &error))
}

/// A file that does not have its final name yet. Only its owner may read it until its permissions are set.
#[derive(Debug)]
pub struct Aside {
    file: NamedTempFile,
    path: Utf8PathBuf,
}

impl Aside {
    /// Begins a file that will be at `path`; its folder must exist.
    pub fn begin(path: &Utf8Path) -> io::Result<Self> {
        Ok(Aside { file: NamedTempFile::new_in(parent(path))?, path: path.to_owned() })
    }

    /// The open file, to write to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// The temporary path.
    pub fn place(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Renames it to its final name, replacing what is there.
    pub fn keep(self) -> io::Result<()> {
        self.file.persist(&self.path).map(drop).map_err(|error| error.error)
    }

    /// Syncs it to disk and renames it to its final name, unless that name is taken.
    pub fn keep_first(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist_noclobber(&self.path).map(drop).map_err(|error| error.error)
    }
}

/// A folder that does not have its final name yet.
#[derive(Debug)]
pub struct AsideFolder {
    folder: TempDir,
    /// The temporary path.
    pub place: Utf8PathBuf,
    path: Utf8PathBuf,
}

impl AsideFolder {
    /// Begins an empty folder that will be at `path`; the folder around it must exist.
    pub fn begin(path: &Utf8Path) -> Result<Self> {
        let refused = |error: io::Error| Failure::io("make a folder beside", path, &error);
        let folder = tempfile::Builder::new().prefix(".aside-").tempdir_in(parent(path)).map_err(refused)?;
        let around =
            Utf8Path::from_path(folder.path()).ok_or_else(|| refused(io::ErrorKind::InvalidFilename.into()))?;
        // `around` is private (0700), so the new folder is made inside it, with the usual permissions.
        let place = around.join("new");
        std::fs::create_dir(&place).map_err(refused)?;
        Ok(AsideFolder { folder, place, path: path.to_owned() })
    }

    /// Renames it to its final name, unless a folder that is not empty has that name.
    pub fn keep_first(self) -> Result<()> {
        std::fs::rename(&self.place, &self.path).map_err(|error| self.refused(&error))
    }

    /// Renames it to its final name; what is there is removed.
    pub fn keep(self) -> Result<()> {
        let old = self.folder.path().join("old");
        let moved = match std::fs::rename(&self.path, old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => std::fs::rename(&self.place, &self.path),
        };
        moved.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::io("move the finished folder into place", &self.path, error)
    }
}

fn parent(path: &Utf8Path) -> &Utf8Path {
    path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        (guard, path)
    }

    fn names(folder: &Utf8Path) -> Vec<String> {
        crate::files::entries(folder).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let (_guard, folder) = folder();
        let path = folder.join("a/report.xml");
        for text in ["a long first version", "short"] {
            write(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(&folder.join("a")), ["report.xml"]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn what_is_not_kept_leaves_the_old_one() {
        let (_guard, folder) = folder();
        let path = folder.join("a");
        write(&path, "old").unwrap();
        let mut aside = Aside::begin(&path).unwrap();
        aside.file().write_all(b"new").unwrap();
        drop(aside);
        assert_eq!((names(&folder), std::fs::read_to_string(&path).unwrap()), (vec!["a".into()], "old".into()));
        let first = Aside::begin(&path).unwrap().keep_first();
        assert_eq!(first.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((names(&folder), std::fs::read_to_string(&path).unwrap()), (vec!["a".into()], "old".into()));
        Aside::begin(&folder.join("b")).unwrap().keep_first().unwrap();
        assert_eq!(names(&folder), ["a", "b"]);
    }

    #[test]
    fn a_folder_takes_the_place_of_the_old_one() {
        let (_guard, root) = folder();
        let path = root.join("feed");
        for name in ["one", "two"] {
            let aside = AsideFolder::begin(&path).unwrap();
            write(&aside.place.join(name), "").unwrap();
            drop(AsideFolder::begin(&path).unwrap());
            aside.keep().unwrap();
            assert_eq!((names(&root), names(&path)), (vec!["feed".into()], vec![name.into()]));
        }
        assert_eq!(AsideFolder::begin(&path).unwrap().keep_first().unwrap_err().exit(), model::Exit::Host);
        AsideFolder::begin(&root.join("other")).unwrap().keep_first().unwrap();
        assert_eq!((names(&root), names(&path)), (vec!["feed".into(), "other".into()], vec!["two".into()]));
    }

    #[test]
    fn a_folder_in_the_way_is_a_failure_that_names_the_path() {
        let (_guard, path) = folder();
        let failure = write(&path, "x").unwrap_err();
        assert_eq!(failure.finding().place.as_deref(), Some(path.as_str()));
        let failure = AsideFolder::begin("/no/folder/feed".into()).unwrap_err();
        assert_eq!(failure.finding().place.as_deref(), Some("/no/folder/feed"));
    }
}
