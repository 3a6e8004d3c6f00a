//! What changed between two feeds: ours or other people's, whole folders or single indexes, of either manager.
//!
//! Signatures are not checked: this compares what two feeds offer, and does not say whether to trust them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;

use camino::Utf8Path;
use formats::apk::index::Index;
use formats::{Changes, Limits, Newest, packages};
use model::{Exit, Failure, Problem, Result};
use serde::Deserialize;

use crate::{apk, explain, opkg};

/// Names of index files, the most detailed first; of several in one folder, the first is read.
const NAMES: [&str; 5] = [apk::INDEX, opkg::INDEX, "Packages.gz", "Packages.manifest", "index.json"];
/// How many levels of folders are searched: a published tree has `targets/x86/64/kmods/…` at most.
const DEPTH: usize = 8;

/// The changes of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The index's folder, relative to the feed, such as `apk`; empty for a single index.
    pub name: String,
    /// The changes of its packages.
    pub changes: Changes,
}

/// Marks `+` added, `-` removed, `>` another version, `!` other bytes under the same version; one package a line.
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

/// An index, and how much it says.
struct Side {
    newest: Newest,
    /// The same as `index.json` would say it: names without ABI version, and no digests.
    plain: Newest,
    kind: Kind,
}

/// What an index says beyond names and versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Digests of package files.
    Opkg,
    /// Digests of the metadata in package files.
    Apk,
    /// Nothing more.
    Full,
    /// Not even the ABI version in names.
    Plain,
}

/// Compares two feeds, index by index. If each has only one index, those are compared, whatever their formats are.
///
/// # Errors
/// `FEED006` for a folder without an index, and errors about an index that cannot be read.
pub fn diff(old: &Utf8Path, new: &Utf8Path) -> Result<Vec<Part>> {
    let (mut old, mut new) = (sides(old)?, sides(new)?);
    if let ([_], [_]) = (&old.keys().collect::<Vec<_>>()[..], &new.keys().collect::<Vec<_>>()[..]) {
        let (old, new) = (old.pop_first(), new.pop_first());
        let part = old.zip(new).map(|((_, old), (name, new))| Part { name, changes: between(old, new) });
        return Ok(part.into_iter().collect());
    }
    same_name_for_one_kernel(&mut old, &new);
    let names: std::collections::BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let nothing = || Side { newest: Newest::new(), plain: Newest::new(), kind: Kind::Full };
    let mut part = |name: String| {
        let (old, new) = (old.remove(&name).unwrap_or_else(nothing), new.remove(&name).unwrap_or_else(nothing));
        Part { changes: between(old, new), name }
    };
    Ok(names.into_iter().map(&mut part).collect())
}

/// Feeds for one kernel have their indexes in folders named after it, `apk/kmods/KERNEL`. If each feed has one such
/// folder, they are compared although the kernels differ.
fn same_name_for_one_kernel(old: &mut BTreeMap<String, Side>, new: &BTreeMap<String, Side>) {
    let parent = |name: &str| name.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let gone: Vec<String> = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
    let come: Vec<String> = new.keys().filter(|name| !old.contains_key(*name)).cloned().collect();
    for name in &gone {
        let Some(folder) = parent(name) else { continue };
        let beside = |names: &[String]| -> Vec<String> {
            names.iter().filter(|name| parent(name).as_ref() == Some(&folder)).cloned().collect()
        };
        if let ([_], [new_name]) = (&beside(&gone)[..], &beside(&come)[..])
            && let Some(side) = old.remove(name)
        {
            old.insert(new_name.clone(), side);
        }
    }
}

/// Compares what two indexes of different kinds both say.
fn between(mut old: Side, new: Side) -> Changes {
    if old.kind != new.kind && (old.kind == Kind::Plain || new.kind == Kind::Plain) {
        return Changes::between(&old.plain, &new.plain);
    }
    if old.kind != new.kind {
        old.newest.values_mut().for_each(|(_, digest)| *digest = None);
    }
    Changes::between(&old.newest, &new.newest)
}

