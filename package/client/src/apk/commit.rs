//! Puts prepared packages into the root, and removes packages.
//!
//! The order matters: the database marks a package as incomplete from before the first change until after the last one,
//! and it always lists every file that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use formats::apk::{self, Member, Script};
use formats::{Kind, Limits};
use model::Digest;
use tempfile::TempDir;

use super::config::Config;
use super::database::Database;
use super::installed::{Checksum, Installed, digest};
use super::owners::Owners;
use super::prepare::Prepared;
use super::{Progress, Step, scripts, sidecars};
use crate::error::{Error, Result};
use crate::place;
use crate::root::{Access, Kind as There, Root};

/// Below the first of these, files that the user changed are kept; files below the second are programs.
const PROTECTED: &str = "/etc";
const NOT_PROTECTED: &str = "/etc/init.d";

/// Whether the user's changes to a file outlive an upgrade.
pub(super) fn is_protected(path: &Utf8Path) -> bool {
    path.starts_with(PROTECTED) && !path.starts_with(NOT_PROTECTED)
}

/// A running transaction.
pub(super) struct Commit<'a> {
    pub(super) root: &'a Root,
    pub(super) config: &'a Config,
    pub(super) owners: &'a Owners,
    /// Where scripts lie while they run.
    pub(super) scratch: &'a TempDir,
    pub(super) database: &'a mut Database,
    /// Directories in which something changed, for triggers.
    pub(super) touched: BTreeSet<Utf8PathBuf>,
    pub(super) on: &'a mut dyn FnMut(Progress),
}

