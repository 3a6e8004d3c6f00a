//! A package of apk's database: what it says about itself, its files, and the lines of both.
//!
//! A line is a letter, a colon and a value; an empty line ends a package. What comes before the first
//! `F:` describes the package with the fields of an index; `F:` names a directory and `R:` a file in it,
//! `M:` and `a:` give their owner and mode where those are not root's usual ones, and `Z:` is the start of
//! the SHA-256 of the content, or of the text of a link. The letters of `f:` are marks, of which two say
//! how far an installation came: with `f` some files may be missing, with `s` a script has still to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use formats::Kind;
use formats::apk::{Dependency, Info, Member, Metadata, Script};
use formats::tar::path_problem;
use model::{Digest, Hex, unhex};

use super::owners::Owners;
use crate::error::Result;
use crate::place::path_of;

/// Bytes of a digest that the database keeps.
pub(super) const SHORT: usize = 20;
/// Bytes of a description that the database keeps, as in apk.
const LONGEST_DESCRIPTION: usize = 512;
/// What directories and files have when nothing is said: root's, with these modes.
const USUAL: (u32, u32) = (0o755, 0o644);

/// A package of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// What it says about itself.
    pub info: Info,
    /// Length of the package file.
    pub file_size: u64,
    /// Who wins when two packages replace each other's files.
    pub(super) replaces_priority: u64,
    /// Lines before the files that mean nothing here, kept as they are.
    pub(super) kept: Vec<String>,
    /// The letters of `f:`.
    pub(super) marks: BTreeSet<char>,
    pub(super) folders: Vec<Folder>,
    /// Its scripts; they are kept in a file of their own.
    pub(super) scripts: BTreeMap<Script, Vec<u8>>,
    /// Patterns of directories that its trigger script watches; kept in a file of their own.
    pub(super) triggers: Vec<String>,
}

/// A directory of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folder {
    /// Without leading slash; empty for the root.
    pub(super) path: String,
    /// `user:group:mode` where it is not the usual.
    pub(super) access: Option<String>,
    pub(super) files: Vec<File>,
}

/// A file or link of a package. There can be many, so they are kept small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: Box<str>,
    pub(super) access: Option<Box<str>>,
    pub(super) checksum: Option<Checksum>,
}

/// What a file was when it was put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The start of its SHA-256: `Q1` and base64.
    Sha256([u8; SHORT]),
    /// Something else, kept as it is.
    Other(Box<str>),
}

impl Checksum {
    /// That of a file with this digest.
    pub(super) fn of(digest: &Digest) -> Checksum {
        Checksum::Sha256(identity_in_index(digest))
    }

    pub(super) fn parse(text: &str) -> Checksum {
        // What another program spells otherwise stays as it is.
        let known = parse_identity(text).filter(|bytes| identity_text(bytes) == text);
        known.map_or_else(|| Checksum::Other(text.into()), Checksum::Sha256)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::Sha256(bytes) => f.write_str(&identity_text(bytes)),
            Checksum::Other(text) => f.write_str(text),
        }
    }
}

/// `Q1` and base64.
pub(super) fn identity_text(identity: &[u8; SHORT]) -> String {
    format!("Q1{}", BASE64_STANDARD.encode(identity))
}

/// The same backwards.
pub(super) fn parse_identity(text: &str) -> Option<[u8; SHORT]> {
    BASE64_STANDARD.decode(text.strip_prefix("Q1")?).ok()?.try_into().ok()
}

/// The identity of a package that came from an index: the start of the digest that the index has of it.
/// One that came as a file has the identity it says itself.
pub(super) fn identity_in_index(digest: &Digest) -> [u8; SHORT] {
    std::array::from_fn(|at| digest.0[at])
}

impl Installed {
    /// The entry of a package that was just taken apart, without the files that it leaves to others.
    pub(super) fn new(metadata: &Metadata, file_size: u64, owners: &Owners, left: &BTreeSet<Utf8PathBuf>) -> Installed {
        let mut folders: Vec<Folder> = Vec::new();
        let here = |member: &&Member| {
            member.entry.kind == Kind::Dir || left.is_empty() || !left.contains(&path_of(&member.entry))
        };
        for member in metadata.members.iter().filter(here) {
            let (user, group) = owners.of(&member.entry);
            let access = |usual: u32| {
                let unusual = (user, group, member.entry.mode) != (0, 0, usual);
                unusual.then(|| format!("{user}:{group}:{:o}", member.entry.mode))
            };
            let digest = match &member.entry.kind {
                Kind::Dir => {
                    let path = member.entry.path.clone();
                    folders.push(Folder { path, access: access(USUAL.0), files: Vec::new() });
                    continue;
                }
                Kind::Symlink(target) => Some(Digest::of(target)),
                _ => member.sha256,
            };
            let name = member.entry.path.rsplit('/').next().unwrap_or_default().into();
            let access = access(USUAL.1).map(String::into_boxed_str);
            let file = File { name, access, checksum: digest.as_ref().map(Checksum::of) };
            if let Some(folder) = folders.last_mut() {
                folder.files.push(file);
            }
        }
        // The root is nobody's; it is only listed for the files in it.
        folders.retain(|folder| !folder.path.is_empty() || !folder.files.is_empty());
        let mut marks = BTreeSet::new();
        if folders.iter().any(|folder| !folder.files.is_empty()) {
            marks.insert('S');
        }
        let mut info = metadata.info.clone();
        info.description.truncate(info.description.floor_char_boundary(LONGEST_DESCRIPTION));
        Installed {
            info,
            file_size,
            replaces_priority: metadata.replaces_priority.unwrap_or(0),
            kept: Vec::new(),
            marks,
            folders,
            scripts: metadata.scripts.clone(),
            triggers: metadata.triggers.clone(),
        }
    }

