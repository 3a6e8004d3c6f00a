//! The indexes of the repositories: fetched, verified and kept; verified again each time they are read.

use camino::Utf8PathBuf;
use formats::Limits;
use formats::apk::index::{Index, Listed};
use model::Digest;

use super::config::Config;
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::fetch;
use crate::root::{Access, Root};

/// The folder of the kept indexes.
const CACHE: &str = "/var/cache/apk";
/// The largest index that is fetched; OpenWrt's largest has about 1 MiB.
const MAX_BYTES: u64 = 16 << 20;

/// A package that a verified index offers.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) listed: Listed,
    /// Address of its file.
    pub(super) url: String,
    /// The position of its repository, from 1: the first repository that has a package is preferred.
    pub(super) repository: usize,
}

/// Fetches one index and keeps it if its signature is good. If not, the older index is removed too, because the
/// repository's current state is not known.
pub(super) fn update(root: &Root, config: &Config, url: &str, on: &mut dyn FnMut(Progress)) -> Result<usize> {
    on(Step::Fetching { url: url.to_owned() }.into());
    let bytes = fetch::fetch_small(url, MAX_BYTES)?;
    let path = place(url);
    match check(config, url, &bytes) {
        Ok(offers) => {
            root.make_parents(&path)?;
            root.write(&path, Access::root(0o644), false, &mut &bytes[..])?;
            Ok(offers.len())
        }
        Err(error) => {
            root.remove(&path)?;
            Err(error)
        }
    }
}

/// Reads every kept index; a repository without one offers nothing.
pub(super) fn load(root: &Root, config: &Config) -> Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for (number, url) in config.repositories.iter().enumerate() {
        if let Some(bytes) = root.read(&place(url), MAX_BYTES)? {
            let checked = check(config, url, &bytes)?;
            offers.extend(checked.into_iter().map(|offer| Offer { repository: number + 1, ..offer }));
        }
    }
    Ok(offers)
}

/// The signature is checked first: unsigned bytes are not parsed.
fn check(config: &Config, url: &str, bytes: &[u8]) -> Result<Vec<Offer>> {
    let unreadable = |error: formats::Error| match error {
        formats::Error::AdbUntrusted { .. } => {
            Error::UntrustedIndex { url: url.to_owned(), problem: format!("{error} ({})", error.id()) }
        }
        _ => Error::Index { feed: url.to_owned(), problem: format!("{error} ({})", error.id()) },
    };
    let (index, _key) = Index::read(bytes, &config.keys, &Limits::default()).map_err(unreadable)?;
    let folder = url.rsplit_once('/').map_or(".", |(folder, _name)| folder);
    let offer = |listed: &Listed| {
        let url = format!("{folder}/{}", index.file_name(listed).map_err(unreadable)?);
        Ok(Offer { listed: listed.clone(), url, repository: 1 })
    };
    index.packages.iter().map(offer).collect()
}

fn place(url: &str) -> Utf8PathBuf {
    format!("{CACHE}/packages.{:.8}.adb", Digest::of(url).to_string()).into()
}
