//! `sha256sums`, in OpenWrt's format: a line `HASH *PATH` for each file.

use std::collections::BTreeMap;
use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Digest, Failure, Result, parallel, processors};

/// File name of the list.
pub(crate) const NAME: &str = "sha256sums";
/// File name of its signature.
pub(crate) const SIGNATURE: &str = "sha256sums.sig";

/// Digests of files by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums(pub(crate) BTreeMap<String, Digest>);

impl Sums {
    /// Hashes every file below a folder, except the list itself and its signature.
    pub(crate) fn of(folder: &Utf8Path) -> Result<Self> {
        let paths: Vec<String> =
            walk(folder)?.into_iter().filter(|path| !matches!(path.as_str(), NAME | SIGNATURE)).collect();
        let digests = parallel(&paths, processors(), |path| digest(&folder.join(path)))?;
        Ok(Sums(paths.into_iter().zip(digests).collect()))
    }

    /// The listed files below a folder.
    pub(crate) fn below(&self, folder: &str) -> Vec<(&str, Digest)> {
        let inside = |path: &&String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.0.iter().filter(|(path, _)| inside(path)).map(|(path, digest)| (path.as_str(), *digest)).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(path, digest)| format!("{digest} *{path}\n")).collect()
    }

    /// Reads a list; `None` when it is malformed, or when a path leads out of the tree.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut sums = BTreeMap::new();
        for line in text.lines() {
            let (digest, path) = line.split_once(" *")?;
            let digest: Digest = digest.parse().ok()?;
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
            if !path.split('/').all(plain) || sums.insert(path.to_owned(), digest).is_some() {
                return None;
            }
        }
        Some(Sums(sums))
    }
}

/// The digest of a file on disk.
pub(crate) fn digest(path: &Utf8Path) -> Result<Digest> {
    let io = |error: std::io::Error| Failure::io("read the file", path, &error);
    Ok(Digest::of_reader(&mut File::open(path).map_err(io)?).map_err(io)?.0)
}

/// Paths of all files below a folder, relative to it, sorted. Anything that is neither a file nor a folder is listed as
/// a file, so that reading it fails.
pub(crate) fn walk(folder: &Utf8Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![Utf8PathBuf::new()];
    while let Some(next) = folders.pop() {
        for entry in host::files::entries(&folder.join(&next))? {
            let name = next.join(entry.file_name().unwrap_or_default());
            match entry.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                true => folders.push(name),
                false => found.push(name.into_string()),
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_written_and_leads_nowhere_else() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap();
        host::aside::write(&root.join("a/b c"), "x").unwrap();
        host::aside::write(&root.join(NAME), "not of itself").unwrap();
        let sums = Sums::of(root).unwrap();
        assert_eq!(sums.text(), format!("{} *a/b c\n", Digest::of("x")));
        assert_eq!(Sums::parse(&sums.text()), Some(sums.clone()));
        for path in ["../a", "/a", "a/../b", "a//b", "."] {
            assert_eq!(Sums::parse(&format!("{} *{path}\n", Digest::of("x"))), None, "{path}");
        }
        assert_eq!(Sums::parse("rubbish"), None);
        assert_eq!(Sums::parse(&sums.text().repeat(2)), None, "twice");
    }
}
