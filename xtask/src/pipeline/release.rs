//! The provider `release`: packages by the SDK of a release of OpenWrt, and its own image.

use model::{Digest, Result, Target};
use sdk::openwrt::{Lockfile, Role, Row};

use super::job::Job;
use super::provider::{Origin, Packages, Provider};
use super::router::Bootable;
use super::{official, openwrt};
use crate::cli::openwrt::OpenWrt;
use crate::doctor::{self, Need, Purpose};
use crate::stage::Inputs;
use crate::{Ctx, Outcome, upstream};

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

impl Provider for Release {
    fn origin(&self) -> Origin {
        Origin::Release
    }

    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>> {
        let programs = doctor::router_programs(&self.row.arch);
        let emulator = if purpose >= Purpose::Test { job.emulator()? } else { None };
        Ok(doctor::sdk_needs(self.row.host).into_iter().chain(programs).chain(emulator).collect())
    }

    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages> {
        openwrt::packages(ctx, self, job.recipes())
    }

    fn goes_in(&self, ctx: &Ctx, inputs: Inputs) -> Result<Inputs> {
        let sdk = self.sdk(ctx)?;
        Ok(inputs.text("release", &self.row.release).text("sdk", format!("{} {}", sdk.0, sdk.1)))
    }

    fn row(&self, _job: &Job) -> [String; 3] {
        // Routers call the target as their release does.
        [self.row.line.clone(), self.row.published.to_string(), self.row.release.0.clone()]
    }

    fn materials(&self, ctx: &Ctx) -> Result<Vec<(String, Digest)>> {
        Ok(vec![self.sdk(ctx)?])
    }

    fn image(&self, ctx: &Ctx, job: &Job) -> Result<Bootable> {
        official::image(ctx, self, job.machine()?)
    }

    fn compare(&self, ctx: &Ctx, packages: &Packages) -> Result<Outcome> {
        openwrt::compare(ctx, self, packages)
    }

    fn tell_costs(&self, _ctx: &Ctx, _job: &Job) -> Result<()> {
        Ok(())
    }
}
