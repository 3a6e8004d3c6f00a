//! What comes out of a build: a package file, and what its metadata says.

use camino::Utf8PathBuf;
use formats::Format;
use model::Digest;

/// A package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPackage {
    /// Such as `kmod-nft-offload`.
    pub name: String,
    /// Such as `6.12.107-r1`.
    pub version: String,
    /// OpenWrt package architecture, or `all`, which apk calls `noarch`.
    pub arch: String,
    /// What kind of file it is.
    pub format: Format,
    /// Where it lies.
    pub file: Utf8PathBuf,
    /// Digest of the file.
    pub sha256: Digest,
    /// Bytes that it takes when installed, as its metadata says.
    pub installed_size: u64,
    /// A remark for people.
    pub note: Option<String>,
}
