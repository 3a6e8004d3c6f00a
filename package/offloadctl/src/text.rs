//! Numbers, addresses and columns, appended to bytes that are used again for each line.
//!
//! A list of 100,000 flows is why these exist: through `format!` its lines took three times as many instructions as reading
//! the flows did.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Appends a number.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        return out.push(b'0' + lowest_byte(number));
    }
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut put = |digit: u8| {
        first -= 1;
        digits[first] = b'0' + digit;
    };
    // Small processors divide 32 bits in one instruction and 64 bits in a long function.
    let mut large = number;
    let mut small = loop {
        if let Ok(small) = u32::try_from(large) {
            break small;
        }
        put(lowest_byte(large % 10));
        large /= 10;
    };
    loop {
        put(lowest_byte((small % 10).into()));
        small /= 10;
        if small == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn lowest_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// Appends an address, IPv6 as RFC 5952 wants it.
pub fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => dotted(out, address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => {
                out.extend_from_slice(b"::ffff:");
                dotted(out, mapped);
            }
            None => colons(out, address),
        },
    }
}

/// Appends address and port as they are written in a URL; a question mark where there is no address.
pub fn endpoint(out: &mut Vec<u8>, host: Option<IpAddr>, port: Option<u16>) {
    match (host, port) {
        (Some(host @ IpAddr::V6(_)), Some(port)) => {
            out.push(b'[');
            address(out, host);
            out.extend_from_slice(b"]:");
            decimal(out, port.into());
        }
        (Some(host), Some(port)) => {
            address(out, host);
            out.push(b':');
            decimal(out, port.into());
        }
        (Some(host), None) => address(out, host),
        (None, _) => out.push(b'?'),
    }
}

/// Appends what `write` appends and a space, filled with spaces on its right up to `width`.
pub fn left(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    out.resize(out.len().max(start + width) + 1, b' ');
}

/// Appends what `write` appends, filled with spaces on its left up to `width`.
pub fn right(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let end = out.len();
    let missing = (start + width).saturating_sub(end);
    out.resize(end + missing, b' ');
    out.copy_within(start..end, start + missing);
    out[start..start + missing].fill(b' ');
}

/// What `write` appends, on its own.
pub fn string(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn dotted(out: &mut Vec<u8>, address: Ipv4Addr) {
    let mut text = [0; "255.255.255.255.".len()];
    let mut end = 0;
    let mut put = |byte: u8| {
        text[end] = byte;
        end += 1;
    };
    for byte in address.octets() {
        if byte >= 100 {
            put(b'0' + byte / 100);
        }
        if byte >= 10 {
            put(b'0' + byte / 10 % 10);
        }
        put(b'0' + byte % 10);
        put(b'.');
    }
    out.extend_from_slice(&text[..end - 1]);
}

fn colons(out: &mut Vec<u8>, address: Ipv6Addr) {
    let groups = address.segments();
    let zeros = zeros(&groups);
    for (place, group) in groups.into_iter().enumerate() {
        if place == zeros.start && !zeros.is_empty() {
            out.extend_from_slice(b"::");
        }
        if zeros.contains(&place) {
            continue;
        }
        if place != 0 && place != zeros.end {
            out.push(b':');
        }
        hexadecimal(out, group);
    }
}

/// The longest run of at least two groups that are zero, and of equal ones the first.
fn zeros(groups: &[u16; 8]) -> std::ops::Range<usize> {
    let mut longest = 0..0;
    let mut start = 0;
    for (place, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = place + 1;
        } else if place + 1 - start > longest.len().max(1) {
            longest = start..place + 1;
        }
    }
    longest
}

fn hexadecimal(out: &mut Vec<u8>, group: u16) {
    let digits = [group >> 12, group >> 8 & 15, group >> 4 & 15, group & 15];
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len() - 1);
    out.extend(digits[first..].iter().map(|digit| b"0123456789abcdef"[usize::from(*digit)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off("before".len())
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let edge = u64::from(u32::MAX);
        for number in [0, 9, 10, 99, 100, 12_345, edge, edge + 1, edge * 10, u64::MAX] {
            assert_eq!(text(|out| decimal(out, number)), number.to_string());
        }
    }

    #[test]
    fn endpoints_are_those_of_a_url() {
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 1, 0, 0, 0x10]);
        let v4 = IpAddr::from([192, 0, 2, 1]);
        for (host, port, expected) in [
            (Some(v6), Some(443), "[2001:db8::1:0:0:10]:443"),
            (Some(v6), None, "2001:db8::1:0:0:10"),
            (Some(v4), Some(0), "192.0.2.1:0"),
            (Some(v4), None, "192.0.2.1"),
            (None, Some(1), "?"),
        ] {
            assert_eq!(text(|out| endpoint(out, host, port)), expected);
        }
    }

    proptest! {
        #[test]
        fn addresses_are_those_of_the_standard_library(
            // Many zeros, as they are what is shortened.
            groups in any::<[u16; 8]>(), zero in any::<[bool; 8]>(), v4 in any::<[u8; 4]>()
        ) {
            let mut groups = groups;
            groups.iter_mut().zip(zero).filter(|(_, zero)| *zero).for_each(|(group, _)| *group = 0);
            let v4 = Ipv4Addr::from(v4);
            for host in [IpAddr::from(groups), v4.into(), v4.to_ipv6_mapped().into()] {
                prop_assert_eq!(text(|out| address(out, host)), host.to_string());
            }
        }

        #[test]
        fn numbers_of_any_size(number in any::<u64>(), shift in 0..64_u32) {
            prop_assert_eq!(text(|out| decimal(out, number >> shift)), (number >> shift).to_string());
        }

        #[test]
        fn columns_are_those_of_the_standard_library(word in "[a-z]{0,12}", width in 0..10_usize) {
            let write = |out: &mut Vec<u8>| out.extend_from_slice(word.as_bytes());
            prop_assert_eq!(text(|out| left(out, width, write)), format!("{word:<width$} "));
            prop_assert_eq!(text(|out| right(out, width, write)), format!("{word:>width$}"));
        }
    }
}
