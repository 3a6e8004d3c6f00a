//! `keys/`: the public keys of the feed, those of before and the next ones too.

use std::collections::BTreeMap;

use camino::Utf8Path;
use formats::{Format, ec, usign};
use host::files;
use model::{Digest, Result};
use serde::{Deserialize, Serialize};

use crate::keys::Keys;
use crate::trust::Trust;

/// Name of the list.
pub(crate) const LIST: &str = "keys/keys.json";

/// `keys.json`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownKeys {
    /// Oldest first. Nothing is ever removed: the version of the keyring packages counts them.
    pub(crate) keys: Vec<Known>,
}

/// A key that routers have, had or will have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Key id in hex digits.
    pub(crate) id: String,
    /// `opkg` or `apk`.
    pub(crate) manager: String,
    pub(crate) status: Status,
    /// Name of its file, here and on routers.
    pub(crate) file: String,
    /// Digest of the file.
    pub(crate) sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Signs now.
    Signs,
    /// Takes over at the next rotation.
    Next,
    /// Signed before.
    Retired,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Signs => "signs",
            Status::Next => "next",
            Status::Retired => "retired",
        }
    }
}

impl Known {
    /// Where it is in the tree.
    pub(crate) fn place(&self) -> String {
        format!("keys/{}/{}", self.manager, self.file)
    }

    /// Where routers have it.
    pub(crate) fn on_router(&self) -> String {
        format!("etc/{}/keys/{}", self.manager, self.file)
    }
}

impl KnownKeys {
    /// What was known, and the keys of today; the texts of the files by their places.
    pub(crate) fn with(
        mut self,
        feed: &str,
        keys: &Keys,
        mut texts: BTreeMap<String, String>,
    ) -> Result<(Self, BTreeMap<String, String>)> {
        for known in &mut self.keys {
            known.status = Status::Retired;
        }
        for key in keys.public_files()? {
            let manager = key.format.manager().to_owned();
            let status = if key.is_next { Status::Next } else { Status::Signs };
            let file = match key.format {
                Format::Ipk => key.name.clone(),
                Format::Apk => format!("{feed}-{}.pem", key.id.get(..8).unwrap_or(&key.id)),
            };
            let sha256 = Digest::of(&key.text).to_string();
            match self.keys.iter_mut().find(|known| known.manager == manager && known.id == key.id) {
                Some(known) => known.status = status,
                None => self.keys.push(Known { id: key.id, manager, status, file, sha256 }),
            }
            if let Some(known) = self.keys.iter().find(|known| known.sha256 == Digest::of(&key.text).to_string()) {
                texts.insert(known.place(), key.text);
            }
        }
        Ok((self, texts))
    }

    /// The keys for a manager.
    pub(crate) fn of(&self, manager: &str) -> impl Iterator<Item = &Known> {
        self.keys.iter().filter(move |known| known.manager == manager)
    }

    /// Reads the key files in the tree that a router of today would be given: those that sign, and the next ones.
    ///
    /// # Errors
    /// The first file that is missing, or is no key of that id.
    pub(crate) fn trust(&self, tree: &Utf8Path, signs_only: bool) -> Result<Trust, String> {
        let mut trust = Trust::default();
        for known in &self.keys {
            let text = files::read_text(&tree.join(known.place())).map_err(|failure| failure.to_string())?;
            let wanted = known.status == Status::Signs || (known.status == Status::Next && !signs_only);
            let other = || format!("{} is not the key {}", known.place(), known.id);
            if Digest::of(&text).to_string() != known.sha256 {
                return Err(other());
            }
            match known.manager.as_str() {
                "opkg" => {
                    let key = usign::PublicKey::parse(&text).map_err(|error| error.to_string())?;
                    if key.fingerprint.to_string() != known.id {
                        return Err(other());
                    }
                    trust.usign.extend(wanted.then_some(key));
                }
                _ => {
                    let key = ec::PublicKey::parse(&text).map_err(|error| error.to_string())?;
                    if key.id().to_string() != known.id {
                        return Err(other());
                    }
                    trust.ec.extend(wanted.then_some(key));
                }
            }
        }
        Ok(trust)
    }
}