/// The indexes of a feed by their folders; a file is a single index.
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
        return Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "FEED006",
            what: format!("{feed} holds no index"),
            why: format!("a feed has one of these files in at least one folder: {}", NAMES.join(", ")),
            fix: "name the folder of a feed, or an index file",
        })
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
            let index = index.map_err(refuse)?;
            let plain = read_json(path, index.index_json("").as_bytes())?.newest;
            Ok(Side { newest: index.newest(), plain, kind: Kind::Apk })
        }
        Some("json") => read_json(path, &bytes),
        // apk prints YAML unless it is asked for JSON, and it begins with a comment.
        _ if bytes.starts_with(b"#%SCHEMA") || is_query(&bytes) => {
            Err(unreadable(path, "apk printed it for people: give `apk` the option `--format json`".into()))
        }
        _ => {
            if bytes.starts_with(&[0x1f, 0x8b]) {
                bytes = packages::decompress(&bytes[..], &limits).map_err(refuse)?;
            }
            // A stanza that cannot be installed must not hide the others; lint reports what is wrong with it.
            let (listed, oddities) = packages::read_each(&bytes, &limits).map_err(refuse)?;
            if let Some(oddity) = oddities.into_iter().find(|oddity| oddity.is_refused && listed.is_empty()) {
                return Err(refuse(oddity.problem));
            }
            let plain = read_json(path, packages::index_json("", &listed).as_bytes())?.newest;
            Ok(Side { newest: packages::newest(&listed), plain, kind: Kind::Opkg })
        }
    }
}

/// Whether it is what `apk query --format yaml` prints: `# 2 items`, then a list.
fn is_query(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    lines.next().is_some_and(|first| first.starts_with(b"# ") && first.ends_with(b" items"))
        && lines.next().is_some_and(|second| second.starts_with(b"- "))
}

fn unreadable(path: &Utf8Path, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "FEED007",
        what: format!("cannot read {}", path.file_name().unwrap_or("index.json")),
        why,
        fix: "compare one of the other indexes beside it, or build the feed again",
    })
    .at(path)
}

