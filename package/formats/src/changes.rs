//! What changed between two versions of a feed.

use std::collections::BTreeMap;

use model::Digest;

/// The newest version of each name in an index, and a digest of its bytes if there is one.
///
/// The digests of the two formats cannot be compared: ipk's is of the file, apk's of the metadata.
pub type Newest = BTreeMap<String, (String, Option<Digest>)>;

/// The difference of two indexes, by package name; only the newest version of each name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Only in the new index, with its version.
    pub added: BTreeMap<String, String>,
    /// Only in the old index, with its version.
    pub removed: BTreeMap<String, String>,
    /// In both, with old and new version.
    pub changed: BTreeMap<String, (String, String)>,
    /// In both with the same version, but other bytes.
    pub rebuilt: BTreeMap<String, String>,
}

impl Changes {
    /// Compares two indexes. If a digest is missing on either side, a package does not count as rebuilt.
    pub fn between(old: &Newest, new: &Newest) -> Self {
        let mut changes = Changes::default();
        for (name, (version, digest)) in new {
            match old.get(name) {
                None => _ = changes.added.insert(name.clone(), version.clone()),
                Some((before, _)) if before != version => {
                    changes.changed.insert(name.clone(), (before.clone(), version.clone()));
                }
                Some((_, before)) if before.is_some() && digest.is_some() && before != digest => {
                    changes.rebuilt.insert(name.clone(), version.clone());
                }
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
        changes.removed = gone.map(|(name, (version, _))| (name.clone(), version.clone())).collect();
        changes
    }

    /// Whether the two indexes offer the same.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}
