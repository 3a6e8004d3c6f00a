//! Flags that are about OpenWrt's releases: which, from where, and trusted by whom.

use camino::Utf8PathBuf;
use clap::Args;

/// Where releases come from.
#[derive(Debug, Clone, Default, Args)]
pub struct Source {
    /// Mirror of OpenWrt, a URL or a directory [default: https://downloads.openwrt.org].
    #[arg(long, value_name = "URL|DIR", env = "OPENWRT_OFFLOAD_MIRROR")]
    pub mirror: Option<String>,
    /// Public usign key that may sign the mirror's lists, besides those in feeds/openwrt-keys; may be repeated.
    #[arg(long = "release-key", value_name = "FILE", env = "OPENWRT_OFFLOAD_RELEASE_KEY")]
    pub release_keys: Vec<Utf8PathBuf>,
}

/// A release of OpenWrt in place of the stand-in.
#[derive(Debug, Clone, Default, Args)]
pub struct OpenWrt {
    /// Release of OpenWrt, such as 25.12.5, or its line, such as 24.10; `plan` shows them [default: the stand-in SDK].
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Use the files that openwrt.lock names, and no others.
    #[arg(long, requires = "release")]
    pub locked: bool,
    /// Where it comes from.
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
    /// Which rows [default: all].
    #[command(flatten)]
    pub rows: Rows,
    /// As JSON, a matrix of matrices: one may have 256 jobs at most, so that each part has no more.
    #[arg(long)]
    pub parts: bool,
}

/// `lock`
#[derive(Debug, Clone, Default, Args)]
pub struct LockArgs {
    /// Which rows [default: every release that is no snapshot; with --check, what is locked].
    #[command(flatten)]
    pub rows: Rows,
    /// Change nothing; say how the lock differs from the mirror, and fail if it does.
    #[arg(long)]
    pub check: bool,
    /// Lock anew even where a release's files are others than were locked; find out first who changed them.
    #[arg(long, conflicts_with = "check")]
    pub accept_changed: bool,
    /// Where releases come from.
    #[command(flatten)]
    pub source: Source,
}
