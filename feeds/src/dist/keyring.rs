//! The keyring packages, through which a subscribed router learns the next key.
//!
//! Keys are only ever added, and the version is their number, so an older keyring never replaces a newer one.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Format, Package};
use model::{Exit, Failure, Result};

use super::keys::KnownKeys;
use crate::explain;

/// Name of the package.
pub(crate) fn name(feed: &str) -> String {
    format!("{}-keyring", feed.replace('_', "-"))
}

/// Writes the keyring package for a manager into `folder`.
pub(crate) fn write(
    feed: &str,
    keys: &KnownKeys,
    texts: &BTreeMap<String, String>,
    format: Format,
    folder: &Utf8Path,
) -> Result<Utf8PathBuf> {
    let manager = format.manager();
    let mut files = Vec::new();
    let mut kept = String::new();
    for known in keys.of(manager) {
        let text = texts.get(&known.place()).cloned().unwrap_or_default();
        kept.push_str(&format!("/{}\n", known.on_router()));
        files.push(Entry::file(known.on_router(), 0o644, Content::from(text.into_bytes())));
    }
    // sysupgrade keeps the keys, as it keeps the feed's line.
    files.push(Entry::file(format!("lib/upgrade/keep.d/{}", name(feed)), 0o644, Content::from(kept.into_bytes())));
    let plan = Package {
        name: name(feed),
        version: format!("{}-r1", keys.of(manager).count()),
        architecture: "all".into(),
        description: format!("Public keys of the feed {feed}"),
        license: "CC0-1.0".into(),
        section: "base".into(),
        maintainer: "The openwrt-offload contributors".into(),
        files,
        ..Package::default()
    };
    let path = folder.join(plan.file_name(format));
    let file = std::fs::File::create(&path).map_err(|error| Failure::io("write the keyring package", &path, &error))?;
    plan.write(format, file).map_err(|error| explain(Exit::Bug, &path, &error))?;
    Ok(path)
}
