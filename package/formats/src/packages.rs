//! opkg's index: `Packages.manifest`, `Packages` and `index.json`.
//!
//! The signature of a feed covers the uncompressed bytes of `Packages`; check it before [`read`].

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Read};

use model::Digest;

use crate::changes::{Changes, Newest};
use crate::control::{Block, Control, Stanza};
use crate::md5::Md5;
use crate::version::opkg;
use crate::{Error, Limits, gzip, tar};

/// The spellings of the field that opkg reads.
const MD5: [&str; 2] = ["MD5Sum", "MD5sum"];

/// A package as listed in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The package's control data, as far as the index has it.
    pub control: Control,
    /// Path of the package file, relative to the index.
    pub filename: String,
    /// Length of the package file in bytes.
    pub size: u64,
    /// Digest of the package file.
    pub sha256: Digest,
}

impl Listed {
    /// Checks size and digests of the package file. `md5` is asked for the file's MD5 only if the index has one: opkg
    /// refuses a file of which any digest is another.
    pub fn check_file(&self, size: u64, sha256: Digest, md5: impl FnOnce() -> io::Result<Md5>) -> Result<(), Error> {
        self.same("Size", self.size, size)?;
        self.same("SHA256sum", self.sha256, sha256)?;
        match self.md5() {
            Some(listed) => self.same("MD5Sum", listed, md5()?),
            None => Ok(()),
        }
    }

    /// The MD5 of the package file, if the index has one; of several spellings, the last one as in opkg.
    pub fn md5(&self) -> Option<Md5> {
        let fields = self.control.stanza.fields().filter(|(name, _)| MD5.contains(name));
        fields.filter_map(|(_, value)| Md5::parse(value)).last()
    }

    /// Checks that the file is the package that the index describes; opkg would install any other.
    pub fn check_control(&self, file: &Control) -> Result<(), Error> {
        self.same("Package", &self.control.package, &file.package)?;
        self.same("Version", &self.control.version, &file.version)?;
        self.same("Architecture", &self.control.architecture, &file.architecture)
    }

    fn same<T: PartialEq + ToString>(&self, field: &'static str, index: T, file: T) -> Result<(), Error> {
        if index == file {
            return Ok(());
        }
        let package = self.control.package.clone();
        Err(Error::IndexMismatch { package, field, index: index.to_string(), file: file.to_string() })
    }
}

/// `Packages.manifest`: everything about every package, sorted by path. The virtual packages `kernel` and `libc` belong
/// to an image, not to a feed, and are left out.
pub fn manifest(packages: &[Listed]) -> String {
    let mut sorted: Vec<_> =
        packages.iter().filter(|listed| !matches!(listed.control.package.as_str(), "kernel" | "libc")).collect();
    sorted.sort_by(|a, b| a.filename.cmp(&b.filename));
    let mut text: String = sorted.iter().map(|listed| format!("{}\n", stanza(listed))).collect();
    if text.is_empty() {
        text.push('\n');
    }
    text
}

/// File name, size and digest come before the description.
fn stanza(listed: &Listed) -> Stanza {
    let mut stanza = listed.control.stanza.clone();
    let description = stanza.get("Description").unwrap_or_default().to_owned();
    stanza.remove("Description");
    stanza.set("Filename", &listed.filename);
    stanza.set("Size", listed.size.to_string());
    stanza.set("SHA256sum", listed.sha256.to_string());
    stanza.set("Description", description);
    stanza
}

/// `Packages`, made from the text of the manifest without the fields that a router does not need.
///
/// Old verifiers have a wrong SHA-512 for some lengths; two empty lines at the end avoid these.
pub fn packages(manifest: &str) -> String {
    const LEFT_OUT: [&str; 4] = ["Maintainer", "LicenseFiles", "Source", "Require"];
    let mut keep = true;
    let kept = manifest.lines().filter(|line| {
        // A continuation line is kept or dropped with its field.
        if !line.starts_with([' ', '\t']) {
            keep = !LEFT_OUT.iter().any(|prefix| line.starts_with(prefix));
        }
        keep
    });
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    if matches!((64 + text.len()) % 128, 110 | 111) {
        text.push_str("\n\n");
    }
    text
}

