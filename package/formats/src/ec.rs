//! Keys and signatures of apk v3: ECDSA on P-256 over SHA-512, with deterministic nonces. Signatures of RSA keys are
//! verified, too.
//!
//! A signature block is `version 0, hash 4 (SHA-512), key id[16], DER signature`. The signature covers the schema of
//! the file, the first 18 bytes of the block and the SHA-512 of the metadata, so a package's signature is worth nothing
//! on an index. The key id is the start of the SHA-512 of the public point, so a key file may have any name.

use std::fmt;

use ecdsa::hazmat::sign_prehashed_rfc6979;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{DerSignature, Signature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use p256::{NistP256, NonZeroScalar};
use sha2::{Digest as _, Sha512};

use model::Hex;

use crate::{Error, rsa};

/// Bytes of a signature block before the signature.
const HEADER: usize = 18;
const VERSION: u8 = 0;
/// apk's number for SHA-512; apk also accepts SHA-256 and a truncated one, we do not.
const SHA512: u8 = 4;

/// Id of a key: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-512 of a file's metadata, which is part of the signed message.
pub fn digest(payload: &[u8]) -> [u8; 64] {
    Sha512::digest(payload).into()
}

/// A key that signs. Its `Debug` shows the key id only.
#[derive(Clone)]
pub struct SecretKey {
    key: p256::SecretKey,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Kind,
    id: KeyId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    P256(VerifyingKey),
    Rsa(rsa::PublicKey),
}

impl SecretKey {
    /// A new key from 32 random bytes. The very few values that are not a valid key are refused.
    pub fn from_random(random: [u8; 32]) -> Result<Self, Error> {
        let key = p256::SecretKey::from_slice(&random)
            .map_err(|_| Error::EcFormat { expected: "private key", why: "the random number is zero or too large" })?;
        Ok(SecretKey { key })
    }

    /// Reads a PEM file in either of the forms that OpenSSL writes (SEC1 or PKCS#8).
    pub fn parse(pem: &str) -> Result<Self, Error> {
        let key = p256::SecretKey::from_pem(pem.trim_start()).map_err(|_| Error::EcFormat {
            expected: "private key",
            why: "it is not a PEM file with a key on P-256",
        })?;
        Ok(SecretKey { key })
    }

    /// The PEM file as `openssl ecparam -genkey` writes it. Keep it private: there is no passphrase.
    pub fn to_pem(&self) -> Result<String, Error> {
        let pem = self.key.to_sec1_pem(LineEnding::LF);
        let pem = pem.map_err(|_| Error::EcFormat { expected: "private key", why: "it cannot be encoded" })?;
        Ok(pem.to_string())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(Kind::P256(self.key.public_key().into()))
    }

    /// A signature block for a file with this schema and metadata digest. The nonce is derived from key and message
    /// (RFC 6979), so the same file always gets the same signature.
    pub(crate) fn sign(&self, schema: [u8; 4], digest: &[u8; 64]) -> Result<Vec<u8>, Error> {
        let header = [&[VERSION, SHA512][..], &self.public().id.0].concat();
        let message = message(schema, &header, digest);
        let scalar: NonZeroScalar = self.key.to_nonzero_scalar();
        let (signature, _) = sign_prehashed_rfc6979::<NistP256, Sha512>(&scalar, &Sha512::digest(message), &[]);
        Ok([&header[..], signature.to_der().as_bytes()].concat())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, private)", self.public().id)
    }
}

