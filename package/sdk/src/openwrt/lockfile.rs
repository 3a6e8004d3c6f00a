//! `openwrt.lock`: what was resolved, recorded so that later runs use exactly the same bytes.
//!
//! Paths are relative to the mirror's root: any mirror with the same bytes will do. The text depends only on what is
//! locked: it is sorted, and the same for every mirror.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Digest, Exit, Failure, KernelId, Problem, Result, Target};
use serde::{Deserialize, Serialize};

use super::keys;
use super::matrix::Row;
use super::resolved::{Artifact, Release, Resolved, Role};

/// First lines of the file.
const HEAD: &str = "# Written by `cargo xtask lock`; `cargo xtask lock --check` compares it with the mirror.\n";

/// Everything that is locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile {
    releases: BTreeMap<(Release, Target), Resolved>,
    /// Revisions of feeds, by address and branch.
    feeds: BTreeMap<(String, Option<String>), String>,
    /// Digests of the indexes of published feeds, by path below the mirror's root.
    indexes: BTreeMap<Utf8PathBuf, Digest>,
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    entries: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    feeds: Vec<Feed>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    indexes: BTreeMap<Utf8PathBuf, Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    revision: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    release: String,
    target: Target,
    published: Target,
    arch: model::Arch,
    format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<KernelId>,
    signed_by: Vec<String>,
    files: BTreeMap<String, File>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: Utf8PathBuf,
    sha256: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

/// A difference between a lock and the mirror's current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, in one line.
    pub text: String,
    /// Whether a point release changed, which must never happen.
    pub is_mismatch: bool,
}

impl Lockfile {
    /// Reads the file; a missing file is an empty lock.
    ///
    /// # Errors
    /// `CONF…` for a malformed file, `LOCK001` for an invalid value.
    pub fn load(path: &Utf8Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Lockfile::default());
        }
        let written: Written = model::yaml::load(path)?;
        let mut lock = Lockfile::default();
        for entry in written.entries {
            let name = format!("{} {}", entry.release, entry.target);
            let resolved = read(entry).ok_or_else(|| impossible(path, &name))?;
            lock.put(resolved);
        }
        for Feed { url, branch, revision } in written.feeds {
            lock.put_feed((url, branch), revision);
        }
        match written.indexes.keys().find(|path| !is_below(path)) {
            Some(outside) => return Err(impossible(path, outside.as_str())),
            None => lock.indexes = written.indexes,
        }
        Ok(lock)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Only when the YAML writer fails.
    pub fn text(&self) -> Result<String> {
        let entries = self.releases.values().map(entry).collect();
        let feed = |((url, branch), revision): (&(String, Option<String>), &String)| Feed {
            url: url.clone(),
            branch: branch.clone(),
            revision: revision.clone(),
        };
        let feeds = self.feeds.iter().map(feed).collect();
        Ok(format!(
            "{HEAD}{}",
            model::yaml::text(&Written { version: 1, entries, feeds, indexes: self.indexes.clone() })?
        ))
    }

    /// Locks a release for a target, replacing the old entry.
    pub fn put(&mut self, resolved: Resolved) {
        self.releases.insert((resolved.release.clone(), resolved.target.clone()), resolved);
    }

    /// Locks the index of a published feed, replacing the old entry.
    pub fn put_index(&mut self, path: Utf8PathBuf, digest: Digest) {
        self.indexes.insert(path, digest);
    }

    /// The locked digest of a published feed's index.
    pub fn index(&self, path: &Utf8Path) -> Option<Digest> {
        self.indexes.get(path).copied()
    }

    /// Takes over the indexes of another lock, of releases that are locked here.
    pub fn keep_indexes_of(&mut self, other: &Lockfile) {
        let is_locked = |path: &Utf8Path| self.entries().any(|entry| path.starts_with(entry.release.folder()));
        let kept: Vec<_> = other.indexes.iter().filter(|(path, _)| is_locked(path)).collect();
        let kept: Vec<(Utf8PathBuf, Digest)> = kept.into_iter().map(|(path, digest)| (path.clone(), *digest)).collect();
        self.indexes.extend(kept);
    }

    /// Locks the branch of a feed, replacing the old entry.
    pub fn put_feed(&mut self, place: (String, Option<String>), revision: String) {
        self.feeds.insert(place, revision);
    }

    /// The locked revision of a feed's branch.
    pub fn feed(&self, url: &str, branch: Option<&str>) -> Option<&str> {
        self.feeds.get(&(url.to_owned(), branch.map(str::to_owned))).map(String::as_str)
    }

    /// Adds the feeds of another lock.
    pub fn keep_feeds_of(&mut self, other: &Lockfile) {
        self.feeds.extend(other.feeds.clone());
    }

    /// The entry for a row.
    ///
    /// # Errors
    /// `LOCK002` when there is none.
    pub fn get(&self, row: &Row) -> Result<&Resolved> {
        self.releases.get(&(row.release.clone(), row.target.clone())).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Mismatch,
                id: "LOCK002",
                what: format!("{} {} is not in openwrt.lock", row.release, row.target),
                why: "--locked uses only what is locked",
                fix: format!("lock it: cargo xtask lock --release {} --target {}", row.release, row.target),
            })
        })
    }

    /// Whether there is an entry for a row.
    pub fn has(&self, row: &Row) -> bool {
        self.releases.contains_key(&(row.release.clone(), row.target.clone()))
    }

    /// All entries, sorted.
    pub fn entries(&self) -> impl Iterator<Item = &Resolved> {
        self.releases.values()
    }
}

