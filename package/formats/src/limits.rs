//! Limits for readers of untrusted bytes.

/// Bytes of paths that a reader keeps for one archive; long paths compress so well that a limit on the number of
/// members is not enough.
pub(crate) const MOST_PATH_BYTES: usize = 64 << 20;

/// Limits for every reader: what exceeds them is refused, never silently cut off.
///
/// The defaults are far above any package that OpenWrt ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes to which one compressed stream may decompress.
    pub unpacked: u64,
    /// Members in one archive.
    pub entries: usize,
    /// Bytes in one control file or maintainer script.
    pub control: u64,
    /// Bytes in an index.
    pub index: u64,
    /// Whether a payload may have device nodes and fifos.
    pub devices: bool,
    /// Whether lines of `conffiles` that are not a path are reported separately, and not refused.
    pub odd_conffiles: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            unpacked: 2 << 30,
            entries: 100_000,
            control: 1 << 20,
            index: 64 << 20,
            devices: false,
            odd_conffiles: false,
        }
    }
}
