//! How much a reader may take from foreign bytes.

/// Bytes of paths that a reader remembers for one archive; long paths compress too well to go by the
/// number of members alone.
pub(crate) const MOST_PATH_BYTES: usize = 64 << 20;

/// Bounds for every reader: what lies beyond them is refused, never cut off silently.
///
/// The defaults are far above any package that OpenWrt ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one compressed stream may unpack to.
    pub unpacked: u64,
    /// Members of one archive.
    pub entries: usize,
    /// Bytes of one control file or maintainer script.
    pub control: u64,
    /// Bytes of an index.
    pub index: u64,
    /// Whether device nodes and fifos may be in a payload.
    pub devices: bool,
    /// Whether lines of `conffiles` that name no path are kept apart for the reader to judge, and refuse nothing.
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