impl Commit<'_> {
    /// Installs a package in place of any older version. The inner result is the failure of a script that ran
    /// afterwards, when all files were in place.
    pub(super) fn install(&mut self, package: &Prepared) -> Result<Result<()>> {
        let name = package.name();
        let before = self.database.0.get(name).cloned();
        let mut during = Installed::new(&package.metadata, package.size, self.owners, &package.left);
        let old_version = before.as_ref().filter(|old| old.is_complete()).map(|old| old.info.version.clone());
        let (pre, post) = match old_version {
            None => (Script::PreInstall, Script::PostInstall),
            Some(_) => (Script::PreUpgrade, Script::PostUpgrade),
        };
        let mut words = vec![during.info.version.clone()];
        words.extend(old_version);
        self.script(&during, pre, &words)?;

        // The old files are still there, so their entries move over with the checksums that others recorded.
        let taken = self.database.take_over(name, |path| package.has_file(path));
        let lists_more = before.is_some() || taken.files().next().is_some();
        let after = lists_more.then(|| during.clone());
        during.set_complete(false);
        for old in before.iter().chain([&taken]) {
            during.list_also(old);
        }
        self.set(during, true)?;
        // From here on no script runs until all files are in place.
        let root = self.root.remembering();
        let brought: Vec<(Utf8PathBuf, bool)> = before.iter().flat_map(|_| package.paths()).collect();
        if let Some(before) = &before {
            let yields = before.files().map(|(path, _)| path).filter(|path| !is_protected(path)).collect();
            place::make_way(&root, &yields, brought.iter().map(|(path, is_folder)| (path.as_path(), *is_folder)))?;
        }
        self.files(&root, package, before.iter().chain([&taken]))?;
        if let Some(before) = &before {
            let brought: Vec<Utf8PathBuf> = brought.into_iter().map(|(path, _)| path).collect();
            self.remove_obsolete(&root, before, &brought)?;
        }
        if self.root.path() == "/" {
            self.root.sync()?;
        }
        let mut after = after.or_else(|| self.database.0.remove(name)).unwrap_or_default();
        after.set_complete(true);
        after.set_configured(!(self.config.run_scripts && after.scripts.contains_key(&post)));
        self.set(after, false)?;
        Ok(self.configure(name, post, &words))
    }

    /// Runs a package's script that has not run yet, if scripts are run at all.
    pub(super) fn configure_again(&mut self, name: &str) -> Result<()> {
        if !self.config.run_scripts {
            return Ok(());
        }
        let Some(package) = self.database.0.get(name) else { return Ok(()) };
        let words = [package.info.version.clone()];
        self.configure(name, Script::PostInstall, &words)
    }

    fn configure(&mut self, name: &str, script: Script, words: &[String]) -> Result<()> {
        if let Some(package) = self.database.0.get(name) {
            run_script(self.root, self.config, self.scratch, self.on, package, script, words)?;
        }
        if let Some(package) = self.database.0.get_mut(name).filter(|package| !package.is_configured()) {
            package.set_configured(true);
            self.database.save(self.root)?;
        }
        Ok(())
    }

    /// Removes a package.
    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        // The entry can be large, so it is taken out, not copied; on disk it is marked incomplete until its files are
        // gone.
        let Some(mut package) = self.database.0.remove(name) else { return Ok(()) };
        let gone = self.take_away(&mut package);
        if gone.is_err() {
            self.database.0.insert(name.to_owned(), package);
            return gone;
        }
        sidecars::save(self.root, &self.database.0)?;
        self.database.save(self.root)
    }

    fn take_away(&mut self, package: &mut Installed) -> Result<()> {
        let words = [package.info.version.clone()];
        let was_complete = package.is_complete();
        if was_complete {
            self.script(package, Script::PreDeinstall, &words)?;
        }
        package.set_complete(false);
        self.database.save_with(self.root, package)?;
        package.set_complete(was_complete);
        let gone = self.remove_obsolete(&self.root.remembering(), package, &[]);
        package.set_complete(false);
        gone?;
        self.script(package, Script::PostDeinstall, &words)
    }

    /// Runs a package's trigger script for changed directories that it watches.
    pub(super) fn trigger(&mut self, package: &Installed, folders: &[Utf8PathBuf]) -> Result<()> {
        let words: Vec<String> = folders.iter().map(|folder| folder.as_str().to_owned()).collect();
        self.script(package, Script::Trigger, &words)
    }

    fn script(&mut self, package: &Installed, script: Script, words: &[String]) -> Result<()> {
        run_script(self.root, self.config, self.scratch, self.on, package, script, words)
    }

    /// Writes an entry to the database; also to the files beside it if the version is new.
    fn set(&mut self, package: Installed, new_version: bool) -> Result<()> {
        self.database.0.insert(package.info.name.clone(), package);
        if new_version {
            sidecars::save(self.root, &self.database.0)?;
        }
        self.database.save(self.root)
    }

    /// Directories first, then files with content in the archive's order, then empty files and links.
    fn files<'a>(
        &mut self,
        root: &Root,
        package: &Prepared,
        before: impl Iterator<Item = &'a Installed>,
    ) -> Result<()> {
        let title = package.name();
        let here = |member: &Member| package.left.is_empty() || !package.left.contains(&place::path_of(&member.entry));
        let members = || package.metadata.members.iter().filter(here);
        if members().any(|member| !member.xattrs.is_empty()) {
            let text = format!("Package {title} has extended attributes, which this client does not set.");
            (self.on)(Progress::Note { text });
        }
        let recorded: BTreeMap<Utf8PathBuf, Checksum> =
            before.flat_map(Installed::files).filter_map(|(path, sum)| Some((path, sum?))).collect();
        let is_folder = |member: &Member| member.entry.kind == Kind::Dir && !member.entry.path.is_empty();
        for member in members().filter(is_folder) {
            self.put(root, title, &member, &recorded, &mut io::empty())?;
        }
        let mut failure = None;
        let read = apk::revisit(package.open()?, &Limits::default(), &package.metadata, &mut |member, content| {
            if !here(member) {
                return Ok(());
            }
            self.put(root, title, member, &recorded, content).map_err(|error| {
                let stop = io::Error::other(error.to_string());
                failure = Some(error);
                stop
            })
        });
        match (failure, read) {
            (Some(error), _) => return Err(error),
            (None, Err(error)) => {
                return Err(Error::Package { file: title.into(), problem: format!("{error} ({})", error.id()) });
            }
            (None, Ok(())) => {}
        }
        let is_late = |member: &Member| match member.entry.kind {
            Kind::File(_) => member.length == 0,
            _ => member.entry.kind != Kind::Dir,
        };
        for member in members().filter(is_late) {
            self.put(root, title, &member, &recorded, &mut io::empty())?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        root: &Root,
        package: &str,
        member: &Member,
        recorded: &BTreeMap<Utf8PathBuf, Checksum>,
        content: &mut dyn Read,
    ) -> Result<()> {
        let entry = &member.entry;
        let mut path = place::path_of(entry);
        self.touch(&path);
        if matches!(entry.kind, Kind::File(_)) && entry.mode & 0o6000 != 0 {
            let text = format!("Package {package} installs {path} with the rights of its owner or group.");
            (self.on)(Progress::Note { text });
        }
        let replaces_file = entry.kind != Kind::Dir;
        if replaces_file && is_changed(root, &path, recorded.get(&path), digest(member).as_ref())? {
            path = format!("{path}.apk-new").into();
            (self.on)(Progress::Note { text: format!("Installing file to {path}") });
        }
        let (user, group) = self.owners.of(entry);
        let access = Access { mode: entry.mode, user, group, time: Some(member.time) };
        place::put(root, package, entry, &path, access, content)
    }

    /// Removes the old version's paths that are not in `brought`, unless another package has them.
    fn remove_obsolete(&mut self, root: &Root, package: &Installed, brought: &[Utf8PathBuf]) -> Result<()> {
        let name = &package.info.name;
        let others = self.database.files_of_others(|other| other == name).map(|(path, _)| path);
        let kept = place::kept(root, package.files().map(|(path, _)| path), brought, others);
        for (path, recorded) in package.files().filter(|(path, _)| !kept.contains(path)) {
            self.remove_file(root, &path, recorded.as_ref(), package.is_complete())?;
        }
        // Innermost folders first; one that is not empty, or that another package has, stays.
        let folders: BTreeSet<Utf8PathBuf> = package.folders().collect();
        let kept = place::kept(root, package.folders(), brought, self.database.folders_of_others(name));
        for folder in folders.iter().rev().filter(|folder| !kept.contains(*folder)) {
            let _not_empty = root.remove_empty(folder);
        }
        Ok(())
    }

    fn remove_file(
        &mut self,
        root: &Root,
        path: &Utf8Path,
        recorded: Option<&Checksum>,
        is_complete: bool,
    ) -> Result<()> {
        self.touch(path);
        if is_protected(path) {
            root.remove(Utf8Path::new(&format!("{path}.apk-new")))?;
        }
        if is_changed(root, path, recorded, None)? {
            (self.on)(Progress::Note { text: format!("Not deleting modified file {path}") });
        } else if is_complete {
            root.remove_whole(path)?;
        } else if root.kind(path)? != Some(There::Folder) {
            root.remove(path)?;
        }
        Ok(())
    }

    fn touch(&mut self, path: &Utf8Path) {
        if let Some(folder) = path.parent().filter(|folder| !self.touched.contains(*folder)) {
            self.touched.insert(folder.to_owned());
        }
    }
}

/// Whether a file or link exists that the user made or changed: it is neither what the database recorded nor what is
/// now installed.
fn is_changed(root: &Root, path: &Utf8Path, recorded: Option<&Checksum>, new: Option<&Digest>) -> Result<bool> {
    if !is_protected(path) {
        return Ok(false);
    }
    let there = match root.kind(path)? {
        Some(There::File) => root.sha256(path)?,
        Some(There::Link) => root.link_target(path)?.map(Digest::of),
        Some(There::Folder | There::Other) | None => return Ok(false),
    };
    Ok(there.is_some_and(|there| Some(&there) != new && Some(&Checksum::of(&there)) != recorded))
}

fn run_script(
    root: &Root,
    config: &Config,
    scratch: &TempDir,
    on: &mut dyn FnMut(Progress),
    package: &Installed,
    script: Script,
    words: &[String],
) -> Result<()> {
    if !config.run_scripts || !package.scripts.contains_key(&script) {
        return Ok(());
    }
    on(Step::Executing { package: package.title(), script: script.name() }.into());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    scripts::run(root, scratch, package, script, &words)
}