/// Reads `index.json` of a feed, or what `apk adbdump --format json` and `apk query --format json` print.
fn read_json(path: &Utf8Path, bytes: &[u8]) -> Result<Side> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Json {
        Index { packages: HashMap<String, String> },
        Dump { packages: Vec<Entry> },
        Query(Vec<Entry>),
    }
    #[derive(Deserialize)]
    struct Entry {
        name: String,
        version: String,
    }
    let json: Json = serde_json::from_slice(bytes).map_err(|error| {
        let why = match error.is_data() {
            true => "it is none of the three: index.json of a feed, `apk adbdump` of an index, `apk query`".into(),
            false => error.to_string(),
        };
        unreadable(path, why)
    })?;
    let (entries, kind): (Vec<(String, String)>, Kind) = match json {
        Json::Index { packages } => (packages.into_iter().collect(), Kind::Plain),
        Json::Dump { packages } | Json::Query(packages) => {
            (packages.into_iter().map(|entry| (entry.name, entry.version)).collect(), Kind::Full)
        }
    };
    let mut newest = Newest::new();
    for (name, version) in entries {
        let known: Option<&(String, _)> = newest.get(&name);
        if known.is_none_or(|(known, _)| formats::version::apk::compare(known, &version).is_le()) {
            newest.insert(name, (version, None));
        }
    }
    Ok(Side { plain: newest.clone(), newest, kind })
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
        assert_eq!(
            parts(&old, &new),
            [format!("apk/kmods/6.12.1-1-aa: {same}"), format!("opkg/kmods/6.12.1-1-aa: {same}")]
        );
        for name in ["Packages", "Packages.gz", "Packages.manifest", "index.json"] {
            let path = new.join("opkg/kmods/6.12.1-1-aa").join(name);
            assert_eq!(
                parts(&old.join("apk/kmods/6.12.1-1-aa/packages.adb"), &path),
                [format!("index: {same}")],
                "{name}"
            );
        }
        let path = old.join("opkg/kmods/6.12.1-1-aa/Packages");
        let text = std::fs::read_to_string(&path).unwrap();
        let digest = text.lines().find_map(|line| line.strip_prefix("SHA256sum: ")).unwrap();
        let changed = text.replace("Package: notes\nVersion: 6.12.1-r1", "Package: notes\nVersion: 5-r1");
        let changed = changed.replace(digest, &"0".repeat(64));
        std::fs::write(&path, format!("{changed}{}", text.replace("Package: ", "Package: more-"))).unwrap();
        assert_eq!(
            parts(&old.join("opkg"), &new.join("opkg")),
            [concat!(
                "kmods/6.12.1-1-aa: 0 added, 2 removed, 1 with another version, 1 with other bytes\n",
                "- more-kmod-nft-offload 6.12.1-r1\n- more-notes 6.12.1-r1\n",
                "> notes 5-r1 -> 6.12.1-r1\n! kmod-nft-offload 6.12.1-r1"
            )]
        );
        // The folder of the next kernel is compared with that of the old one.
        let kmods = new.join("apk/kmods");
        std::fs::rename(kmods.join("6.12.1-1-aa"), kmods.join("6.12.2-1-bb")).unwrap();
        assert_eq!(parts(&old, &new)[0], format!("apk/kmods/6.12.2-1-bb: {same}"));
        // A folder that only one of the feeds has.
        std::fs::remove_dir_all(new.join("apk")).unwrap();
        std::fs::create_dir(new.join("kmods")).unwrap();
        std::fs::copy(new.join("opkg/kmods/6.12.1-1-aa/Packages"), new.join("kmods/Packages")).unwrap();
        let lines = parts(&old, &new);
        assert!(
            lines[0].starts_with("apk/kmods/6.12.1-1-aa: 0 added, 2 removed") && lines[1].starts_with("kmods: 2 added"),
            "{lines:?}"
        );
    }

    #[test]
    fn what_apk_prints_and_names_with_abi_versions_are_compared() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let put = |name: &str, text: &str| {
            std::fs::write(root.join(name), text).unwrap();
            root.join(name)
        };
        let old = put("old.json", r#"{"version":2,"architecture":"x","packages":{"alpha":"1.0-r1","beta":"2.0-r1"}}"#);
        let entries = r#"[{"name":"alpha","version":"1.0-r2","arch":"x"},{"name":"beta","version":"2.0-r1"}]"#;
        let changed = "index: 0 added, 0 removed, 1 with another version, 0 with other bytes\n> alpha 1.0-r1 -> 1.0-r2";
        for new in [put("query.json", entries), put("dump.json", &format!("{{\"packages\": {entries}}}"))] {
            assert_eq!(parts(&old, &new), [changed], "{new}");
        }
        // The library's name has its ABI version in Packages, and none in index.json.
        let stanza = |name: &str, abi: &str| {
            format!(
                "Package: {name}\nVersion: 1-r1\nABIVersion: {abi}\nArchitecture: all\nFilename: {name}.ipk\nSize: 1\nSHA256sum: {}\n\n",
                "0".repeat(64)
            )
        };
        let listed = put("Packages", &format!("{}{}", stanza("libfoo3", "3"), stanza("plain", "")));
        let json = put("index.json", r#"{"version":2,"architecture":"x","packages":{"libfoo":"1-r1","plain":"1-r1"}}"#);
        let same = "index: 0 added, 0 removed, 0 with another version, 0 with other bytes";
        assert_eq!((parts(&listed, &json), parts(&json, &listed)), (vec![same.to_owned()], vec![same.to_owned()]));
        // A stanza that cannot be installed hides no other.
        let odd = put("odd", &format!("{}Package: odd\nVersion: 1\n\n{}", stanza("libfoo3", "3"), stanza("plain", "")));
        assert_eq!(parts(&listed, &odd), [same]);
    }

    #[test]
    fn what_is_no_index_is_told() {
        let (guard, feed) = feed(&keys(1));
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let empty = root.join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert_eq!(diff(&empty, &feed).unwrap_err().id(), "FEED006");
        assert_eq!(diff(&feed, &root.join("absent")).unwrap_err().id(), "IO004");
        for (name, text, id) in [
            ("index.json", "{", "FEED007"),
            ("package.json", "{\"name\": \"a\"}", "FEED007"),
            ("packages.adb", "x", "ADB001"),
            ("Packages", "x", "CTL002"),
            ("dump", "#%SCHEMA: 78646E69\npackages: # 1 items\n", "FEED007"),
            ("query", "# 2 items\n- package: a-1\n", "FEED007"),
        ] {
            let path = empty.join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(diff(&path, &feed.join("opkg")).unwrap_err().id(), id);
            std::fs::remove_file(path).unwrap();
        }
    }
}
