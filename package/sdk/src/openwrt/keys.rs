//! The keys that may sign a release's list: pinned in the repository, in one file each, named by key number.

use camino::{Utf8Path, Utf8PathBuf};
use formats::ec;
use formats::usign::{Fingerprint, PublicKey, Signature};
use model::{Exit, Failure, Problem, Result};

use host::files::read_text;

/// Trusted public keys.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Those in the repository; they are trusted where the matrix says so.
    pinned: Vec<PublicKey>,
    /// Those that the user named; they are trusted for every list.
    named: Vec<PublicKey>,
    /// Those among them for apk's indexes.
    of_apk: Vec<ec::PublicKey>,
}

impl Keys {
    /// Reads the keys in a folder, and those that the user named for this run.
    ///
    /// # Errors
    /// `IO004` when a file does not exist, `RKEY001` when it is not a public key, `RKEY002` when it is not the key that
    /// its name says.
    pub fn load(folder: &Utf8Path, named: &[Utf8PathBuf]) -> Result<Self> {
        let io = |error: std::io::Error| Failure::io("list the keys", folder, &error);
        let mut pinned = Vec::new();
        for entry in folder.read_dir_utf8().map_err(io)? {
            let path = entry.map_err(io)?.into_path();
            let Some(number) = path.file_name().and_then(number) else { continue };
            let key = parse(&path, &read_text(&path)?)?;
            if key.fingerprint != number {
                return Err(misnamed(&path, key.fingerprint));
            }
            pinned.push(key);
        }
        let mut keys = Keys { pinned, ..Keys::default() };
        for path in named {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::io_named("read the key of --release-key", path, &error))?;
            match ec::PublicKey::parse(&text) {
                Ok(key) => keys.of_apk.push(key),
                Err(_) => keys.named.push(parse(path, &text)?),
            }
        }
        Ok(keys)
    }

    /// The keys that the user named for apk's indexes.
    pub(super) fn of_apk(&self) -> &[ec::PublicKey] {
        &self.of_apk
    }

    /// Checks the signature of a list, and returns the key that made it. `allowed` are the keys that may sign it,
    /// besides those that the user named.
    pub(super) fn verify(
        &self,
        allowed: &[Fingerprint],
        list: &[u8],
        signature: &str,
    ) -> Result<Fingerprint, Untrusted> {
        let signature = Signature::parse(signature).map_err(|error| Untrusted::Unreadable(error.to_string()))?;
        let allowed_pinned = self.pinned.iter().filter(|key| allowed.contains(&key.fingerprint));
        let trusted = || self.named.iter().chain(allowed_pinned.clone());
        // A key number is eight bytes that anybody can choose, so two keys may have the same one.
        let mut same_number = trusted().filter(|key| key.fingerprint == signature.fingerprint).peekable();
        if same_number.peek().is_none() {
            let trusted = trusted().map(|key| key.fingerprint).collect();
            return Err(Untrusted::OtherKey { signed_by: signature.fingerprint, trusted });
        }
        match same_number.any(|key| key.verify(list, &signature).is_ok()) {
            true => Ok(signature.fingerprint),
            false => Err(Untrusted::Wrong(signature.fingerprint)),
        }
    }
}

/// Why a signature is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// It is not a signature at all.
    Unreadable(String),
    /// It was made by a key that may not sign this.
    OtherKey {
        /// The key that made it.
        signed_by: Fingerprint,
        /// The keys that may.
        trusted: Vec<Fingerprint>,
    },
    /// It was made by an allowed key, but over other bytes.
    Wrong(Fingerprint),
}

/// Parses a key number: 16 lower-case hex digits.
pub(super) fn number(text: &str) -> Option<Fingerprint> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 16 || !text.bytes().all(lower) {
        return None;
    }
    u64::from_str_radix(text, 16).ok().map(|number| Fingerprint(number.to_be_bytes()))
}

fn parse(path: &Utf8Path, text: &str) -> Result<PublicKey> {
    PublicKey::parse(text).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "RKEY001",
            what: "this is not a public usign key",
            why: error.to_string(),
            fix: "a key is two lines: an untrusted comment, and base64 of 42 bytes; one for apk's indexes is a PEM file; never \
                  name a secret key here",
        })
        .at(path)
    })
}

