//! Unpacks one prepared package into the root, and configures it.
//!
//! The order matters: the status says *half-installed* before the first change and *unpacked* after the last one, and
//! the file list on disk always covers the files on disk.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use formats::tar::Member;
use formats::{Kind, Limits, ipk};
use model::Digest;
use tempfile::TempDir;

use super::alternatives;
use super::config::Config;
use super::prepare::{Prepared, path_of, yielding};
use super::scripts::{self, Call};
use super::status::{Installed, State, Status, read_paths, remove_info, write_info, write_paths};
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::place::{self, Sort};
use crate::root::{self, Access, Root};

/// Kinds of lists that we write; the other files in the info directory come from the package.
const LISTS: [&str; 2] = ["list", "dirs"];

/// What is needed to install one package.
pub(crate) struct Unpacker<'a> {
    pub(crate) root: &'a Root,
    pub(crate) config: &'a Config,
    /// Folder for a script that is not in the root yet.
    pub(crate) scratch: &'a TempDir,
    pub(crate) status: &'a mut Status,
    pub(crate) on: &'a mut dyn FnMut(Progress),
}

impl Unpacker<'_> {
    /// Runs the scripts that come first, replaces the files, and leaves the package unpacked.
    pub(crate) fn unpack(&mut self, package: &mut Prepared, asked: bool) -> Result<()> {
        let name = package.name().to_owned();
        let version = package.control().version.clone();
        let before = self.status.0.get(&name).cloned();
        let from = before.as_ref().filter(|old| old.is_usable()).map(|old| old.control.version.clone());
        let upgrade = from.is_some();
        let asked = asked || before.as_ref().is_some_and(|old| !old.came_along());
        (self.on)(Step::Installing { name: name.clone(), version: version.clone(), from: from.clone() }.into());

        if upgrade {
            let words = ["upgrade", version.as_str()];
            self.script(Call { package: &name, script: "prerm", words: &words, upgrade })?;
        }
        let mut now = Installed::new(package.control(), asked);
        now.conffiles = before.as_ref().map(|old| old.conffiles.clone()).unwrap_or_default();
        self.set(&name, now)?;
        if let Err(error) = self.preinst(package, from.as_deref()) {
            // None of the package is there yet: root and status are restored.
            self.restore(&name, before)?;
            return Err(error);
        }

        let conffiles = self.replace_files(package)?;
        if upgrade {
            let words = ["upgrade", version.as_str()];
            self.script(Call { package: &name, script: "postrm", words: &words, upgrade })?;
        }
        remove_info(self.root, &name, &LISTS)?;
        for (kind, file) in &package.metadata.files {
            if !LISTS.contains(&kind.as_str()) && !kind.contains('.') {
                write_info(self.root, &name, kind, file.mode & 0o755, &file.bytes)?;
            }
        }
        if self.root.path() == "/" {
            self.root.sync()?;
        }
        let mut now = Installed::new(package.control(), asked);
        now.state = State::Unpacked;
        now.conffiles = conffiles;
        self.set(&name, now)?;
        // Links that the new version no longer offers go to other packages; its own are made when it is configured.
        let links = before.map(|old| alternatives::links(&old.control)).unwrap_or_default();
        let dropped = &links - &alternatives::links(package.control());
        alternatives::update(self.root, self.status, &dropped, self.on)
    }

    /// Replaces the files of the old version, if there is one, by those of the new one. Meanwhile the lists name both.
    /// Returns the digests of the conffiles in the package.
    fn replace_files(&mut self, package: &mut Prepared) -> Result<BTreeMap<Utf8PathBuf, Digest>> {
        let name = package.name().to_owned();
        let old_files = read_paths(self.root, &name, "list")?;
        let kept = |package: &Prepared| -> BTreeSet<Utf8PathBuf> {
            let new = package.files().filter(|path| old_files.contains(path));
            if old_files.is_empty() { BTreeSet::new() } else { new.collect() }
        };
        let gone = &old_files - &kept(package);
        write_paths(self.root, &name, "list", || gone.iter().cloned().chain(package.files()))?;
        let (old_folders, new_folders) = (read_paths(self.root, &name, "dirs")?, self.folders(package)?);
        let folders = &old_folders | &new_folders;
        write_paths(self.root, &name, "dirs", || folders.iter().cloned())?;

        // What the new version brings matters only if there was an old one.
        let is_upgrade = !old_files.is_empty() || !old_folders.is_empty();
        let brought: Vec<Utf8PathBuf> =
            package.members.iter().take_while(|_| is_upgrade).map(|item| item.path).collect();
        if is_upgrade {
            let yields = yielding(self.status, &name, &old_files);
            for item in package.members.iter() {
                place::make_way(self.root, &yields, [(item.path.as_path(), item.sort == Sort::Folder)])?;
            }
        }
        let conffiles = self.files(package)?;
        self.remove_obsolete(&name, &gone, &brought)?;
        // Innermost folders first. One that is not empty stays ours, and is removed with the package.
        let others = self.status.paths_of_others(self.root, &name, "dirs")?;
        let old_folders = &old_folders - &new_folders;
        let kept = place::kept(self.root, old_folders.iter().cloned(), &brought, others);
        let unneeded: Vec<Utf8PathBuf> = old_folders.into_iter().filter(|folder| !kept.contains(folder)).collect();
        let stays = |folder: &&Utf8PathBuf| !self.root.remove_empty(folder) && self.root.is_folder(folder);
        let kept = unneeded.iter().rev().filter(stays);
        let folders: BTreeSet<Utf8PathBuf> = new_folders.iter().chain(kept).cloned().collect();

        if self.config.switches.force_overwrite {
            self.take_over(&name, &package.files().collect())?;
        }
        write_paths(self.root, &name, "list", || package.files())?;
        write_paths(self.root, &name, "dirs", || folders.iter().cloned())?;
        Ok(conffiles)
    }

    /// Removes files from the lists of other packages, as they now belong to this one.
    fn take_over(&self, name: &str, files: &BTreeSet<Utf8PathBuf>) -> Result<()> {
        for other in self.status.0.keys().filter(|other| *other != name) {
            let listed = read_paths(self.root, other, "list")?;
            let taken = place::shared(self.root, &listed, files);
            if !taken.is_empty() {
                let left = || listed.iter().filter(|path| !taken.contains(path)).cloned();
                write_paths(self.root, other, "list", left)?;
            }
        }
        Ok(())
    }

    /// Runs `postinst configure` and makes the package's alternatives; if the script fails, the package stays unpacked.
    pub(crate) fn configure(&mut self, name: &str, upgrade: bool) -> Result<()> {
        (self.on)(Step::Configuring { name: name.to_owned() }.into());
        self.script(Call { package: name, script: "postinst", words: &["configure"], upgrade })?;
        if let Some(package) = self.status.0.get_mut(name) {
            package.state = State::Installed;
        }
        self.status.save(self.root)?;
        let links = self.status.0.get(name).map(|package| alternatives::links(&package.control)).unwrap_or_default();
        alternatives::update(self.root, self.status, &links, self.on)
    }

    fn script(&self, call: Call) -> Result<()> {
        scripts::run(self.root, self.config, call)
    }

    fn set(&mut self, name: &str, package: Installed) -> Result<()> {
        self.status.0.insert(name.to_owned(), package);
        self.status.save(self.root)
    }

    fn restore(&mut self, name: &str, before: Option<Installed>) -> Result<()> {
        match before {
            Some(before) => self.status.0.insert(name.to_owned(), before),
            None => self.status.0.remove(name),
        };
        self.status.save(self.root)
    }

    /// The new package's `preinst` is not in the root yet, so it runs from the scratch directory.
    fn preinst(&self, package: &Prepared, from: Option<&str>) -> Result<()> {
        let Some(text) = package.metadata.file("preinst").filter(|_| self.config.run_scripts) else { return Ok(()) };
        let path = self.scratch.path().join("preinst");
        let path = Utf8PathBuf::from_path_buf(path)
            .map_err(|path| Error::io("use", path.to_string_lossy().as_ref())(io::ErrorKind::InvalidFilename.into()))?;
        write_script(&path, text).map_err(Error::io("write", &path))?;
        let words = match from {
            Some(from) => vec!["upgrade", from],
            None => vec!["install"],
        };
        let call = Call { package: package.name(), script: "preinst", words: &words, upgrade: from.is_some() };
        scripts::run_file(self.root, self.config, call, &path)
    }

    /// The directories that were or will be made for the package: those that are missing now, and those shared with
    /// other packages that we made, so that the last package removes them.
    fn folders(&self, package: &Prepared) -> Result<BTreeSet<Utf8PathBuf>> {
        let mut made = self.status.paths_of_others(self.root, package.name(), "dirs")?;
        made.extend(read_paths(self.root, package.name(), "dirs")?);
        let (mut folders, mut seen) = (BTreeSet::new(), HashSet::new());
        for item in package.members.iter() {
            let is_folder = item.sort == Sort::Folder;
            for folder in item.path.ancestors().skip(usize::from(!is_folder)).take_while(|folder| *folder != "/") {
                // The folders above it were already handled with it.
                if seen.contains(folder) {
                    break;
                }
                seen.insert(folder.to_owned());
                if made.contains(folder) || !self.root.is_folder(folder) {
                    folders.insert(folder.to_owned());
                }
            }
        }
        Ok(folders)
    }

    /// Writes the files and returns the digests of the conffiles in the package.
    fn files(&mut self, package: &mut Prepared) -> Result<BTreeMap<Utf8PathBuf, Digest>> {
        let name = package.name().to_owned();
        let conffiles: BTreeSet<_> = package.metadata.conffiles.iter().map(Utf8PathBuf::from).collect();
        let recorded = self.status.0.get(&name).map(|package| package.conffiles.clone()).unwrap_or_default();
        let mut digests = BTreeMap::new();
        let root = self.root.remembering();
        let mut failure = None;
        let read = ipk::visit(package.open()?, &Limits::default(), &mut |member, content| {
            let path = path_of(member);
            let written = match conffiles.contains(&path) && matches!(member.entry.kind, Kind::File(_)) {
                true => self.conffile(&root, &path, member, recorded.get(&path), content).map(|digest| {
                    digests.insert(path, digest);
                }),
                false => self
                    .save_changed(&root, &path, member, recorded.get(&path), content)
                    .and_then(|mut content| self.file(&root, &name, &path, member, &mut content)),
            };
            written.map_err(|error| {
                let stop = io::Error::other(error.to_string());
                failure = Some(error);
                stop
            })
        });
        match (failure, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(Error::Package { file: name, problem: format!("{error} ({})", error.id()) }),
            (None, Ok(_)) => Ok(digests),
        }
    }

    fn file(
        &mut self,
        root: &Root,
        package: &str,
        path: &Utf8Path,
        member: &Member,
        content: &mut dyn Read,
    ) -> Result<()> {
        if matches!(member.entry.kind, Kind::File(_)) && member.entry.mode & 0o6000 != 0 {
            let text = format!("Package {package} installs {path} with the rights of its owner or group.");
            (self.on)(Progress::Note { text });
        }
        if member.entry.kind == Kind::Dir
            && path != "/"
            && let Some(mode) = root.folder_mode(path).filter(|mode| *mode != member.entry.mode)
        {
            let new = member.entry.mode;
            let text =
                format!("Package {package} has {path} with mode {new:o}, which opkg sets; here it keeps {mode:o}.");
            (self.on)(Progress::Note { text });
        }
        place::put(root, package, &member.entry, path, access(member), content)
    }

    /// A conffile that the user changed stays, and the new one is put beside it.
    fn conffile(
        &mut self,
        root: &Root,
        path: &Utf8Path,
        member: &Member,
        recorded: Option<&Digest>,
        content: &mut dyn Read,
    ) -> Result<Digest> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(Error::io("unpack", path))?;
        let new = Digest::of(&bytes);
        root.make_parents(path)?;
        let place = match root.sha256(path)? {
            Some(there) if there == new => return Ok(new),
            Some(there) if Some(&there) != recorded && !self.config.switches.force_maintainer => {
                let beside = Utf8PathBuf::from(format!("{path}-opkg"));
                (self.on)(Step::ConffileKept { path: path.to_owned(), new: beside.clone() }.into());
                beside
            }
            _ => path.to_owned(),
        };
        root.write(&place, access(member), false, &mut &bytes[..])?;
        Ok(new)
    }

    /// Puts a conffile aside that the user changed, before what is none takes its place; opkg gives it the same name.
    /// Returns the content of what comes.
    fn save_changed<'c>(
        &mut self,
        root: &Root,
        path: &Utf8Path,
        member: &Member,
        recorded: Option<&Digest>,
        content: &'c mut dyn Read,
    ) -> Result<Box<dyn Read + 'c>> {
        let Some(recorded) = recorded.filter(|_| member.entry.kind != Kind::Dir) else { return Ok(Box::new(content)) };
        if root.kind(path)? != Some(root::Kind::File) {
            return Ok(Box::new(content));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(Error::io("unpack", path))?;
        // What is there may be the new file already, of a run that was interrupted.
        if root.sha256(path)?.is_some_and(|there| there != *recorded && there != Digest::of(&bytes)) {
            let aside = Utf8PathBuf::from(format!("{path}-opkg.backup"));
            root.hard_link(&aside, path)?;
            (self.on)(Step::ConffileSaved { path: path.to_owned(), aside }.into());
        }
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    /// Removes the files that only the old version had, unless another package has them. `brought` is everything that
    /// the new version installs.
    fn remove_obsolete(&mut self, name: &str, files: &BTreeSet<Utf8PathBuf>, brought: &[Utf8PathBuf]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let root = self.root.remembering();
        let others = self.status.paths_of_others(self.root, name, "list")?;
        let kept = place::kept(&root, files.iter().cloned(), brought, others);
        for path in files.iter().filter(|path| !kept.contains(*path)) {
            let path = path.clone();
            let recorded = self.status.0.get(name).and_then(|package| package.conffiles.get(&path));
            if recorded.is_some() && root.sha256(&path)?.as_ref() != recorded {
                (self.on)(Step::ConffileNotRemoved { path }.into());
            } else {
                root.remove(&path)?;
            }
        }
        Ok(())
    }
}

fn access(member: &Member) -> Access {
    let entry = &member.entry;
    Access { mode: entry.mode, user: entry.owner.id, group: entry.group.id, time: Some(member.time) }
}

fn write_script(path: &Utf8Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