/// The differences between an entry and the mirror's current state.
pub fn differences(locked: &Resolved, now: &Resolved) -> Vec<Difference> {
    let mut lines = Vec::new();
    let name = format!("{} {}", locked.release, locked.target);
    let mut compare = |what: &str, one: String, other: String| {
        if one != other {
            let text = format!("{name}: {what} is locked as {one} and is now {other}");
            lines.push(Difference { text, is_mismatch: !locked.release.is_snapshot() });
        }
    };
    let kernel = |of: &Resolved| of.kernel.as_ref().map_or("unknown".into(), KernelId::to_string);
    let signers = |of: &Resolved| of.signed_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    compare("format", locked.format.to_string(), now.format.to_string());
    compare("arch", locked.arch.to_string(), now.arch.to_string());
    compare("kernel", kernel(locked), kernel(now));
    compare("signed-by", signers(locked), signers(now));
    for role in Role::ALL {
        // The size follows from the digest, and not every mirror reports it.
        let shown =
            |of: &Resolved| of.artifact(role).map_or("none".into(), |file| format!("{} {}", file.path, file.sha256));
        compare(role.name(), shown(locked), shown(now));
    }
    lines
}

fn entry(resolved: &Resolved) -> Entry {
    let Resolved { release, target, published, arch, format, kernel, signed_by, artifacts } = resolved;
    let file = |artifact: &Artifact| {
        let Artifact { role, path, sha256, size } = artifact;
        (role.name().to_owned(), File { path: path.clone(), sha256: *sha256, size: *size })
    };
    Entry {
        release: release.0.clone(),
        target: target.clone(),
        published: published.clone(),
        arch: arch.clone(),
        format: format.to_string(),
        kernel: kernel.clone(),
        signed_by: signed_by.iter().map(ToString::to_string).collect(),
        files: artifacts.iter().map(file).collect(),
    }
}

/// `None` for a value that this program never writes.
fn read(entry: Entry) -> Option<Resolved> {
    let Entry { release, target, published, arch, format, kernel, signed_by, files } = entry;
    let artifact = |(role, file): (String, File)| {
        let File { path, sha256, size } = file;
        let role = Role::ALL.into_iter().find(|known| known.name() == role)?;
        is_below(&path).then_some(Artifact { role, path, sha256, size })
    };
    let mut artifacts: Vec<Artifact> = files.into_iter().map(artifact).collect::<Option<_>>()?;
    artifacts.sort_by_key(|artifact| artifact.role);
    Some(Resolved {
        release: Release(release),
        target,
        published,
        arch,
        format: Format::ALL.into_iter().find(|known| known.to_string() == format)?,
        kernel,
        signed_by: signed_by.iter().map(|number| keys::number(number)).collect::<Option<_>>()?,
        artifacts,
    })
}

/// Whether a path stays below the mirror's root.
fn is_below(path: &Utf8Path) -> bool {
    path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)))
}