impl PublicKey {
    fn new(key: Kind) -> Self {
        let digest = match &key {
            Kind::P256(key) => Sha512::digest(key.to_sec1_point(false).as_bytes()),
            Kind::Rsa(key) => Sha512::digest(&key.der),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        PublicKey { key, id: KeyId(id) }
    }

    /// Reads a PEM file. A point in compressed form is refused: apk computes another id for such a key, so none of its
    /// signatures would match.
    pub fn parse(pem: &str) -> Result<Self, Error> {
        let refuse = |why| Error::EcFormat { expected: "public key", why };
        let pem = pem.trim();
        if let Some(key) = rsa::PublicKey::parse(pem) {
            return Ok(PublicKey::new(Kind::Rsa(key)));
        }
        let key = p256::PublicKey::from_public_key_pem(pem)
            .map_err(|_| refuse("it is not a PEM file with a key on P-256, or one of RSA with 2048 bits or more"))?;
        let key = PublicKey::new(Kind::P256(key.into()));
        if !pem.lines().eq(key.to_pem()?.lines()) {
            return Err(refuse("its point is stored in compressed form, or the file in an unusual one"));
        }
        Ok(key)
    }

    /// The PEM file as `openssl ec -pubout` writes it.
    pub fn to_pem(&self) -> Result<String, Error> {
        match &self.key {
            Kind::P256(key) => key
                .to_public_key_pem(LineEnding::LF)
                .map_err(|_| Error::EcFormat { expected: "public key", why: "it cannot be encoded" }),
            Kind::Rsa(key) => Ok(key.to_pem()),
        }
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether this key made a signature block for a file with this schema and metadata digest. Blocks of other keys,
    /// versions and hashes do not match, which is no error.
    pub(crate) fn verify(&self, schema: [u8; 4], digest: &[u8; 64], block: &[u8]) -> bool {
        let Some((header, signature)) = block.split_at_checked(HEADER) else { return false };
        if header[..2] != [VERSION, SHA512] || header[2..] != self.id.0 {
            return false;
        }
        let message = message(schema, header, digest);
        let key = match &self.key {
            Kind::Rsa(key) => return key.verify(&message, signature),
            Kind::P256(key) => key,
        };
        let Ok(signature) = DerSignature::from_bytes(signature) else { return false };
        let Ok(signature) = Signature::try_from(signature) else { return false };
        key.verify_prehash(&Sha512::digest(message), &signature).is_ok()
    }
}

fn message(schema: [u8; 4], header: &[u8], digest: &[u8; 64]) -> Vec<u8> {
    [&schema[..], header, digest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = include_str!("../tests/golden/apk/test-only-a.pem");
    const PUBLIC: &str = include_str!("../tests/golden/apk/test-only-a.pub.pem");

    #[test]
    fn keys_survive_their_files() {
        let secret = SecretKey::parse(SECRET).unwrap();
        assert_eq!(secret.to_pem().unwrap(), SECRET);
        assert_eq!(secret.public(), PublicKey::parse(PUBLIC).unwrap());
        assert_eq!(secret.public().to_pem().unwrap(), PUBLIC);
        let new = SecretKey::from_random([7; 32]).unwrap();
        let again = SecretKey::parse(&new.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), new.public());
        assert_eq!(format!("{new:?}"), format!("SecretKey({}, private)", new.public().id()));
    }

    #[test]
    fn the_nonce_is_that_of_rfc_6979_with_sha_512() {
        // The vector of A.2.5 for SHA-512 and the message "sample".
        let key = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        let key: [u8; 32] = model::unhex(key).unwrap();
        let key = SecretKey::from_random(key).unwrap();
        let (signature, _) =
            sign_prehashed_rfc6979::<NistP256, Sha512>(&key.key.to_nonzero_scalar(), &Sha512::digest(b"sample"), &[]);
        let hex: String = Hex(&signature.to_bytes()).to_string();
        assert_eq!(
            hex,
            "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00\
             2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"
        );
    }

    #[test]
    fn a_signature_is_bound_to_key_schema_and_content() {
        let key = SecretKey::parse(SECRET).unwrap();
        let (this, other) = (digest(b"this"), digest(b"other"));
        let block = key.sign(*b"pckg", &this).unwrap();
        assert_eq!(block, key.sign(*b"pckg", &this).unwrap());
        let public = key.public();
        assert!(public.verify(*b"pckg", &this, &block));
        assert!(!public.verify(*b"indx", &this, &block));
        assert!(!public.verify(*b"pckg", &other, &block));
        assert!(!SecretKey::from_random([7; 32]).unwrap().public().verify(*b"pckg", &this, &block));
        for at in 0..block.len() {
            let mut changed = block.clone();
            changed[at] ^= 1;
            assert!(!public.verify(*b"pckg", &this, &changed), "byte {at}");
            assert!(!public.verify(*b"pckg", &this, &block[..at]), "cut at {at}");
        }
    }

    #[test]
    fn a_signature_of_an_rsa_key_is_checked() {
        let key = PublicKey::parse(include_str!("../tests/golden/apk/test-only-rsa.pub.pem")).unwrap();
        let file = include_bytes!("../tests/golden/apk/hello.signed-rsa.none.apk");
        let adb = crate::adb::Adb::read(&file[..], &crate::Limits::default()).unwrap();
        assert_eq!(adb.verify(std::slice::from_ref(&key)).unwrap(), key.id());
        let (this, block) = (digest(&adb.payload), &adb.signatures[0]);
        assert!(!key.verify(*b"indx", &this, block) && !key.verify(*b"pckg", &digest(b"other"), block));
        for at in [0, 2, HEADER, block.len() - 1] {
            let mut changed = block.clone();
            changed[at] ^= 1;
            assert!(!key.verify(*b"pckg", &this, &changed) && !key.verify(*b"pckg", &this, &block[..at]), "byte {at}");
        }
    }

    #[test]
    fn files_that_are_not_keys_are_refused() {
        let compressed = "-----BEGIN PUBLIC KEY-----\n\
            MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACvrhzXFOusuC7ooqrFtlv+roZpbw6b3uMN8eusUpNwFc=\n\
            -----END PUBLIC KEY-----\n";
        for text in ["", "key", SECRET, compressed] {
            assert_eq!(PublicKey::parse(text).unwrap_err().id(), "ECK001", "{text}");
        }
        for text in ["", "key", PUBLIC] {
            assert_eq!(SecretKey::parse(text).unwrap_err().id(), "ECK001", "{text}");
        }
        for random in [[0; 32], [0xff; 32]] {
            assert_eq!(SecretKey::from_random(random).unwrap_err().id(), "ECK001");
        }
    }
}
