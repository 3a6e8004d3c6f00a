//! Reads indexes and their signatures.

use std::io::Read;

use model::{Digest, Format};

use super::Options;
use crate::adb::Adb;
use crate::md5::Md5;
use crate::{Error, Limits, apk, packages, usign};

/// An index of either format.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) entries: Vec<Entry>,
    pub(super) oddities: Vec<packages::Oddity>,
    /// Content of `Packages`, which the signature covers; empty for apk.
    pub(super) text: Vec<u8>,
    /// For apk, whose index contains its signatures: the result of checking them.
    pub(super) signed: Option<SignedInside>,
}

/// An entry of an index.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// Path relative to the index.
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// A second digest that opkg checks, if the index has it.
    pub(super) md5: Option<Md5>,
    pub(super) installed_size: Option<u64>,
}

#[derive(Debug)]
pub(super) enum SignedInside {
    Unsigned,
    Unchecked,
    Good,
    Bad(String),
}

/// `Packages.sig`
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) path: String,
    pub(super) read: Result<usign::Signature, String>,
}

impl Signature {
    pub(super) fn read(path: &str, input: impl Read) -> Result<Self, Error> {
        /// The largest signature that is read; real ones have about 150 bytes.
        const LARGEST: u64 = 4096;
        let mut bytes = Vec::new();
        input.take(LARGEST).read_to_end(&mut bytes)?;
        let read = usign::Signature::parse(&String::from_utf8_lossy(&bytes));
        Ok(Signature { path: path.to_owned(), read: read.map_err(|error| spelled(&error)) })
    }
}

impl Index {
    pub(super) fn of_packages(path: &str, input: impl Read, limits: &Limits) -> Result<Self, Error> {
        let mut text = Vec::new();
        input.take(limits.index.saturating_add(1)).read_to_end(&mut text)?;
        let (listed, mut oddities) = packages::read_each(&text, limits)?;
        // A file without a single entry is not an index.
        if let Some(at) = oddities.iter().position(|oddity| oddity.is_refused && listed.is_empty()) {
            return Err(oddities.swap_remove(at).problem);
        }
        let entries = listed.into_iter().map(|listed| Entry {
            md5: listed.md5(),
            name: listed.control.package,
            version: listed.control.version,
            architecture: listed.control.architecture,
            file: listed.filename.strip_prefix("./").unwrap_or(&listed.filename).to_owned(),
            size: listed.size,
            digest: listed.sha256,
            installed_size: listed.control.installed_size,
        });
        let entries = entries.collect();
        Ok(Index { path: path.to_owned(), format: Format::Ipk, entries, oddities, text, signed: None })
    }

    pub(super) fn of_adb(path: &str, input: impl Read, options: &Options) -> Result<Self, Error> {
        let adb = Adb::read(input, &options.limits)?;
        let index = apk::index::Index::from_adb(&adb, &options.limits)?;
        let entry = |listed: &apk::index::Listed| {
            Ok(Entry {
                name: listed.info.name.clone(),
                version: listed.info.version.clone(),
                architecture: listed.info.arch.clone(),
                file: index.file_name(listed)?,
                size: listed.file_size,
                digest: listed.sha256,
                md5: None,
                installed_size: Some(listed.info.installed_size),
            })
        };
        let entries = index.packages.iter().map(entry).collect::<Result<_, Error>>()?;
        let signed = match adb.verify(&options.ec_keys) {
            _ if adb.signatures.is_empty() => SignedInside::Unsigned,
            _ if options.ec_keys.is_empty() => SignedInside::Unchecked,
            Ok(_) => SignedInside::Good,
            Err(error) => SignedInside::Bad(spelled(&error)),
        };
        let (path, text, oddities) = (path.to_owned(), Vec::new(), Vec::new());
        Ok(Index { path, format: Format::Apk, entries, oddities, text, signed: Some(signed) })
    }

    /// The path of a file beside the index.
    pub(super) fn beside(&self, name: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }
}

/// An error in the wording of a finding.
pub(super) fn spelled(error: &Error) -> String {
    format!("{error} ({})", error.id())
}
