//! usign: the Ed25519 signatures of opkg feeds and release files.
//!
//! A key or signature file has two lines: a comment, which proves nothing, and base64. The fingerprint is eight random
//! bytes, not a hash of the key; it only tells which key file to look for.
//!
//! A signed list, such as `sha256sums` of a release with its `.sig`:
//!
//! ```
//! use formats::usign::{self, PublicKey, Signature};
//!
//! # let publisher = usign::SecretKey::from_random([1; 40]);
//! # let key_file = publisher.public().to_text("release builds");
//! # let list = b"0123456789abcdef *openwrt.img\n";
//! # let signature_file = publisher.sign(list).to_text();
//! let pinned = [PublicKey::parse(&key_file)?];
//! let signature = Signature::parse(&signature_file)?;
//! let signer = usign::verify(list, &signature, &pinned)?;
//! assert_eq!(signer.fingerprint, pinned[0].fingerprint);
//! assert!(usign::verify(b"another list", &signature, &pinned).is_err());
//! # Ok::<(), formats::Error>(())
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha512};

use model::Hex;

use crate::Error;

const ALGORITHM: &[u8; 2] = b"Ed";
const KEY_DERIVATION: &[u8; 2] = b"BK";
const COMMENT: &str = "untrusted comment: ";

/// Id of a key: 16 lower-case hex digits, the file name in `/etc/opkg/keys`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signs. Its `Debug` shows the fingerprint only.
#[derive(Clone)]
pub struct SecretKey {
    fingerprint: Fingerprint,
    salt: [u8; 16],
    key: SigningKey,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's id.
    pub fingerprint: Fingerprint,
    key: VerifyingKey,
}

/// A signature over the bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Id of the key that made it.
    pub fingerprint: Fingerprint,
    bytes: [u8; 64],
}

impl SecretKey {
    /// A new key from 40 random bytes: eight for the fingerprint, 32 for the key.
    pub fn from_random(random: [u8; 40]) -> Self {
        let (fingerprint, mut seed) = (part(&random, 0), part::<32>(&random, 8));
        // usign stores the seed clamped and uses it as stored.
        seed[0] &= 0xf8;
        seed[31] = seed[31] & 0x7f | 0x40;
        SecretKey { fingerprint: Fingerprint(fingerprint), salt: [0; 16], key: SigningKey::from_bytes(&seed) }
    }

    /// Reads a secret key file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const EXPECTED: &str = "secret key";
        let bytes: [u8; 104] = decode(text, EXPECTED)?;
        if &bytes[2..4] != KEY_DERIVATION {
            return Err(Error::UsignFormat { expected: EXPECTED, why: "the key derivation is not BK" });
        }
        if bytes[4..8] != [0; 4] {
            return Err(Error::UsignPassphrase);
        }
        let (seed, public): ([u8; 32], [u8; 32]) = (part(&bytes, 40), part(&bytes, 72));
        let key = SigningKey::from_bytes(&seed);
        if bytes[24..32] != checksum(&seed, &public) || key.verifying_key().to_bytes() != public {
            return Err(Error::UsignChecksum);
        }
        Ok(SecretKey { fingerprint: Fingerprint(part(&bytes, 32)), salt: part(&bytes, 8), key })
    }

    /// The text of a secret key file. Keep it private: there is no passphrase.
    pub fn to_text(&self, comment: &str) -> String {
        let (seed, public) = (self.key.to_bytes(), self.key.verifying_key().to_bytes());
        let check = checksum(&seed, &public);
        let parts: [&[u8]; 8] =
            [ALGORITHM, KEY_DERIVATION, &[0; 4], &self.salt, &check, &self.fingerprint.0, &seed, &public];
        encode(comment, &parts.concat())
    }

    /// The key's id.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { fingerprint: self.fingerprint, key: self.key.verifying_key() }
    }

    /// Signs a whole message; the same message always gets the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature { fingerprint: self.fingerprint, bytes: self.key.sign(message).to_bytes() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, private)", self.fingerprint)
    }
}

