//! `keys/`: the feed's public keys: retired, current and next.

use std::collections::BTreeMap;

use camino::Utf8Path;
use formats::{Format, ec, usign};
use host::files;
use model::{Digest, Result};
use serde::{Deserialize, Serialize};

use crate::keys::Keys;
use crate::trust::Trust;

/// Path of the list in the tree.
pub(crate) const LIST: &str = "keys/keys.json";

/// Content of `keys.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownKeys {
    /// Oldest first. No key is ever removed, because the version of the keyring packages is the number of keys.
    pub(crate) keys: Vec<Known>,
}

/// A key that routers trusted, trust, or will trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Key id in hex digits.
    pub(crate) id: String,
    /// `opkg` or `apk`.
    pub(crate) manager: String,
    pub(crate) status: Status,
    /// Name of its file, in the tree and on routers.
    pub(crate) file: String,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Signs the indexes now.
    Signs,
    /// Will sign after the next rotation.
    Next,
    /// Signed until an earlier rotation.
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
    /// Path of the key file in the tree.
    pub(crate) fn place(&self) -> String {
        format!("keys/{}/{}", self.manager, self.file)
    }

    /// Path of the key file on routers.
    pub(crate) fn on_router(&self) -> String {
        format!("etc/{}/keys/{}", self.manager, self.file)
    }
}

impl KnownKeys {
    /// Adds today's keys to the known ones; also returns the texts of their files by path.
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

    /// The keys for one manager.
    pub(crate) fn of(&self, manager: &str) -> impl Iterator<Item = &Known> {
        self.keys.iter().filter(move |known| known.manager == manager)
    }

    /// Reads the key files that a router gets today: the current and the next ones, or the current ones only.
    ///
    /// # Errors
    /// The first file that is missing, or that does not hold the key of that id.
    pub(crate) fn trust(&self, tree: &Utf8Path, signs_only: bool) -> Result<Trust, String> {
        let mut trust = Trust::default();
        for known in &self.keys {
            let text = files::read_text(&tree.join(known.place())).map_err(|failure| failure.to_string())?;
            let wanted = known.status == Status::Signs || (known.status == Status::Next && !signs_only);
            let other = || format!("{} does not hold the key {}", known.place(), known.id);
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
