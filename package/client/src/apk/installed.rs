//! A package in apk's database: its metadata, its files, and the text lines for both.
//!
//! A line is a letter, a colon and a value; an empty line ends a package. The lines before the first `F:` hold the
//! metadata, with the fields of an index; `F:` names a directory and `R:` a file in it, `M:` and `a:` give their owner
//! and mode where those differ from root's defaults, and `Z:` is the start of the SHA-256 of the file's content or of
//! the link's target. The letters of `f:` are flags, two of which say how far an installation came: `f` means that
//! files may be missing, `s` that a script has not run yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use formats::Kind;
use formats::apk::{Dependency, Info, Member, Metadata, Script};
use formats::tar::path_problem;
use model::{Digest, Hex, unhex};

use super::owners::Owners;
use crate::error::Result;
use crate::place::path_of;

/// How many bytes of a digest the database keeps.
pub(super) const SHORT: usize = 20;
/// How many bytes of a description the database keeps, as in apk.
const LONGEST_DESCRIPTION: usize = 512;
/// Modes of directories and of files when the database names none; the owner is root then.
const USUAL: (u32, u32) = (0o755, 0o644);

/// A package of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// What it says about itself.
    pub info: Info,
    /// Length of the package file.
    pub file_size: u64,
    /// Decides who wins when two packages replace each other's files: the higher priority.
    pub(super) replaces_priority: u64,
    /// Lines before the files that we do not interpret; kept as they are.
    pub(super) kept: Vec<String>,
    /// The letters of `f:`.
    pub(super) marks: BTreeSet<char>,
    pub(super) folders: Vec<Folder>,
    /// Its scripts; on disk they are in a separate file.
    pub(super) scripts: BTreeMap<Script, Vec<u8>>,
    /// The directory patterns that its trigger script watches; on disk they are in a separate file.
    pub(super) triggers: Vec<String>,
}

/// A directory of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folder {
    /// Relative to the root, without leading slash; empty for the root.
    pub(super) path: String,
    /// `user:group:mode`, unless it is the default.
    pub(super) access: Option<String>,
    pub(super) files: Files,
}

/// The files and links of a directory, as in the database's text. There can be very many, and a router has little
/// memory, so each is decoded when it is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(String);

/// A file or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    /// `user:group:mode`, unless it is the default.
    pub(super) access: Option<&'a str>,
    pub(super) checksum: Option<Checksum>,
}

impl Files {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = File<'_>> {
        let mut lines = self.0.split_terminator('\n').filter_map(|line| line.split_once(':')).peekable();
        std::iter::from_fn(move || {
            let (_, name) = lines.next()?;
            let mut file = File { name, access: None, checksum: None };
            while let Some((field, value)) = lines.next_if(|(field, _)| *field != "R") {
                match field {
                    "a" => file.access = Some(value),
                    _ => file.checksum = Some(Checksum::parse(value)),
                }
            }
            Some(file)
        })
    }

    fn push(&mut self, file: &File<'_>) {
        self.line("R", file.name);
        file.access.iter().for_each(|access| self.line("a", access));
        file.checksum.iter().for_each(|checksum| self.line("Z", &checksum.to_string()));
    }

    fn line(&mut self, field: &str, value: &str) {
        self.0.extend([field, ":", value, "\n"]);
    }
}

impl<'a> Extend<File<'a>> for Files {
    fn extend<T: IntoIterator<Item = File<'a>>>(&mut self, files: T) {
        files.into_iter().for_each(|file| self.push(&file));
    }
}

/// Checksum of a file when it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The start of its SHA-256: `Q1` and base64.
    Sha256([u8; SHORT]),
    /// A checksum of another kind, kept as it is.
    Other(Box<str>),
}

impl Checksum {
    /// The checksum of a file with this digest.
    pub(super) fn of(digest: &Digest) -> Checksum {
        Checksum::Sha256(identity_in_index(digest))
    }

