//! The result of a build: a package file and its metadata.

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
    /// Format of the file.
    pub format: Format,
    /// Path of the file.
    pub file: Utf8PathBuf,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Installed size in bytes, from its metadata.
    pub installed_size: u64,
    /// A remark for the user.
    pub note: Option<String>,
}
