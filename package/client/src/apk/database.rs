//! The database of installed packages: `/lib/apk/db/installed`, in the text form that apk has written since version 2,
//! and the files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read as _, Write};

use camino::{Utf8Path, Utf8PathBuf};
use formats::apk::Info;

use super::installed::{File, Files, Folder, Installed};
use super::sidecars;
use crate::error::{Error, Result};
use crate::root::{Access, Root};

/// Path of apk's database.
pub(super) const INSTALLED: &str = "/lib/apk/db/installed";
/// The largest database that is read.
const MAX_BYTES: u64 = 64 << 20;

/// All installed packages, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Database(pub(super) BTreeMap<String, Installed>);

impl Database {
    /// Reads the database of a root; a missing file is an empty database.
    pub(super) fn load(root: &Root) -> Result<Database> {
        let wrong = |problem: String| Error::State { path: INSTALLED.into(), problem };
        let mut database = match root.open_file(INSTALLED.into())? {
            Some(file) => Database::read(BufReader::new(file.take(MAX_BYTES))).map_err(wrong)?,
            None => Database::default(),
        };
        sidecars::load(root, &mut database.0)?;
        Ok(database)
    }

    /// Reads line by line, as there can be very many.
    fn read(mut text: impl BufRead) -> Result<Database, String> {
        let mut database = Database::default();
        let mut package: Option<Installed> = None;
        let (mut line, mut left) = (String::new(), MAX_BYTES);
        loop {
            line.clear();
            let count = text.read_line(&mut line).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
                _ => error.to_string(),
            })?;
            left = left.saturating_sub(count as u64);
            if left == 0 {
                return Err(format!("the file has more than {MAX_BYTES} bytes"));
            }
            match line.trim_end_matches('\n') {
                "" => package.take().map_or(Ok(()), |package| database.add(package))?,
                line => package.get_or_insert_default().line(line)?,
            }
            if count == 0 {
                return Ok(database);
            }
        }
    }

    fn add(&mut self, package: Installed) -> Result<(), String> {
        package.check()?;
        let name = package.info.name.clone();
        match self.0.insert(name.clone(), package) {
            Some(_) => Err(format!("the package {name} is listed twice")),
            None => Ok(()),
        }
    }

    /// Replaces the database file in one step.
    pub(super) fn save(&self, root: &Root) -> Result<()> {
        root.make_parents(INSTALLED.into())?;
        root.write_text(INSTALLED.into(), Access::root(0o644), true, &|text| self.write(text))
    }

    /// Saves the database with one package added.
    pub(super) fn save_with(&self, root: &Root, package: &Installed) -> Result<()> {
        root.make_parents(INSTALLED.into())?;
        let name = &package.info.name;
        root.write_text(INSTALLED.into(), Access::root(0o644), true, &|text| {
            self.0.range::<String, _>(..name).try_for_each(|(_, before)| before.write(text))?;
            package.write(text)?;
            self.0.range::<String, _>(name..).try_for_each(|(_, after)| after.write(text))
        })
    }

    fn write(&self, text: &mut dyn Write) -> io::Result<()> {
        self.0.values().try_for_each(|package| package.write(text))
    }

    /// The content of the file.
    pub(super) fn text(&self) -> String {
        let mut text = Vec::new();
        let _infallible = self.write(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// The files of all packages except those that `without` selects, with the owning package.
    pub(super) fn files_of_others(&self, without: impl Fn(&str) -> bool) -> impl Iterator<Item = (Utf8PathBuf, &str)> {
        let others = self.0.values().filter(move |package| !without(&package.info.name));
        others.flat_map(|package| package.files().map(|(path, _)| (path, package.info.name.as_str())))
    }

    /// Adds to `names` all packages that depend on one of them, directly or not.
    pub(super) fn add_dependents(&self, names: &mut BTreeSet<String>) {
        loop {
            let going: Vec<&Installed> = names.iter().filter_map(|name| self.0.get(name)).collect();
            let needs = |info: &Info| {
                let mut needs = info.depends.iter().filter(|need| !need.is_conflict());
                needs.any(|need| going.iter().any(|going| going.info.satisfies(need)))
            };
            let others = self.0.values().map(|package| &package.info).filter(|info| !names.contains(&info.name));
            let dependents: Vec<String> = others.filter(|info| needs(info)).map(|info| info.name.clone()).collect();
            if dependents.is_empty() {
                return;
            }
            names.extend(dependents);
        }
    }

    /// Removes the files that package `name` now `takes` from all other entries; returns them as they were recorded
    /// there.
    pub(super) fn take_over(&mut self, name: &str, takes: impl Fn(&Utf8Path) -> bool) -> Installed {
        let mut taken = Installed::default();
        for package in self.0.values_mut().filter(|package| package.info.name != name) {
            for folder in &mut package.folders {
                let place = Utf8Path::new("/").join(&folder.path);
                let ours = |file: &File<'_>| takes(&place.join(file.name));
                if folder.files.iter().any(|file| ours(&file)) {
                    let (files, left): (Files, Files) = folder.files.iter().partition(ours);
                    folder.files = left;
                    taken.folders.push(Folder { path: folder.path.clone(), access: folder.access.clone(), files });
                }
            }
        }
        taken
    }

    /// The directories of all packages except one.
    pub(super) fn folders_of_others(&self, name: &str) -> BTreeSet<Utf8PathBuf> {
        self.0.values().filter(|package| package.info.name != name).flat_map(Installed::folders).collect()
    }
}

#[cfg(test)]
mod tests;
