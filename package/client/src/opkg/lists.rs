//! The lists of available packages: fetched, verified, kept, and verified again each time they are read.

use camino::Utf8PathBuf;
use formats::Limits;
use formats::packages::{self, Listed};
use formats::usign::{PublicKey, Signature};

use super::Progress;
use super::config::{Config, Source};
use crate::error::{Error, Result};
use crate::fetch;
use crate::root::{Access, Root};

/// Largest `Packages.gz` that is fetched; the largest feed of OpenWrt has about 1 MiB.
const MAX_COMPRESSED: u64 = 16 << 20;
/// Largest signature or key file: two lines.
const MAX_SIGNATURE: u64 = 4 << 10;

/// A package that a verified list offers.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) listed: Listed,
    /// Where its file is.
    pub(crate) url: String,
}

/// Fetches the list of one source and keeps it if its signature is good. One that fails the check is
/// gone afterwards, as is the one before it: what the feed is today is not known.
pub(crate) fn update(root: &Root, config: &Config, source: &Source, on: &mut dyn FnMut(Progress)) -> Result<()> {
    let limits = Limits::default();
    let url = format!("{}/Packages{}", source.url, if source.gzip { ".gz" } else { "" });
    on(Progress::Downloading { url: url.clone() });
    let fetched = fetch::fetch_small(&url, if source.gzip { MAX_COMPRESSED } else { limits.index })?;
    let mut verified = || -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        let text = match source.gzip {
            true => packages::decompress(&fetched[..], &limits).map_err(|error| unreadable(source, &error))?,
            false => fetched.clone(),
        };
        let signature = match config.check_signature {
            true => Some(fetch_signature(source, on)?),
            false => None,
        };
        check(root, config, source, &text, signature.as_deref())?;
        Ok((text, signature))
    };
    let path = list_path(config, source);
    let signature_path = Utf8PathBuf::from(format!("{path}.sig"));
    let (text, signature) = match verified() {
        Ok(verified) => verified,
        Err(error) => {
            root.remove(&path)?;
            root.remove(&signature_path)?;
            return Err(error);
        }
    };
    root.make_parents(&path)?;
    // A list without its signature is refused when read, so the order is the safe one.
    root.remove(&signature_path)?;
    root.write(&path, Access::root(0o644), false, &mut &text[..])?;
    on(Progress::Updated { path });
    if let Some(signature) = signature {
        root.write(&signature_path, Access::root(0o644), false, &mut &signature[..])?;
        on(Progress::SignaturePassed);
    }
    Ok(())
}

/// Reads every kept list; a source without one offers nothing.
pub(crate) fn load(root: &Root, config: &Config) -> Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for source in &config.sources {
        let path = list_path(config, source);
        let Some(text) = root.read(&path, Limits::default().index)? else { continue };
        let signature = root.read(&Utf8PathBuf::from(format!("{path}.sig")), MAX_SIGNATURE)?;
        let listed = check(root, config, source, &text, signature.as_deref())?;
        offers.extend(listed.into_iter().map(|listed| {
            let url = format!("{}/{}", source.url, listed.filename.trim_start_matches("./"));
            Offer { listed, url }
        }));
    }
    Ok(offers)
}

/// Signature first: unsigned bytes are not even read.
fn check(root: &Root, config: &Config, source: &Source, text: &[u8], signature: Option<&[u8]>) -> Result<Vec<Listed>> {
    let feed = || source.name.clone();
    if config.check_signature {
        let problem = "the list was kept without a signature".to_owned();
        let signature = signature.ok_or_else(|| Error::Unsigned { feed: feed(), problem })?;
        let bad = |error: formats::Error| Error::BadSignature { feed: feed(), problem: error.to_string() };
        let signature = Signature::parse(&String::from_utf8_lossy(signature)).map_err(bad)?;
        let fingerprint = signature.fingerprint.to_string();
        let key = root
            .read(&config.keys.join(&fingerprint), MAX_SIGNATURE)?
            .ok_or_else(|| Error::UnknownKey { feed: feed(), fingerprint })?;
        let key = PublicKey::parse(&String::from_utf8_lossy(&key)).map_err(bad)?;
        key.verify(text, &signature).map_err(bad)?;
    }
    packages::read(text, &Limits::default()).map_err(|error| unreadable(source, &error))
}

fn fetch_signature(source: &Source, on: &mut dyn FnMut(Progress)) -> Result<Vec<u8>> {
    let url = format!("{}/Packages.sig", source.url);
    on(Progress::Downloading { url: url.clone() });
    fetch::fetch_small(&url, MAX_SIGNATURE).map_err(|error| Error::Unsigned {
        feed: source.name.clone(),
        problem: format!("{url} could not be fetched: {}", error.why()),
    })
}

/// An entry whose package nobody could verify is told apart from an index that is no index.
fn unreadable(source: &Source, error: &formats::Error) -> Error {
    let feed = source.name.clone();
    let problem = format!("{error} ({})", error.id());
    match error {
        formats::Error::IndexMissing { .. }
        | formats::Error::IndexFilename { .. }
        | formats::Error::BadDigest { .. } => Error::IndexEntry { feed, problem },
        _ => Error::Index { feed, problem },
    }
}

fn list_path(config: &Config, source: &Source) -> Utf8PathBuf {
    config.lists.join(&source.name)
}