    /// The package that stands for the kernel an image runs: it has no files, and nothing replaces it.
    pub fn kernel(version: &str, arch: &str) -> Installed {
        Installed::part_of_image(super::KERNEL, version, arch)
    }

    /// A package that stands for something an image has from the beginning.
    pub fn part_of_image(name: &str, version: &str, arch: &str) -> Installed {
        let id = identity_in_index(&Digest::of(format!("{name}-{version}")));
        let info = Info {
            name: name.into(),
            version: version.into(),
            arch: arch.into(),
            unique_id: Some(id),
            description: format!("The {name} of this image"),
            ..Info::default()
        };
        Installed { info, ..Installed::default() }
    }

    /// Whether its files are all there, so that others can rely on it.
    pub fn is_complete(&self) -> bool {
        !self.marks.contains(&'f')
    }

    /// Whether a script has still to run for it to work.
    pub fn is_configured(&self) -> bool {
        !self.marks.contains(&'s')
    }

    /// Sets or clears the mark of a package whose files are not all there.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.mark('f', !complete);
    }

    /// Sets or clears the mark of a package whose script has still to run.
    pub(super) fn set_configured(&mut self, configured: bool) {
        self.mark('s', !configured);
    }

    fn mark(&mut self, mark: char, set: bool) {
        if set {
            self.marks.insert(mark)
        } else {
            self.marks.remove(&mark)
        };
    }

    /// `NAME-VERSION`, as apk shows a package.
    pub(super) fn title(&self) -> String {
        format!("{}-{}", self.info.name, self.info.version)
    }

    /// Its identity as text.
    pub(super) fn identity(&self) -> String {
        identity_text(&self.info.unique_id.unwrap_or_default())
    }

    /// Absolute paths of its files and links, with the checksum of each.
    pub(super) fn files(&self) -> impl Iterator<Item = (Utf8PathBuf, Option<&Checksum>)> {
        self.folders.iter().flat_map(|folder| {
            let place = Utf8Path::new("/").join(&folder.path);
            folder.files.iter().map(move |file| (place.join(&*file.name), file.checksum.as_ref()))
        })
    }

    /// Absolute paths of its directories.
    pub(super) fn folders(&self) -> impl Iterator<Item = Utf8PathBuf> {
        let listed = self.folders.iter().filter(|folder| !folder.path.is_empty());
        listed.map(|folder| Utf8Path::new("/").join(&folder.path))
    }

    /// Lists what another version had as well, for as long as it may still be there.
    pub(super) fn list_also(&mut self, other: &Installed) {
        for folder in &other.folders {
            let Some(same) = self.folders.iter_mut().find(|mine| mine.path == folder.path) else {
                self.folders.push(folder.clone());
                continue;
            };
            for file in &folder.files {
                match same.files.iter_mut().find(|mine| mine.name == file.name) {
                    // What is there now is the old one: this is what tells whether its owner changed it.
                    Some(mine) => mine.checksum.clone_from(&file.checksum),
                    None => same.files.push(file.clone()),
                }
            }
        }
    }

    /// One package of the file, without the empty line that ends it.
    pub(super) fn parse(text: &str) -> Result<Installed, String> {
        let mut package = Installed::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').ok_or_else(|| format!("the line {line:?} has no colon"))?;
            package.field(field, value, line).map_err(|problem| format!("{problem}, in the line {line:?}"))?;
        }
        let named = path_problem(&package.info.name).is_none() && !package.info.name.contains(['/', ' ']);
        if !named || package.info.version.is_empty() || package.info.unique_id.is_none() {
            return Err(format!("the package {:?} lacks name, version or identity", package.info.name));
        }
        Ok(package)
    }

    fn field(&mut self, field: &str, value: &str, line: &str) -> Result<(), String> {
        let info = &mut self.info;
        let text = || value.to_owned();
        match field {
            "F" if value.is_empty() => self.folders.push(Folder::default()),
            "F" => self.folders.push(Folder { path: path(value)?, ..Folder::default() }),
            "M" => self.folders.last_mut().ok_or("it belongs to no directory")?.access = Some(text()),
            "R" if value.contains('/') => return Err("a file name has a slash".into()),
            "R" => {
                let file = File { name: path(value)?.into(), ..File::default() };
                self.folders.last_mut().ok_or("it belongs to no directory")?.files.push(file);
            }
            "a" | "Z" => {
                let last = self.folders.last_mut().and_then(|folder| folder.files.last_mut());
                let file = last.ok_or("it belongs to no file")?;
                match field {
                    "a" => file.access = Some(value.into()),
                    _ => file.checksum = Some(Checksum::parse(value)),
                }
            }
            _ if !self.folders.is_empty() => return Err("it comes after the directories".into()),
            "C" => info.unique_id = Some(identity(value)?),
            "P" => info.name = text(),
            "V" => info.version = text(),
            "A" => info.arch = text(),
            "S" => self.file_size = number(value)?,
            "I" => info.installed_size = number(value)?,
            "T" => info.description = text(),
            "U" => info.url = text(),
            "L" => info.license = text(),
            "o" => info.origin = text(),
            "m" => info.maintainer = text(),
            "t" => info.build_time = Some(number(value)?),
            "k" => info.provider_priority = Some(number(value)?),
            "c" => info.repo_commit = Some(commit(value)?),
            "D" => info.depends = dependencies(value)?,
            "p" => info.provides = dependencies(value)?,
            "i" => info.install_if = dependencies(value)?,
            "r" => info.replaces = dependencies(value)?,
            "q" => self.replaces_priority = number(value)?,
            "g" => info.tags = value.split(' ').map(str::to_owned).collect(),
            "f" => self.marks = value.chars().collect(),
            // As in apk: what has a small letter and is not known may be passed over.
            _ if field.len() == 1 && field.starts_with(|c: char| c.is_ascii_lowercase()) => {
                self.kept.push(line.to_owned());
            }
            _ => return Err("its field is not known".into()),
        }
        Ok(())
    }

    /// Adds one package of the file, with the empty line that ends it.
    pub(super) fn write(&self, text: &mut String) {
        let info = &self.info;
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let list = |list: &[Dependency]| list.iter().map(Dependency::to_string).collect::<Vec<_>>().join(" ");
        let mut line = |field: &str, value: &str| {
            for part in [field, ":", value, "\n"] {
                text.push_str(part);
            }
        };
        let mut always = |field: &str, value: &str| line(field, &value.replace('\n', " "));
        always("C", &self.identity());
        always("P", &info.name);
        always("V", &info.version);
        always("A", &info.arch);
        always("S", &self.file_size.to_string());
        always("I", &info.installed_size.to_string());
        always("T", &info.description);
        always("U", &info.url);
        always("L", &info.license);
        let mut set = |field: &str, value: &str| {
            if !value.is_empty() {
                always(field, value)
            }
        };
        set("o", &info.origin);
        set("m", &info.maintainer);
        set("t", &number(info.build_time));
        set("c", &info.repo_commit.map(|commit| Hex(&commit).to_string()).unwrap_or_default());
        set("k", &number(info.provider_priority));
        set("D", &list(&info.depends));
        set("p", &list(&info.provides));
        set("i", &list(&info.install_if));
        set("g", &info.tags.join(" "));
        set("r", &list(&info.replaces));
        set("q", &number(Some(self.replaces_priority).filter(|priority| *priority > 0)));
        for kept in &self.kept {
            let (field, value) = kept.split_once(':').unwrap_or((kept, ""));
            line(field, value);
        }
        let marks: String = self.marks.iter().rev().collect();
        if !marks.is_empty() {
            line("f", &marks);
        }
        for folder in &self.folders {
            line("F", &folder.path);
            folder.access.iter().for_each(|access| line("M", access));
            for file in &folder.files {
                line("R", &file.name);
                file.access.iter().for_each(|access| line("a", access));
                file.checksum.iter().for_each(|checksum| line("Z", &checksum.to_string()));
            }
        }
        text.push('\n');
    }
}

fn path(value: &str) -> Result<String, String> {
    match path_problem(value) {
        Some(problem) => Err(format!("{value:?} is no path: {problem}")),
        None => Ok(value.to_owned()),
    }
}

fn number(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{value:?} is not a number"))
}

fn commit(value: &str) -> Result<[u8; SHORT], String> {
    unhex(value).ok_or_else(|| format!("{value:?} is not a commit in 40 hex digits"))
}

fn identity(value: &str) -> Result<[u8; SHORT], String> {
    parse_identity(value).ok_or_else(|| format!("{value:?} is not Q1 and 20 bytes in base64"))
}

fn dependencies(value: &str) -> Result<Vec<Dependency>, String> {
    value.split_ascii_whitespace().map(|item| item.parse().map_err(|error| format!("{error}"))).collect()
}