fn misnamed(path: &Utf8Path, found: Fingerprint) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "RKEY002",
        what: format!("this is key {found}"),
        why: "a pinned key's file is named after its number, so that no key is mistaken for another",
        fix: "rename the file, or put the right key in it",
    })
    .at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::usign::SecretKey;

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_random([seed; 40])
    }

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        files.iter().for_each(|(name, text)| std::fs::write(path.join(name), text).unwrap());
        (folder, path)
    }

    #[test]
    fn the_pinned_keys_are_what_their_names_say_and_the_matrix_knows_them() {
        let feeds = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds");
        let keys = Keys::load(&feeds.join("openwrt-keys"), &[]).unwrap();
        let rows = super::super::Matrix::load(&feeds.join("matrix.yaml")).unwrap().select(&[], &[]).unwrap();
        for number in rows.iter().flat_map(|row| &row.keys) {
            assert!(keys.pinned.iter().any(|key| key.fingerprint == *number), "{number}");
        }
    }

    #[test]
    fn only_an_allowed_key_over_these_bytes_counts() {
        let (one, other) = (secret(1), secret(2));
        let text = |key: &SecretKey| key.public().to_text("test");
        let (_kept, path) = folder(&[
            (&one.fingerprint().to_string(), &text(&one)),
            (&other.fingerprint().to_string(), &text(&other)),
            ("README.md", "no key"),
        ]);
        let keys = Keys::load(&path, &[]).unwrap();
        let signed = |key: &SecretKey| key.sign(b"list").to_text();
        let allowed = [one.fingerprint()];
        assert_eq!(keys.verify(&allowed, b"list", &signed(&one)), Ok(one.fingerprint()));
        assert_eq!(keys.verify(&allowed, b"lost", &signed(&one)), Err(Untrusted::Wrong(one.fingerprint())));
        let refused = Untrusted::OtherKey { signed_by: other.fingerprint(), trusted: allowed.to_vec() };
        assert_eq!(keys.verify(&allowed, b"list", &signed(&other)), Err(refused), "pinned, but for other lines");
        assert!(matches!(keys.verify(&allowed, b"list", "no signature"), Err(Untrusted::Unreadable(_))));

        let named = path.join("mine.pub");
        std::fs::write(&named, text(&other)).unwrap();
        let keys = Keys::load(&path, &[named]).unwrap();
        assert_eq!(keys.verify(&allowed, b"list", &signed(&other)), Ok(other.fingerprint()));
    }

    #[test]
    fn a_key_of_the_users_with_a_borrowed_number_hides_no_other() {
        let (one, forger) = (secret(1), SecretKey::from_random([vec![1; 8], vec![9; 32]].concat().try_into().unwrap()));
        assert_eq!(one.fingerprint(), forger.fingerprint());
        let keys = Keys { pinned: vec![one.public()], named: vec![forger.public()], ..Keys::default() };
        let allowed = [one.fingerprint()];
        assert!(keys.verify(&allowed, b"list", &one.sign(b"list").to_text()).is_ok());
        assert!(keys.verify(&allowed, b"list", &secret(3).sign(b"list").to_text()).is_err());
    }

    #[test]
    fn files_that_are_not_the_key_of_their_name_are_refused() {
        let key = secret(1);
        let (_kept, path) = folder(&[("0123456789abcdef", &key.public().to_text("test"))]);
        assert_eq!(Keys::load(&path, &[]).unwrap_err().id(), "RKEY002");
        let (_kept, path) = folder(&[("0123456789abcdef", &key.to_text("secret"))]);
        let failure = Keys::load(&path, &[]).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("RKEY001", Exit::Usage));
        assert_eq!(Keys::load(&path.join("none"), &[]).unwrap_err().id(), "IO004");
    }

    #[test]
    fn a_key_number_is_sixteen_small_hex_digits() {
        assert_eq!(number("4d017e6f1ed5d616").map(|number| number.to_string()).as_deref(), Some("4d017e6f1ed5d616"));
        for bad in ["", "4D017E6F1ED5D616", "4d017e6f1ed5d61", "+d017e6f1ed5d616", "4d017e6f1ed5d61g"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
