//! ADB, the binary container of apk v3: a tree of values in one block, signatures, file data.
//!
//! ```text
//! file     "ADB." schema[4] block*          compressed as a whole, or not
//! block    u32 type << 30 | (4 + length), payload, zeros to a multiple of 8
//! order    one ADB block, any SIG blocks, any DATA blocks
//! ```
//!
//! All integers are little-endian. This module knows the container and the values; the tables in [`crate::apk`] give
//! them their meaning.

mod file;
mod read;
mod value;
mod write;

pub(crate) use file::BlockReader;
pub use file::{Adb, Compression, Schema, Writer};
pub(crate) use read::{Object, Tree};
pub(crate) use value::Value;
pub(crate) use write::Builder;