impl PublicKey {
    /// Reads a public key file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const EXPECTED: &str = "public key";
        let bytes: [u8; 42] = decode(text, EXPECTED)?;
        let key = VerifyingKey::from_bytes(&part(&bytes, 10))
            .map_err(|_| Error::UsignFormat { expected: EXPECTED, why: "the key is not a point of the curve" })?;
        Ok(PublicKey { fingerprint: Fingerprint(part(&bytes, 2)), key })
    }

    /// The text of a public key file.
    pub fn to_text(&self, comment: &str) -> String {
        encode(comment, &[ALGORITHM, &self.fingerprint.0[..], self.key.as_bytes()].concat())
    }

    /// Checks that this key signed the message. usign finds the key by the fingerprint, or does not compare it at all;
    /// here a signature of another key is a separate error.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), Error> {
        if signature.fingerprint != self.fingerprint {
            let (signed_by, key) = (signature.fingerprint.to_string(), self.fingerprint.to_string());
            return Err(Error::UsignOtherKey { signed_by, key });
        }
        self.key
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.bytes))
            .map_err(|_| Error::UsignBadSignature { key: self.fingerprint.to_string() })
    }
}

/// Checks that one of the keys signed the message, and returns it, as opkg does with the keys of a router.
pub fn verify<'a>(message: &[u8], signature: &Signature, keys: &'a [PublicKey]) -> Result<&'a PublicKey, Error> {
    let named = |key: &&PublicKey| key.fingerprint == signature.fingerprint;
    let list = || keys.iter().map(|key| key.fingerprint.to_string()).collect::<Vec<_>>().join(", ");
    let mut refusal = None;
    for key in keys.iter().filter(named) {
        match key.verify(message, signature) {
            Ok(()) => return Ok(key),
            Err(error) => refusal = Some(error),
        }
    }
    let stranger = || Error::UsignOtherKey { signed_by: signature.fingerprint.to_string(), key: list() };
    Err(refusal.unwrap_or_else(stranger))
}

impl Signature {
    /// Reads a signature file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes: [u8; 74] = decode(text, "signature")?;
        Ok(Signature { fingerprint: Fingerprint(part(&bytes, 2)), bytes: part(&bytes, 10) })
    }

    /// The text of a signature file, with the comment that usign writes.
    pub fn to_text(&self) -> String {
        let bytes = [ALGORITHM, &self.fingerprint.0[..], &self.bytes].concat();
        encode(&format!("signed by key {}", self.fingerprint), &bytes)
    }
}

/// Detects typos in a secret key, not forgeries.
fn checksum(seed: &[u8; 32], public: &[u8; 32]) -> [u8; 8] {
    part(&Sha512::new().chain_update(seed).chain_update(public).finalize(), 0)
}

/// `N` bytes from a position; callers pass buffers that are long enough.
fn part<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut part = [0; N];
    part.iter_mut().zip(bytes.iter().skip(start)).for_each(|(to, from)| *to = *from);
    part
}

fn encode(comment: &str, bytes: &[u8]) -> String {
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    format!("{COMMENT}{comment}\n{}\n", STANDARD.encode(bytes))
}

