//! Bytes as hex digits.

use std::fmt;

/// Prints bytes as lower-case hex digits, two for each.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads exactly `N` bytes from hex digits of either case; `None` for any other text.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_and_read_again() {
        assert_eq!(Hex(&[0, 0x1f, 0xa0]).to_string(), "001fa0");
        assert_eq!(unhex("001FA0"), Some([0, 0x1f, 0xa0]));
        for bad in ["", "00", "001fa", "001fa00", "001fg0", "+01fa0", "00é0"] {
            assert_eq!(unhex::<3>(bad), None, "{bad:?}");
        }
    }
}