/// `Packages.gz`.
pub fn compressed(packages: &str) -> Result<Vec<u8>, Error> {
    gzip::compress(packages.as_bytes(), gzip::Level::Best)
}

/// `index.json`, version 2: names without ABI version, and versions, in the order of the index.
pub fn index_json(architecture: &str, packages: &[Listed]) -> String {
    let names = packages.iter().map(|Listed { control, .. }| {
        let abi = control.stanza.get("ABIVersion").unwrap_or_default();
        (control.package.strip_suffix(abi).unwrap_or(&control.package), control.version.as_str())
    });
    json(architecture, names)
}

/// The JSON text; if a name comes twice, the later version stays.
pub(crate) fn json<'a>(architecture: &str, packages: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut positions = HashMap::new();
    for (name, version) in packages {
        let position = *positions.entry(name).or_insert(names.len());
        match names.get_mut(position) {
            Some(slot) => slot.1 = version,
            None => names.push((name, version)),
        }
    }
    let mut text = format!("{{\n  \"version\": 2,\n  \"architecture\": {architecture:?},\n  \"packages\": {{");
    for (position, (name, version)) in names.iter().enumerate() {
        // Names and versions are ASCII, which was checked, so Rust escapes them as JSON does.
        let comma = if position == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n    {name:?}: {version:?}");
    }
    text.push_str(if names.is_empty() { "}\n}\n" } else { "\n  }\n}\n" });
    text
}

/// Adds the packages of an older index that the newer one lacks; for the same name and version the newer one's entry
/// stays. So a feed keeps its older packages.
pub fn merge(newer: &mut Vec<Listed>, older: Vec<Listed>) {
    let key = |listed: &Listed| (listed.control.package.clone(), listed.control.version.clone());
    let known: HashSet<_> = newer.iter().map(key).collect();
    newer.extend(older.into_iter().filter(|listed| !known.contains(&key(listed))));
}

/// The newest version of every package in an index.
pub fn newest(packages: &[Listed]) -> Newest {
    let mut newest = Newest::new();
    for Listed { control, sha256, .. } in packages {
        let known = newest.get(&control.package);
        if known.is_none_or(|(version, _)| opkg::compare(version, &control.version).is_le()) {
            newest.insert(control.package.clone(), (control.version.clone(), Some(*sha256)));
        }
    }
    newest
}

/// Compares the newest version of every package in two indexes.
pub fn changes(old: &[Listed], new: &[Listed]) -> Changes {
    Changes::between(&newest(old), &newest(new))
}

/// Reads `Packages`, plain text. A malformed stanza is an error: for an index that must be right as a whole.
pub fn read(text: &[u8], limits: &Limits) -> Result<Vec<Listed>, Error> {
    let (listed, oddities) = read_each(text, limits)?;
    match oddities.into_iter().next() {
        Some(oddity) => Err(oddity.problem),
        None => Ok(listed),
    }
}

/// Something in an index that opkg's own tools do not write.
#[derive(Debug)]
pub struct Oddity {
    /// The first line of its stanza, from 1.
    pub line: usize,
    /// The package that the stanza describes, if it says so.
    pub package: Option<String>,
    /// What is wrong.
    pub problem: Error,
    /// Whether the package was skipped; if not, it was read without the odd part.
    pub is_refused: bool,
}