/// Decodes the second line, which must hold exactly `N` bytes that start with the algorithm.
fn decode<const N: usize>(text: &str, expected: &'static str) -> Result<[u8; N], Error> {
    let refuse = |why| Error::UsignFormat { expected, why };
    let mut lines = text.lines();
    if !lines.next().is_some_and(|line| line.starts_with(COMMENT.trim_end())) {
        return Err(refuse("the first line is not an untrusted comment"));
    }
    let encoded = lines.next().ok_or_else(|| refuse("the second line is missing"))?;
    if lines.any(|line| !line.trim().is_empty()) {
        return Err(refuse("there are more than two lines"));
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| refuse("the second line is not base64"))?;
    let bytes: [u8; N] = bytes.try_into().map_err(|_| refuse("its length is wrong"))?;
    if &bytes[..2] != ALGORITHM {
        return Err(refuse("the algorithm is not Ed25519"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = include_str!("../tests/golden/ipk/test-only-usign.sec");
    const PUBLIC: &str = include_str!("../tests/golden/ipk/test-only-usign.pub");
    const SIGNATURE: &str = include_str!("../tests/golden/ipk/Packages.sig");
    const INDEX: &[u8] = include_bytes!("../tests/golden/ipk/Packages");

    #[test]
    fn signs_and_verifies_as_usign_does() {
        let secret = SecretKey::parse(SECRET).unwrap();
        let public = PublicKey::parse(PUBLIC).unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!(secret.sign(INDEX).to_text(), SIGNATURE);
        public.verify(INDEX, &Signature::parse(SIGNATURE).unwrap()).unwrap();
        assert_eq!(secret.to_text("test only key, never trust"), SECRET);
        assert_eq!(public.to_text("test only key, never trust"), PUBLIC);
        assert_eq!(public.fingerprint.to_string(), "445f5fd7fcb1bdaf");
    }

    #[test]
    fn a_new_key_survives_its_files_and_shows_no_secret() {
        let secret = SecretKey::from_random(std::array::from_fn(|at| u8::try_from(at * 6).unwrap()));
        let again = SecretKey::parse(&secret.to_text("private key")).unwrap();
        let public = PublicKey::parse(&again.public().to_text("public key")).unwrap();
        public.verify(b"message", &again.sign(b"message")).unwrap();
        assert_eq!(format!("{secret:?}"), "SecretKey(00060c12181e242a, private)");
    }

    #[test]
    fn a_changed_message_and_another_key_are_refused() {
        let secret = SecretKey::parse(SECRET).unwrap();
        let (public, other) = (secret.public(), SecretKey::from_random([7; 40]).public());
        let signature = secret.sign(b"message");
        assert_eq!(public.verify(b"massage", &signature).unwrap_err().id(), "SIG005");
        assert_eq!(other.verify(b"message", &signature).unwrap_err().id(), "SIG004");
        let forged = Signature { fingerprint: other.fingerprint, ..signature };
        assert_eq!(other.verify(b"message", &forged).unwrap_err().id(), "SIG005");
    }

    #[test]
    fn one_of_several_keys_is_enough_if_it_is_the_one_that_is_named() {
        let secrets = [1, 2, 3].map(|seed| SecretKey::from_random([seed; 40]));
        let keys: Vec<PublicKey> = secrets.iter().map(SecretKey::public).collect();
        let signature = secrets[1].sign(b"list");
        assert_eq!(verify(b"list", &signature, &keys).unwrap().fingerprint, keys[1].fingerprint);
        assert_eq!(verify(b"lost", &signature, &keys).unwrap_err().id(), "SIG005");
        let error = verify(b"list", &signature, &[keys[0].clone(), keys[2].clone()]).unwrap_err();
        assert!(error.id() == "SIG004" && error.to_string().contains(&keys[2].fingerprint.to_string()), "{error}");
        assert_eq!(verify(b"list", &signature, &[]).unwrap_err().id(), "SIG004");
        // Two keys may have the same fingerprint: it is random, and anybody can choose it.
        let twin = PublicKey { fingerprint: keys[1].fingerprint, ..keys[0].clone() };
        assert!(verify(b"list", &signature, &[twin, keys[1].clone()]).is_ok());
    }

    #[test]
    fn files_that_are_not_keys_are_refused() {
        let (comment, key) = PUBLIC.trim_end().split_once('\n').unwrap();
        for text in ["", comment, key, &format!("{comment}\n!{key}\n"), &format!("{comment}\n{key}\n{key}\n"), SECRET] {
            assert_eq!(PublicKey::parse(text).unwrap_err().id(), "SIG001", "{text:?}");
        }
        let change = |at: usize, value: u8| {
            let mut bytes: [u8; 104] = decode(SECRET, "secret key").unwrap();
            bytes[at] ^= value;
            SecretKey::parse(&encode("changed", &bytes)).unwrap_err().id()
        };
        assert_eq!((change(0, 1), change(2, 1)), ("SIG001", "SIG001"));
        assert_eq!(change(7, 1), "SIG002");
        assert_eq!((change(40, 1), change(103, 1), change(24, 1)), ("SIG003", "SIG003", "SIG003"));
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "(untrusted comment: x\n)?\\PC{0,150}", bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let encoded = encode("x", &bytes);
            for text in [&text, &encoded] {
                let _ = (SecretKey::parse(text), PublicKey::parse(text), Signature::parse(text));
            }
        }
    }
}