fn impossible(path: &Utf8Path, name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "LOCK001",
        what: format!("the entry for {name} is invalid"),
        why: "it has a role, format, digest, key number or path that this program does not write",
        fix: "remove the entry, or the file, and run `cargo xtask lock` again",
    })
    .at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openwrt::fixture::KERNEL_HASH;
    use formats::usign::Fingerprint;

    fn resolved(release: &str) -> Resolved {
        let artifact = |role, size| Artifact {
            role,
            path: format!("releases/{release}/{role:?}").into(),
            sha256: Digest::of(format!("{role:?}")),
            size,
        };
        Resolved {
            release: Release(release.into()),
            target: "armsr/armv8".parse().unwrap(),
            published: "armvirt/64".parse().unwrap(),
            arch: model::Arch("aarch64_generic".into()),
            format: Format::Ipk,
            kernel: Some(KernelId { version: "5.10.221".into(), config_hash: KERNEL_HASH.into(), release: 1 }),
            signed_by: vec![Fingerprint([1; 8])],
            artifacts: vec![artifact(Role::List, Some(7)), artifact(Role::Sdk, None), artifact(Role::Kernel, Some(9))],
        }
    }

    fn load(text: &str) -> Result<Lockfile> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("openwrt.lock");
        std::fs::write(&path, text).unwrap();
        Lockfile::load(&path)
    }

    #[test]
    fn what_is_written_is_read_and_sorted_whatever_the_order() {
        let (mut one, mut other) = (Lockfile::default(), Lockfile::default());
        for (first, second) in [("24.10.8", "22.03.7"), ("22.03.7", "24.10.8")] {
            one.put(resolved(first));
            other.put(resolved(second));
        }
        let text = one.text().unwrap();
        assert_eq!(text, other.text().unwrap());
        assert!(text.starts_with("# Written by") && text.contains("\nversion: 1\n"), "{text}");
        assert!(text.find("22.03.7") < text.find("24.10.8"), "{text}");
        let read = load(&text).unwrap();
        assert_eq!(read, one);
        assert_eq!(read.text().unwrap(), text);
        assert_eq!(read.entries().count(), 2);
        // A feed is locked by address and branch.
        let mut with_feed = one.clone();
        with_feed.put_feed(("https://h/p.git".into(), Some("main".into())), "a".repeat(40));
        let read = load(&with_feed.text().unwrap()).unwrap();
        assert_eq!(read.feed("https://h/p.git", Some("main")), Some("a".repeat(40).as_str()));
        assert_eq!((read.feed("https://h/p.git", None), one.feed("https://h/p.git", Some("main"))), (None, None));
        assert_eq!(Lockfile::load("/no/such/openwrt.lock".into()).unwrap(), Lockfile::default());
    }

    #[test]
    fn a_value_that_cannot_be_is_refused() {
        let mut lock = Lockfile::default();
        lock.put(resolved("24.10.8"));
        let text = lock.text().unwrap();
        let digest = Digest::of("Sdk").to_string();
        for (right, wrong, id) in [
            ("format: ipk", "format: deb", "LOCK001"),
            ("sdk:", "sbk:", "LOCK001"),
            (digest.as_str(), "1234", "CONF001"),
            ("0101010101010101", "01", "LOCK001"),
            ("releases/24.10.8/Sdk", "../../../etc/passwd", "LOCK001"),
            ("releases/24.10.8/Sdk", "/etc/passwd", "LOCK001"),
            ("version: 1", "version: 2", "CONF002"),
            ("signed-by:", "signd-by:", "CONF001"),
        ] {
            assert!(text.contains(right), "{right}\n{text}");
            assert_eq!(load(&text.replacen(right, wrong, 1)).unwrap_err().id(), id, "{wrong}");
        }
    }

    #[test]
    fn each_difference_is_told_and_is_grave_only_where_nothing_may_change() {
        let locked = resolved("24.10.8");
        assert_eq!(differences(&locked, &locked), []);
        let mut now = locked.clone();
        now.artifacts[1].sha256 = Digest::of("new");
        now.artifacts[0].size = None;
        now.kernel = None;
        now.artifacts.pop();
        let found = differences(&locked, &now);
        let about = |word: &str| found.iter().any(|difference| difference.text.contains(word));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(about("kernel is locked as 5.10.221~") && about("now unknown") && about(": sdk is"), "{found:?}");
        assert!(about("kernel is locked as releases") && about("now none"), "{found:?}");
        assert!(found.iter().all(|difference| difference.is_mismatch));
        let (locked, mut now) = (resolved("SNAPSHOT"), resolved("SNAPSHOT"));
        now.signed_by.clear();
        assert!(differences(&locked, &now).iter().all(|difference| !difference.is_mismatch));
    }

    #[test]
    fn what_is_not_locked_is_refused_with_the_words_that_lock_it() {
        let matrix =
            crate::openwrt::Matrix::load(&Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds/matrix.yaml"));
        let row = matrix.unwrap().row("22.03", "armsr/armv8").unwrap();
        let mut lock = Lockfile::default();
        let failure = lock.get(&row).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("LOCK002", Exit::Mismatch));
        assert!(failure.finding().fix.contains("lock --release 22.03.7 --target armsr/armv8"), "{failure}");
        lock.put(resolved("22.03.7"));
        assert!(lock.has(&row) && lock.get(&row).is_ok());
    }
}
