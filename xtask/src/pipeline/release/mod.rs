//! The provider `release`: packages built with a release's SDK, and the release's own image.

mod provider;

use camino::Utf8PathBuf;
use formats::ec;
use model::{Digest, Result, Target};
use sdk::openwrt::{Lockfile, Offer, Published, Role, Row};

use crate::cli::openwrt::OpenWrt;
use crate::{Ctx, upstream};

/// A release for a target.
pub(super) struct Release {
    pub(super) row: Row,
    /// The release's source and lock.
    pub(super) wanted: OpenWrt,
}

impl Release {
    /// The release with this name in the matrix.
    pub(super) fn new(ctx: &Ctx, name: &str, target: &Target, wanted: OpenWrt) -> Result<Self> {
        Ok(Release { row: upstream::matrix(ctx)?.row(name, &target.to_string())?, wanted })
    }
}

impl Release {
    /// The packages that it publishes, as locked or as on the mirror; `trusted` are the keys of apk in its image.
    pub(super) fn published(&self, ctx: &Ctx, trusted: &[ec::PublicKey]) -> Result<Published> {
        let upstream = upstream::upstream(ctx, &self.wanted.source)?;
        if !self.wanted.locked {
            return upstream.published(&self.row, &upstream.resolve(&self.row)?, None, trusted);
        }
        let lock = Lockfile::load(&upstream::lock_path(ctx))?;
        upstream.published(&self.row, lock.get(&self.row)?, Some(&lock), trusted)
    }

    /// The files of some of them.
    pub(super) fn fetch_offers(&self, ctx: &Ctx, offers: &[&Offer]) -> Result<Vec<Utf8PathBuf>> {
        upstream::upstream(ctx, &self.wanted.source)?.fetch_offers(&self.row, offers)
    }

    /// The SDK's archive as named in the signed list, or in the lock.
    fn sdk(&self, ctx: &Ctx) -> Result<(String, Digest)> {
        let resolved = match self.wanted.locked {
            true => Lockfile::load(&upstream::lock_path(ctx))?.get(&self.row)?.clone(),
            false => upstream::upstream(ctx, &self.wanted.source)?.resolve(&self.row)?,
        };
        let sdk = resolved.require(Role::Sdk)?;
        Ok((format!("https://downloads.openwrt.org/{}", sdk.path), sdk.sha256))
    }
}
