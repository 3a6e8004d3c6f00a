//! What changed between two feeds: ours or anybody's, whole folders or single indexes, of either manager.
//!
//! Signatures are not looked at: this tells what two feeds offer, not whether to believe them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;

use camino::Utf8Path;
use formats::apk::index::Index;
use formats::{Changes, Limits, Newest, packages};
use model::{Exit, Failure, Result};
use serde::Deserialize;

use crate::{apk, explain, opkg};

/// Names of index files, the ones that say more first; of those in one folder the first one is read.
const NAMES: [&str; 5] = [apk::INDEX, opkg::INDEX, "Packages.gz", "Packages.manifest", "index.json"];
/// Folders below each other that are looked into: a published tree has `targets/x86/64/kmods/…` at most.
const DEPTH: usize = 8;

/// The changes of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its folder seen from the feed, such as `apk`; empty for a single index.
    pub name: String,
    /// What changed.
    pub changes: Changes,
}

/// `+` added, `-` removed, `>` another version, `!` other bytes under the same version; one package a line.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { added, removed, changed, rebuilt } = &self.changes;
        let name = if self.name.is_empty() { "index" } else { &self.name };
        write!(f, "{name}: {} added, {} removed, ", added.len(), removed.len())?;
        write!(f, "{} with another version, {} with other bytes", changed.len(), rebuilt.len())?;
        added.iter().try_for_each(|(name, version)| write!(f, "\n+ {name} {version}"))?;
        removed.iter().try_for_each(|(name, version)| write!(f, "\n- {name} {version}"))?;
        changed.iter().try_for_each(|(name, (old, new))| write!(f, "\n> {name} {old} -> {new}"))?;
        rebuilt.iter().try_for_each(|(name, version)| write!(f, "\n! {name} {version}"))
    }
}

/// An index, and which kind of digests it has.
struct Side {
    newest: Newest,
    kind: &'static str,
}

/// Compares two feeds, index by index. Where each has only one, those are compared whatever their formats are.
///
/// # Errors
/// `FEED006` for a folder without an index, and what is wrong with an index that cannot be read.
pub fn diff(old: &Utf8Path, new: &Utf8Path) -> Result<Vec<Part>> {
    let (mut old, mut new) = (sides(old)?, sides(new)?);
    if let ([_], [_]) = (&old.keys().collect::<Vec<_>>()[..], &new.keys().collect::<Vec<_>>()[..]) {
        let (old, new) = (old.pop_first(), new.pop_first());
        let part = old.zip(new).map(|((_, old), (name, new))| Part { name, changes: between(old, new) });
        return Ok(part.into_iter().collect());
    }
    let names: std::collections::BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let nothing = || Side { newest: Newest::new(), kind: "" };
    let mut part = |name: String| {
        let (old, new) = (old.remove(&name).unwrap_or_else(nothing), new.remove(&name).unwrap_or_else(nothing));
        Part { changes: between(old, new), name }
    };
    Ok(names.into_iter().map(&mut part).collect())
}

fn between(mut old: Side, new: Side) -> Changes {
    if old.kind != new.kind {
        old.newest.values_mut().for_each(|(_, digest)| *digest = None);
    }
    Changes::between(&old.newest, &new.newest)
}

/// Every index of a feed by its folder; a file is one index.
fn sides(feed: &Utf8Path) -> Result<BTreeMap<String, Side>> {
    let mut sides = BTreeMap::new();
    if !feed.is_dir() {
        sides.insert(String::new(), read(feed)?);
        return Ok(sides);
    }
    let mut folders = vec![(feed.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let io = |error: std::io::Error| Failure::io("look into the feed", &folder, &error);
        for entry in folder.read_dir_utf8().map_err(io)? {
            let entry = entry.map_err(io)?;
            if depth < DEPTH && entry.file_type().map_err(io)?.is_dir() {
                folders.push((entry.path().to_owned(), depth + 1));
            }
        }
        if let Some(index) = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
            let name = folder.strip_prefix(feed).unwrap_or(&folder).to_string();
            sides.insert(name, read(&index)?);
        }
    }
    if sides.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "FEED006",
            format!("{feed} holds no index"),
            format!("a feed has one of these in some folder: {}", NAMES.join(", ")),
            "name the folder of a feed, or an index file",
        )
        .at(feed));
    }
    Ok(sides)
}