    pub(super) fn parse(text: &str) -> Checksum {
        // A spelling of another program is kept as it is.
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

/// The digest of a file's content, or of a link's target.
pub(super) fn digest(member: &Member) -> Option<Digest> {
    match &member.entry.kind {
        Kind::Symlink(target) => Some(Digest::of(target)),
        _ => member.sha256,
    }
}

/// `Q1` and base64.
pub(super) fn identity_text(identity: &[u8; SHORT]) -> String {
    format!("Q1{}", BASE64_STANDARD.encode(identity))
}

/// The reverse of [`identity_text`]. As in apk, bits of the last letter that mean nothing may be set.
pub(super) fn parse_identity(text: &str) -> Option<[u8; SHORT]> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    LENIENT.decode(text.strip_prefix("Q1")?).ok()?.try_into().ok()
}

/// The identity of a package that came from an index: the start of the digest in that index. A package given as a file
/// states its own identity.
pub(super) fn identity_in_index(digest: &Digest) -> [u8; SHORT] {
    std::array::from_fn(|at| digest.0[at])
}

impl Installed {
    /// The entry of a package that was just read, without the files that it leaves to other packages.
    pub(super) fn new(metadata: &Metadata, file_size: u64, owners: &Owners, left: &BTreeSet<Utf8PathBuf>) -> Installed {
        let mut folders: Vec<Folder> = Vec::new();
        let here = |member: &Member| {
            member.entry.kind == Kind::Dir || left.is_empty() || !left.contains(&path_of(&member.entry))
        };
        for member in metadata.members.iter().filter(here) {
            let (user, group) = owners.of(&member.entry);
            let access = |usual: u32| {
                let unusual = (user, group, member.entry.mode) != (0, 0, usual);
                unusual.then(|| format!("{user}:{group}:{:o}", member.entry.mode))
            };
            if member.entry.kind == Kind::Dir {
                let path = member.entry.path.clone();
                add_folder(&mut folders, Folder { path, access: access(USUAL.0), ..Folder::default() });
                continue;
            }
            let name = member.entry.path.rsplit('/').next().unwrap_or_default();
            let (access, checksum) = (access(USUAL.1), digest(&member).as_ref().map(Checksum::of));
            if let Some(folder) = folders.last_mut() {
                folder.files.push(&File { name, access: access.as_deref(), checksum });
            }
        }
        // The root folder belongs to no package; it is listed only for the files in it.
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

    /// The entry of the kernel that an image runs: it has no files, and nothing replaces it.
    pub fn kernel(version: &str, arch: &str) -> Installed {
        Installed::part_of_image(super::KERNEL, version, arch)
    }

    /// The entry of a package that is part of an image.
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

    /// Whether all its files are in place, so that others can depend on it.
    pub fn is_complete(&self) -> bool {
        !self.marks.contains(&'f')
    }

    /// Whether all its scripts have run.
    pub fn is_configured(&self) -> bool {
        !self.marks.contains(&'s')
    }

    /// Sets or clears the flag that files may be missing.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.mark('f', !complete);
    }

    /// Sets or clears the flag that a script has not run yet.
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
    pub(super) fn files(&self) -> impl Iterator<Item = (Utf8PathBuf, Option<Checksum>)> {
        self.folders.iter().flat_map(|folder| {
            let place = Utf8Path::new("/").join(&folder.path);
            folder.files.iter().map(move |file| (place.join(file.name), file.checksum))
        })
    }

    /// Absolute paths of its directories.
    pub(super) fn folders(&self) -> impl Iterator<Item = Utf8PathBuf> {
        let listed = self.folders.iter().filter(|folder| !folder.path.is_empty());
        listed.map(|folder| Utf8Path::new("/").join(&folder.path))
    }

    /// Also lists the paths of another version, which may still exist.
    pub(super) fn list_also(&mut self, other: &Installed) {
        for folder in &other.folders {
            let Some(same) = self.folders.iter_mut().find(|mine| mine.path == folder.path) else {
                self.folders.push(folder.clone());
                continue;
            };
            // An old file is still in place; its checksum tells whether the user changed it.
            let mine = std::mem::take(&mut same.files);
            let mut old: BTreeMap<&str, File<'_>> = folder.files.iter().map(|file| (file.name, file)).collect();
            for mut file in mine.iter() {
                if let Some(old) = old.remove(file.name) {
                    file.checksum = old.checksum;
                }
                same.files.push(&file);
            }
            same.files.extend(folder.files.iter().filter(|file| old.contains_key(file.name)));
        }
    }

