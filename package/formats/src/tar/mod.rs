//! The GNU tar archives in an ipk package.
//!
//! [`Writer`] makes what `tar --format=gnu --numeric-owner --sort=name` makes of the same entries. [`Reader`] accepts
//! any GNU or ustar archive that stays within what opkg understands, and refuses the rest: opkg itself checks no paths,
//! no duplicates and hardly any numbers.

mod header;
mod read;
mod write;

pub use read::{Member, Reader};
pub use write::Writer;

/// Size of a header; content is padded to a multiple of it.
const BLOCK: usize = 512;
/// Archives are padded to a multiple of this (GNU tar's blocking factor 20).
const RECORD: u64 = 20 * BLOCK as u64;
/// The longest path or link target that is read or written; it is also the kernel's limit.
const LONGEST_NAME: usize = 4096;

/// What is wrong with a path relative to the root, if anything.
///
/// A valid path has one spelling: components that are neither empty, `.` nor `..`, joined by `/`, without control
/// characters.
pub fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() >= LONGEST_NAME {
        return Some("it is too long");
    }
    if path.chars().any(char::is_control) {
        return Some("it has control characters");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it is absolute, ends in a slash or has a double slash"),
        "." => Some("it has a component '.'"),
        ".." => Some("it has a component '..', which leads out of its directory"),
        _ if component.len() > 255 => Some("a component is longer than 255 bytes"),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
