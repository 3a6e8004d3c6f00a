//! Verifies RSA signatures, PKCS #1 version 1.5 over SHA-512: published feeds have such keys besides those on P-256.
//!
//! All inputs are public, so nothing needs constant time, and the arithmetic is the simplest.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha512};

/// The smallest and largest modulus, in bits. Smaller ones are no longer secure.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// `SEQUENCE { OBJECT rsaEncryption, NULL }`
const ALGORITHM: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// The bytes before the digest in a signature: they encode its length, and that it is SHA-512.
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// DER of `RSAPublicKey`, whose digest is apk's key id.
    pub(crate) der: Vec<u8>,
    modulus: Number,
    exponent: u32,
}

impl PublicKey {
    /// Reads a PEM file with a key as OpenSSL writes it (`BEGIN PUBLIC KEY`); `None` for anything else.
    pub(crate) fn parse(pem: &str) -> Option<PublicKey> {
        let text: String = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let (info, rest) = element(&bytes, 0x30)?;
        let key = info.strip_prefix(&ALGORITHM)?;
        let (bits, after) = element(key, 0x03)?;
        // The number of unused bits in the last byte must be 0.
        let der = bits.strip_prefix(&[0])?;
        let (fields, behind) = element(der, 0x30)?;
        let (modulus, fields) = element(fields, 0x02)?;
        let (exponent, fields) = element(fields, 0x02)?;
        if !rest.is_empty() || !after.is_empty() || !behind.is_empty() || !fields.is_empty() || exponent.len() > 4 {
            return None;
        }
        let exponent = exponent.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte));
        let modulus = Number::from_bytes(modulus);
        let is_good = BITS.contains(&modulus.bits()) && modulus.is_odd() && exponent > 2 && exponent % 2 == 1;
        is_good.then(|| PublicKey { der: der.to_vec(), modulus, exponent })
    }

    /// The PEM file that [`PublicKey::parse`] reads.
    pub(crate) fn to_pem(&self) -> String {
        let bits = [&[0][..], &self.der].concat();
        let info = [&ALGORITHM[..], &encoded(0x03, &bits)].concat();
        let text = BASE64_STANDARD.encode(encoded(0x30, &info));
        let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
        format!("{BEGIN}\n{}{END}\n", lines.collect::<String>())
    }

    /// Whether this key signed the message.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let length = self.modulus.bits().div_ceil(8);
        let number = Number::from_bytes(signature);
        if signature.len() != length || !number.is_less(&self.modulus) {
            return false;
        }
        let digest = Sha512::digest(message);
        let padding = vec![0xff; length - 3 - DIGEST_INFO.len() - digest.len()];
        let expected = [&[0, 1][..], &padding, &[0], &DIGEST_INFO, digest.as_slice()].concat();
        number.power(self.exponent, &self.modulus).to_bytes(length) == expected
    }
}

/// The content of the first DER element, which must have this tag, and the bytes after it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let head = match (length < 0x80, u8::try_from(used.len())) {
        (false, Ok(count)) => [&[tag, 0x80 | count][..], used].concat(),
        _ => vec![tag, used.first().copied().unwrap_or(0)],
    };
    [&head[..], content].concat()
}

/// A natural number: least significant part first, without zeros at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number(Vec<u32>);

impl Number {
    fn from_bytes(bytes: &[u8]) -> Number {
        let part = |part: &[u8]| part.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte));
        Number(bytes.rchunks(4).map(part).collect()).trimmed()
    }

    fn to_bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|part| part.to_le_bytes()).collect();
        bytes.resize(length, 0);
        bytes.reverse();
        bytes
    }

    fn trimmed(mut self) -> Number {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |last| self.0.len() * 32 - last.leading_zeros() as usize)
    }

    fn bit(&self, at: usize) -> bool {
        self.0.get(at / 32).is_some_and(|part| part >> (at % 32) & 1 == 1)
    }

    fn is_odd(&self) -> bool {
        self.bit(0)
    }

    fn is_less(&self, other: &Number) -> bool {
        let key = |number: &Number| (number.0.len(), number.0.iter().rev().copied().collect::<Vec<_>>());
        key(self) < key(other)
    }

    /// The sum of two numbers below the modulus, modulo it.
    fn plus(&self, other: &Number, modulus: &Number) -> Number {
        let mut sum = Vec::with_capacity(modulus.0.len() + 1);
        let mut carry = 0_u64;
        for at in 0..self.0.len().max(other.0.len()) + 1 {
            let part = |number: &Number| u64::from(number.0.get(at).copied().unwrap_or(0));
            carry += part(self) + part(other);
            let [low, high] = halves(carry);
            sum.push(low);
            carry = u64::from(high);
        }
        let sum = Number(sum).trimmed();
        if sum.is_less(modulus) { sum } else { sum.minus(modulus) }
    }

    /// The difference; `other` must not be larger.
    fn minus(&self, other: &Number) -> Number {
        let mut borrow = false;
        let part = |(at, &part): (usize, &u32)| {
            let (value, first) = part.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (value, second) = value.overflowing_sub(u32::from(borrow));
            borrow = first || second;
            value
        };
        Number(self.0.iter().enumerate().map(part).collect()).trimmed()
    }

    /// The product modulo the modulus, by doubling and adding bit by bit.
    fn times(&self, other: &Number, modulus: &Number) -> Number {
        let mut product = Number(Vec::new());
        for at in (0..self.bits()).rev() {
            product = product.plus(&product, modulus);
            if self.bit(at) {
                product = product.plus(other, modulus);
            }
        }
        product
    }

    fn power(&self, exponent: u32, modulus: &Number) -> Number {
        let mut power = Number(vec![1]);
        for at in (0..32 - exponent.leading_zeros()).rev() {
            power = power.times(&power, modulus);
            if exponent >> at & 1 == 1 {
                power = power.times(self, modulus);
            }
        }
        power
    }
}

/// The low and the high half of a number.
fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEM: &str = include_str!("../tests/golden/apk/test-only-rsa.pub.pem");

    #[test]
    fn a_key_survives_its_file_and_others_are_none() {
        let key = PublicKey::parse(PEM).unwrap();
        assert_eq!(key.to_pem(), PEM);
        assert!(BITS.contains(&key.modulus.bits()) && key.exponent == 65537);
        let short = PEM.lines().take(3).chain([END]).collect::<Vec<_>>().join("\n");
        let point = include_str!("../tests/golden/apk/test-only-a.pub.pem");
        for text in ["", "key", BEGIN, point, &short] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_arithmetic_is_that_of_numbers(a in 0_u64.., b in 0_u64.., n in 2_u64.., e in 1_u32..70_000) {
            let number = |value: u64| Number::from_bytes(&value.to_be_bytes());
            let modulus = number(n);
            let value = |number: Number| u64::from_be_bytes(number.to_bytes(8).try_into().unwrap());
            let times = |a: u64, b: u64| u64::try_from(u128::from(a) * u128::from(b) % u128::from(n)).unwrap();
            let (a, b) = (a % n, b % n);
            prop_assert_eq!(value(number(a).times(&number(b), &modulus)), times(a, b));
            let mut power = 1 % n;
            for at in (0..32).rev() {
                power = times(power, power);
                if e >> at & 1 == 1 {
                    power = times(power, a);
                }
            }
            prop_assert_eq!(value(number(a).power(e, &modulus)), power);
        }

        #[test]
        fn no_file_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let text = format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(&bytes));
            let _ = PublicKey::parse(&text);
            let _ = element(&bytes, 0x30);
        }
    }
}
