//! Flags that are about OpenWrt's releases: which, from where, and trusted by whom.

use camino::Utf8PathBuf;
use clap::Args;

/// Where releases come from.
#[derive(Debug, Clone, Default, Args)]
pub struct Source {
    /// Mirror of OpenWrt, a URL or a directory [default: https://downloads.openwrt.org].
    #[arg(long, value_name = "URL|DIR", env = "OPENWRT_OFFLOAD_MIRROR")]
    pub mirror: Option<String>,
    /// Public key that may sign the mirror's lists (usign), besides those in feeds/openwrt-keys, or its apk indexes (PEM); may
    /// be repeated.
    #[arg(long = "release-key", value_name = "FILE", env = "OPENWRT_OFFLOAD_RELEASE_KEY")]
    pub release_keys: Vec<Utf8PathBuf>,
}

/// A release of OpenWrt instead of the stand-in.
#[derive(Debug, Clone, Default, Args)]
pub struct OpenWrt {
    /// Release of OpenWrt, such as 25.12.5, or its line, such as 24.10; `plan` shows them [default: the stand-in SDK].
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Use only the files that openwrt.lock names.
    #[arg(long, requires = "release")]
    pub locked: bool,
    /// Where the release comes from.
    #[command(flatten)]
    pub source: Source,
}

/// Rows of the matrix.
#[derive(Debug, Clone, Default, Args)]
pub struct Rows {
    /// Release of OpenWrt, its line, or `all`; may be repeated.
    #[arg(long = "release", value_name = "RELEASE", value_delimiter = ',')]
    pub releases: Vec<String>,
    /// OpenWrt target/subtarget, or `all`; may be repeated.
    #[arg(long = "target", value_name = "TARGET", value_delimiter = ',')]
    pub targets: Vec<String>,
}

/// `plan`
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// The rows [default: all].
    #[command(flatten)]
    pub rows: Rows,
    /// As JSON, a matrix of matrices: GitHub allows at most 256 jobs in one.
    #[arg(long)]
    pub parts: bool,
}

/// `lock`
#[derive(Debug, Clone, Default, Args)]
pub struct LockArgs {
    /// The rows [default: every release that is no snapshot; with --check, those that are locked].
    #[command(flatten)]
    pub rows: Rows,
    /// Change nothing; show how the lock differs from the mirror, and fail if it does.
    #[arg(long)]
    pub check: bool,
    /// Replace point releases in feeds/matrix.yaml by newer ones that the mirror has.
    #[arg(long, conflicts_with = "check")]
    pub newest: bool,
    /// Lock a release again even if its files differ from the locked ones; find out first who changed them.
    #[arg(long, conflicts_with = "check")]
    pub accept_changed: bool,
    /// Where releases come from.
    #[command(flatten)]
    pub source: Source,
}
