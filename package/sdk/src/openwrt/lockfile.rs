//! `openwrt.lock`: what was resolved, written down, so that later runs use the same bytes and nothing else.
//!
//! Paths are relative to the mirror's root: any mirror that holds the same bytes serves. The text is a function of
//! what is locked: sorted, and the same from whatever mirror it was made.

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

/// All that is locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile(BTreeMap<(Release, Target), Resolved>);

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    entries: Vec<Entry>,
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

/// How a lock differs from what the mirror holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, one line.
    pub text: String,
    /// Whether it is a point release whose bytes changed, which must never happen.
    pub is_mismatch: bool,
}

impl Lockfile {
    /// Reads the file; none is an empty lock.
    ///
    /// # Errors
    /// `CONF…` for a file of another form, `LOCK001` for a value that cannot be.
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
        Ok(lock)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Only when the writer of YAML fails.
    pub fn text(&self) -> Result<String> {
        let entries = self.0.values().map(entry).collect();
        Ok(format!("{HEAD}{}", model::yaml::text(&Written { version: 1, entries })?))
    }

    /// Locks a release for a target, in place of what was locked for them.
    pub fn put(&mut self, resolved: Resolved) {
        self.0.insert((resolved.release.clone(), resolved.target.clone()), resolved);
    }

    /// What is locked for a row.
    ///
    /// # Errors
    /// `LOCK002` when nothing is.
    pub fn get(&self, row: &Row) -> Result<&Resolved> {
        self.0.get(&(row.release.clone(), row.target.clone())).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Mismatch,
                id: "LOCK002",
                what: format!("{} {} is not in openwrt.lock", row.release, row.target),
                why: "--locked uses what is locked and nothing else",
                fix: format!("lock it: cargo xtask lock --release {} --target {}", row.release, row.target),
            })
        })
    }

    /// Whether anything is locked for a row.
    pub fn has(&self, row: &Row) -> bool {
        self.0.contains_key(&(row.release.clone(), row.target.clone()))
    }

    /// Everything that is locked, sorted.
    pub fn entries(&self) -> impl Iterator<Item = &Resolved> {
        self.0.values()
    }
}

/// How what is locked differs from what the mirror holds now.
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
        // The size follows from the digest, and not every mirror tells it.
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

/// `None` for a value that no writer of ours writes.
fn read(entry: Entry) -> Option<Resolved> {
    let Entry { release, target, published, arch, format, kernel, signed_by, files } = entry;
    let artifact = |(role, file): (String, File)| {
        let File { path, sha256, size } = file;
        let role = Role::ALL.into_iter().find(|known| known.name() == role)?;
        let below = path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)));
        below.then_some(Artifact { role, path, sha256, size })
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

fn impossible(path: &Utf8Path, name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "LOCK001",
        what: format!("what is locked for {name} is not understood"),
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