    /// Parses one more line of the file.
    pub(super) fn line(&mut self, line: &str) -> Result<(), String> {
        let (field, value) = line.split_once(':').ok_or_else(|| format!("the line {line:?} has no colon"))?;
        self.field(field, value, line).map_err(|problem| format!("{problem}, in the line {line:?}"))
    }

    /// Checks that no required line is missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let named = path_problem(&self.info.name).is_none() && !self.info.name.contains(['/', ' ']);
        if !named || self.info.version.is_empty() || self.info.unique_id.is_none() {
            return Err(format!("the package {:?} lacks name, version or identity", self.info.name));
        }
        Ok(())
    }

    fn field(&mut self, field: &str, value: &str, line: &str) -> Result<(), String> {
        let info = &mut self.info;
        let text = || value.to_owned();
        match field {
            "F" if value.is_empty() => add_folder(&mut self.folders, Folder::default()),
            "F" => add_folder(&mut self.folders, Folder { path: path(value)?, ..Folder::default() }),
            "M" => self.folders.last_mut().ok_or("it belongs to no directory")?.access = Some(text()),
            "R" if value.contains('/') => return Err("a file name has a slash".into()),
            "R" => {
                let files = &mut self.folders.last_mut().ok_or("it belongs to no directory")?.files;
                files.line("R", &path(value)?);
            }
            "a" | "Z" => {
                let files = self.folders.last_mut().map(|folder| &mut folder.files).filter(|files| !files.is_empty());
                files.ok_or("it belongs to no file")?.line(field, value);
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
            // As in apk: unknown fields with a lower-case letter may be skipped.
            _ if field.len() == 1 && field.starts_with(|c: char| c.is_ascii_lowercase()) => {
                self.kept.push(line.to_owned());
            }
            _ => return Err("its field is not known".into()),
        }
        Ok(())
    }

    /// Writes the package's lines, and the empty line that ends it.
    pub(super) fn write(&self, text: &mut dyn Write) -> io::Result<()> {
        let info = &self.info;
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let list = |list: &[Dependency]| list.iter().map(Dependency::to_string).collect::<Vec<_>>().join(" ");
        let line = |text: &mut dyn Write, field: &str, value: &str| writeln!(text, "{field}:{value}");
        let always = |text: &mut dyn Write, field: &str, value: &str| line(text, field, &value.replace('\n', " "));
        always(text, "C", &self.identity())?;
        always(text, "P", &info.name)?;
        always(text, "V", &info.version)?;
        always(text, "A", &info.arch)?;
        always(text, "S", &self.file_size.to_string())?;
        always(text, "I", &info.installed_size.to_string())?;
        always(text, "T", &info.description)?;
        always(text, "U", &info.url)?;
        always(text, "L", &info.license)?;
        let set = |text: &mut dyn Write, field: &str, value: &str| {
            if value.is_empty() { Ok(()) } else { always(text, field, value) }
        };
        set(text, "o", &info.origin)?;
        set(text, "m", &info.maintainer)?;
        set(text, "t", &number(info.build_time))?;
        set(text, "c", &info.repo_commit.map(|commit| Hex(&commit).to_string()).unwrap_or_default())?;
        set(text, "k", &number(info.provider_priority))?;
        set(text, "D", &list(&info.depends))?;
        set(text, "p", &list(&info.provides))?;
        set(text, "i", &list(&info.install_if))?;
        set(text, "g", &info.tags.join(" "))?;
        set(text, "r", &list(&info.replaces))?;
        set(text, "q", &number(Some(self.replaces_priority).filter(|priority| *priority > 0)))?;
        for kept in &self.kept {
            let (field, value) = kept.split_once(':').unwrap_or((kept, ""));
            line(text, field, value)?;
        }
        let marks: String = self.marks.iter().rev().collect();
        if !marks.is_empty() {
            line(text, "f", &marks)?;
        }
        for folder in &self.folders {
            line(text, "F", &folder.path)?;
            folder.access.iter().try_for_each(|access| line(text, "M", access))?;
            text.write_all(folder.files.0.as_bytes())?;
        }
        writeln!(text)
    }
}

/// Adds a directory after the last one, which gets no more files.
fn add_folder(folders: &mut Vec<Folder>, folder: Folder) {
    if let Some(last) = folders.last_mut() {
        last.files.0.shrink_to_fit();
    }
    folders.push(folder);
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
