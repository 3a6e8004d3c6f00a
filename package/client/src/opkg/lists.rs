//! The lists of available packages: fetched, verified and kept; verified again each time they are read.

use camino::Utf8PathBuf;
use formats::Limits;
use formats::packages::{self, Listed};
use formats::usign::{PublicKey, Signature};

use super::config::{Config, Source};
use super::{Progress, Step};
use crate::error::{Error, Result};
use crate::fetch;
use crate::root::{Access, Root};

/// The largest `Packages.gz` that is fetched; OpenWrt's largest feed has about 1 MiB.
const MAX_COMPRESSED: u64 = 16 << 20;
/// The largest signature or key file; they have two lines.
const MAX_SIGNATURE: u64 = 4 << 10;

/// A package that a verified list offers.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) listed: Listed,
    /// Address of its file.
    pub(crate) url: String,
}

/// A package of a verified list whose entry is malformed.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) feed: String,
    pub(crate) package: String,
    pub(crate) problem: String,
}

impl Refused {
    /// The error for a user who asks for this package.
    pub(crate) fn error(&self) -> Error {
        Error::IndexEntry { feed: self.feed.clone(), problem: self.problem.clone() }
    }
}

/// The packages in all lists.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) offers: Vec<Offer>,
    pub(crate) refused: Vec<Refused>,
}

impl Lists {
    /// The refused entry for a package name, if there is one.
    pub(crate) fn refused(&self, name: &str) -> Option<&Refused> {
        let offered = self.offers.iter().any(|offer| offer.listed.control.package == name);
        self.refused.iter().find(|refused| !offered && refused.package == name)
    }
}

/// Fetches the list of one feed and keeps it if its signature is good. If not, the older list is removed too, because
/// the feed's current state is not known.
pub(crate) fn update(root: &Root, config: &Config, source: &Source, on: &mut dyn FnMut(Progress)) -> Result<()> {
    let limits = Limits::default();
    let url = format!("{}/Packages{}", source.url, if source.gzip { ".gz" } else { "" });
    on(Step::Downloading { url: url.clone() }.into());
    let fetched = fetch::fetch_small(&url, if source.gzip { MAX_COMPRESSED } else { limits.index })?;
    let mut refused = Vec::new();
    let mut verified = || -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        let text = match source.gzip {
            true => packages::decompress(&fetched[..], &limits).map_err(|error| unreadable(source, &error))?,
            false => fetched.clone(),
        };
        let signature = match config.check_signature {
            true => Some(fetch_signature(source, on)?),
            false => None,
        };
        refused = check(root, config, source, &text, signature.as_deref())?.1;
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
    // A list without its signature is refused when read, so removing the signature first is safe.
    root.remove(&signature_path)?;
    root.write(&path, Access::root(0o644), false, &mut &text[..])?;
    on(Step::Updated { path }.into());
    for Refused { feed, package, problem } in refused {
        on(Progress::Note { text: format!("Package {package} of the feed {feed} is skipped: {problem}") });
    }
    if let Some(signature) = signature {
        root.write(&signature_path, Access::root(0o644), false, &mut &signature[..])?;
        on(Step::SignaturePassed.into());
    }
    Ok(())
}

/// Reads every kept list; a feed without one offers nothing.
pub(crate) fn load(root: &Root, config: &Config) -> Result<Lists> {
    let mut lists = Lists::default();
    for source in &config.sources {
        let path = list_path(config, source);
        let Some(text) = root.read(&path, Limits::default().index)? else { continue };
        let signature = root.read(&Utf8PathBuf::from(format!("{path}.sig")), MAX_SIGNATURE)?;
        let (listed, refused) = check(root, config, source, &text, signature.as_deref())?;
        lists.offers.extend(listed.into_iter().map(|listed| {
            let name = listed.filename.trim_start_matches("./");
            let name = if source.url.starts_with("http") { encoded(name) } else { name.to_owned() };
            let url = format!("{}/{name}", source.url);
            Offer { listed, url }
        }));
        lists.refused.extend(refused);
    }
    Ok(lists)
}

/// A file name, escaped as opkg requests it from a server.
pub fn encoded(name: &str) -> String {
    let letter = |byte: u8| match byte {
        b'%' | b':' | b'?' | b'#' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
        | b',' | b';' | b'=' => format!("%{byte:02x}"),
        _ if !byte.is_ascii_graphic() => format!("%{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    name.bytes().map(letter).collect()
}

/// The signature is checked first: unsigned bytes are not parsed. A malformed entry does not hide the others.
fn check(
    root: &Root,
    config: &Config,
    source: &Source,
    text: &[u8],
    signature: Option<&[u8]>,
) -> Result<(Vec<Listed>, Vec<Refused>)> {
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
    let (listed, oddities) =
        packages::read_each(text, &Limits::default()).map_err(|error| unreadable(source, &error))?;
    let refused = oddities.into_iter().filter(|oddity| oddity.is_refused).map(|oddity| Refused {
        feed: source.name.clone(),
        package: oddity.package.unwrap_or_else(|| format!("in line {}", oddity.line)),
        problem: format!("{} ({})", oddity.problem, oddity.problem.id()),
    });
    Ok((listed, refused.collect()))
}

fn fetch_signature(source: &Source, on: &mut dyn FnMut(Progress)) -> Result<Vec<u8>> {
    let url = format!("{}/Packages.sig", source.url);
    on(Step::Downloading { url: url.clone() }.into());
    fetch::fetch_small(&url, MAX_SIGNATURE).map_err(|error| Error::Unsigned {
        feed: source.name.clone(),
        problem: format!("{url} could not be fetched: {}", error.why().unwrap_or_default()),
    })
}

fn unreadable(source: &Source, error: &formats::Error) -> Error {
    Error::Index { feed: source.name.clone(), problem: format!("{error} ({})", error.id()) }
}

fn list_path(config: &Config, source: &Source) -> Utf8PathBuf {
    config.lists.join(&source.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_as_opkg_asks() {
        assert_eq!(encoded("epo_1:2.0-r1_all.ipk"), "epo_1%3a2.0-r1_all.ipk");
        assert_eq!(encoded("a/c++_1~2_all.ipk"), "a/c%2b%2b_1~2_all.ipk");
        assert_eq!(encoded("a b%\u{e9}"), "a%20b%25%c3%a9");
    }
}