/// Reads `Packages` stanza by stanza, so that an odd one does not hide the others. Stanzas are refused if the package
/// could not be verified or if opkg reads them differently; lines that say nothing about a package are ignored, as in
/// opkg. `tests/oddities.rs` has the table.
pub fn read_each(text: &[u8], limits: &Limits) -> Result<(Vec<Listed>, Vec<Oddity>), Error> {
    if text.len() as u64 > limits.index {
        return Err(Error::IndexTooLarge { limit: limits.index });
    }
    let (mut packages, mut oddities) = (Vec::new(), Vec::new());
    for Block { line, stanza, ignored } in Stanza::parse_each(text) {
        let package = match &stanza {
            Ok(stanza) => stanza.get("Package").map(str::to_owned),
            Err(_) => named(text, line),
        };
        let odd = |problem, is_refused| Oddity { line, package: package.clone(), problem, is_refused };
        oddities.extend(ignored.into_iter().map(|problem| odd(problem, false)));
        let read = stanza.and_then(|mut stanza| {
            let mended = mend(&mut stanza);
            Ok((listed(stanza)?, mended))
        });
        match read {
            Ok((listed, mended)) => {
                packages.push(listed);
                oddities.extend(mended.into_iter().map(|problem| odd(problem, false)));
            }
            Err(problem) => oddities.push(odd(problem, true)),
        }
    }
    Ok((packages, oddities))
}

/// The name of the package in a stanza that cannot be read.
fn named(text: &[u8], line: usize) -> Option<String> {
    let lines = text.split(|&byte| byte == b'\n').skip(line - 1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix(b"Package:"));
    names.map(|name| String::from_utf8_lossy(name).trim().chars().filter(|c| !c.is_control()).take(80).collect()).next()
}

/// Removes what opkg ignores too.
fn mend(stanza: &mut Stanza) -> Vec<Error> {
    let mut mended = Vec::new();
    let odd = |field, value: &str, why| Error::ControlValue { field, value: value.chars().take(80).collect(), why };
    if let Some(size) = stanza.get("Installed-Size").map(str::to_owned)
        && size.parse::<u64>().is_err()
    {
        mended.push(odd("Installed-Size", &size, "it is not a number of bytes"));
        stanza.remove("Installed-Size");
    }
    for field in MD5 {
        let Some(digest) = stanza.get(field).map(str::to_owned) else { continue };
        if Md5::parse(&digest).is_none() {
            mended.push(odd(field, &digest, "it is not 32 hex digits, so opkg checks nothing with it"));
            stanza.remove(field);
        }
    }
    for field in ["Depends", "Conflicts"] {
        let Some(list) = stanza.get(field).map(str::to_owned) else { continue };
        let items: Vec<&str> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        // At an item of blanks opkg crashes, and with it every command on the router: that is for the reader to refuse.
        let crashes = list.split(',').any(|item| !item.is_empty() && item.trim().is_empty());
        if !crashes && !list.trim().is_empty() && items.len() != list.split(',').count() {
            mended.push(odd(field, &list, "an item between commas is empty"));
            stanza.set(field, items.join(", "));
        }
    }
    mended
}

/// Decompresses `Packages.gz`; check the signature of the result before reading it.
pub fn decompress(input: impl Read, limits: &Limits) -> Result<Vec<u8>, Error> {
    gzip::decompress(input, limits.index)
}

fn listed(stanza: Stanza) -> Result<Listed, Error> {
    let control = Control::new(stanza)?;
    let package = &control.package;
    let field =
        |field| control.stanza.get(field).ok_or_else(|| Error::IndexMissing { package: package.clone(), field });
    let sha256 = field("SHA256sum")?.parse()?;
    let size = field("Size")?;
    let size = size.parse().map_err(|_| Error::ControlValue {
        field: "Size",
        value: size.to_owned(),
        why: "it is not a number of bytes",
    })?;
    let filename = field("Filename")?.to_owned();
    let problem = match filename.strip_prefix("./").unwrap_or(&filename) {
        path if path.contains('\\') => Some("it has a backslash, which some servers take for a slash"),
        path => tar::path_problem(path),
    };
    if let Some(why) = problem {
        return Err(Error::IndexFilename { package: package.clone(), filename, why });
    }
    Ok(Listed { sha256, size, filename, control })
}
