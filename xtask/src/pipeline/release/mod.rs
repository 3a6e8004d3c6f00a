//! The provider `release`: packages by the SDK of a release of OpenWrt, and its own image.

mod provider;

use model::{Digest, Result, Target};
use sdk::openwrt::{Lockfile, Role, Row};

use crate::cli::openwrt::OpenWrt;
use crate::{Ctx, upstream};

/// A release for a target.
pub(super) struct Release {
    pub(super) row: Row,
    /// Where it comes from.
    pub(super) wanted: OpenWrt,
}

impl Release {
    /// The row of the matrix that is called so.
    pub(super) fn new(ctx: &Ctx, name: &str, target: &Target, wanted: OpenWrt) -> Result<Self> {
        Ok(Release { row: upstream::matrix(ctx)?.row(name, &target.to_string())?, wanted })
    }
}

impl Release {
    /// The SDK's archive as the signed list names it, or the lock.
    fn sdk(&self, ctx: &Ctx) -> Result<(String, Digest)> {
        let resolved = match self.wanted.locked {
            true => Lockfile::load(&upstream::lock_path(ctx))?.get(&self.row)?.clone(),
            false => upstream::upstream(ctx, &self.wanted.source)?.resolve(&self.row)?,
        };
        let sdk = resolved.require(Role::Sdk)?;
        Ok((format!("https://downloads.openwrt.org/{}", sdk.path), sdk.sha256))
    }
}