fn read(path: &Utf8Path) -> Result<Side> {
    let limits = Limits::default();
    let io = |error: std::io::Error| Failure::io("read the index", path, &error);
    let refuse = |error: formats::Error| explain(Exit::Failed, path, &error);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limits.index + 1).read_to_end(&mut bytes).map_err(io)?;
    match path.extension() {
        Some("adb") => {
            let index = formats::adb::Adb::read(&bytes[..], &limits).and_then(|adb| Index::from_adb(&adb, &limits));
            Ok(Side { newest: index.map_err(refuse)?.newest(), kind: "apk" })
        }
        Some("json") => Ok(Side { newest: read_json(path, &bytes)?, kind: "json" }),
        _ => {
            if bytes.starts_with(&[0x1f, 0x8b]) {
                bytes = packages::decompress(&bytes[..], &limits).map_err(refuse)?;
            }
            let listed = packages::read(&bytes, &limits).map_err(refuse)?;
            Ok(Side { newest: packages::newest(&listed), kind: "opkg" })
        }
    }
}

fn read_json(path: &Utf8Path, bytes: &[u8]) -> Result<Newest> {
    /// `index.json`; other versions of it say more, in the same place.
    #[derive(Deserialize)]
    struct Json {
        packages: HashMap<String, String>,
    }
    let json: Json = serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "FEED007",
            "index.json cannot be read",
            error.to_string(),
            "compare one of the other indexes beside it, or have the feed made anew",
        )
        .at(path)
    })?;
    Ok(json.packages.into_iter().map(|(name, version)| (name, (version, None))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, keys};

    fn parts(old: &Utf8Path, new: &Utf8Path) -> Vec<String> {
        diff(old, new).unwrap().iter().map(Part::to_string).collect()
    }

    #[test]
    fn folders_and_single_indexes_of_any_format_are_compared() {
        let ((_a, old), (_b, new)) = (feed(&keys(1)), feed(&keys(2)));
        let same = "0 added, 0 removed, 0 with another version, 0 with other bytes";
        assert_eq!(parts(&old, &new), [format!("apk: {same}"), format!("opkg: {same}")]);
        for name in ["Packages", "Packages.gz", "Packages.manifest", "index.json"] {
            let path = new.join("opkg").join(name);
            assert_eq!(parts(&old.join("apk/packages.adb"), &path), [format!("index: {same}")], "{name}");
        }
        let path = old.join("opkg/Packages");
        let text = std::fs::read_to_string(&path).unwrap();
        let digest = text.lines().find_map(|line| line.strip_prefix("SHA256sum: ")).unwrap();
        let changed = text.replace("Package: notes\nVersion: 6.12.1-r1", "Package: notes\nVersion: 5-r1");
        let changed = changed.replace(digest, &"0".repeat(64));
        std::fs::write(&path, format!("{changed}{}", text.replace("Package: ", "Package: more-"))).unwrap();
        assert_eq!(
            parts(&old.join("opkg"), &new.join("opkg")),
            [concat!(
                "index: 0 added, 2 removed, 1 with another version, 1 with other bytes\n",
                "- more-kmod-nft-offload 6.12.1-r1\n- more-notes 6.12.1-r1\n",
                "> notes 5-r1 -> 6.12.1-r1\n! kmod-nft-offload 6.12.1-r1"
            )]
        );
        // A part that only one of them has.
        std::fs::remove_dir_all(new.join("apk")).unwrap();
        std::fs::create_dir(new.join("kmods")).unwrap();
        std::fs::copy(new.join("opkg/Packages"), new.join("kmods/Packages")).unwrap();
        let lines = parts(&old, &new);
        assert!(lines[0].starts_with("apk: 0 added, 2 removed") && lines[1].starts_with("kmods: 2 added"), "{lines:?}");
    }

    #[test]
    fn what_is_no_index_is_told() {
        let (guard, feed) = feed(&keys(1));
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let empty = root.join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert_eq!(diff(&empty, &feed).unwrap_err().id(), "FEED006");
        assert_eq!(diff(&feed, &root.join("absent")).unwrap_err().id(), "IO004");
        for (name, text, id) in
            [("index.json", "{", "FEED007"), ("packages.adb", "x", "ADB001"), ("Packages", "x", "CTL001")]
        {
            let path = empty.join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(diff(&path, &feed.join("opkg")).unwrap_err().id(), id);
            std::fs::remove_file(path).unwrap();
        }
    }
}
