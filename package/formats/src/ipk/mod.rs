//! The ipk package: a gzipped tar of `debian-binary`, `data.tar.gz` and `control.tar.gz`.
//!
//! [`write()`] makes one from a plan, as OpenWrt's `ipkg-build` does; [`read()`], [`inspect`] and [`visit`] read one.
//! Packages carry no signature: check the file's digest against a signed index first.

mod read;
mod write;

pub use read::{ControlFile, Ipk, Metadata, inspect, read, visit};
pub use write::{file_name, to_vec, write, write_with_scratch};

/// Members of the outer archive.
const FORMAT: &str = "debian-binary";
const DATA: &str = "data.tar.gz";
const CONTROL: &str = "control.tar.gz";
/// Content of [`FORMAT`].
const FORMAT_VERSION: &[u8] = b"2.0\n";
