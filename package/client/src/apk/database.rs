//! What is installed: `/lib/apk/db/installed`, in the text form that apk has written since version 2, with the files
//! beside it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::installed::{File, Folder, Installed};
use super::sidecars;
use crate::error::{Error, Result};
use crate::root::{Access, Root};

/// Where apk keeps it.
pub(super) const INSTALLED: &str = "/lib/apk/db/installed";
/// Largest database that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Everything that is installed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Database(pub(super) BTreeMap<String, Installed>);

impl Database {
    /// Reads the database of a root; one that was never made is empty.
    pub(super) fn load(root: &Root) -> Result<Database> {
        let bytes = root.read(INSTALLED.into(), MAX_BYTES)?.unwrap_or_default();
        let wrong = |problem: String| Error::State { path: INSTALLED.into(), problem };
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".into()))?;
        let mut database = Database::parse(&text).map_err(wrong)?;
        sidecars::load(root, &mut database.0)?;
        Ok(database)
    }

    fn parse(text: &str) -> Result<Database, String> {
        let mut database = Database::default();
        for package in text.split("\n\n").map(|package| package.trim_matches('\n')).filter(|text| !text.is_empty()) {
            let package = Installed::parse(package)?;
            let name = package.info.name.clone();
            if database.0.insert(name.clone(), package).is_some() {
                return Err(format!("the package {name} is listed twice"));
            }
        }
        Ok(database)
    }

    /// Replaces the database in one step.
    pub(super) fn save(&self, root: &Root) -> Result<()> {
        root.make_parents(INSTALLED.into())?;
        root.write(INSTALLED.into(), Access::root(0o644), true, &mut self.text().as_bytes())
    }

    /// The file as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.0.values().for_each(|package| package.write(&mut text));
        text
    }

    /// The files of all packages but those that `without` says, with their owners.
    pub(super) fn files_of_others(&self, without: impl Fn(&str) -> bool) -> impl Iterator<Item = (Utf8PathBuf, &str)> {
        let others = self.0.values().filter(move |package| !without(&package.info.name));
        others.flat_map(|package| package.files().map(|(path, _)| (path, package.info.name.as_str())))
    }

    /// Takes files out of the entries of all packages but one, and returns them as they stood there.
    pub(super) fn take_over(&mut self, name: &str, paths: &HashSet<Utf8PathBuf>) -> Installed {
        let mut taken = Installed::default();
        for package in self.0.values_mut().filter(|package| package.info.name != name) {
            for folder in &mut package.folders {
                let place = Utf8Path::new("/").join(&folder.path);
                let ours = |file: &mut File| paths.contains(&place.join(&*file.name));
                let files: Vec<File> = folder.files.extract_if(.., ours).collect();
                if !files.is_empty() {
                    taken.folders.push(Folder { path: folder.path.clone(), access: folder.access.clone(), files });
                }
            }
        }
        taken
    }

    /// The directories of all packages but one.
    pub(super) fn folders_of_others(&self, name: &str) -> BTreeSet<Utf8PathBuf> {
        self.0.values().filter(|package| package.info.name != name).flat_map(Installed::folders).collect()
    }
}

#[cfg(test)]
mod tests;
