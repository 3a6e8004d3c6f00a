//! The release's implementation of [`Provider`].

use std::collections::BTreeSet;

use model::{Arch, Digest, Result};

use super::super::bootable::Bootable;
use super::super::job::{Job, Origin, Provider};
use super::super::packages::Packages;
use super::super::{official, openwrt};
use super::Release;
use crate::doctor::{self, Need, Purpose};
use crate::stage::Inputs;
use crate::{Ctx, Outcome};

impl Provider for Release {
    fn origin(&self) -> Origin {
        Origin::Release
    }

    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>> {
        let programs = doctor::sdk_router_programs(&self.row.arch);
        let emulator = if purpose >= Purpose::Test { job.emulator()? } else { None };
        Ok(doctor::sdk_needs(self.row.host).into_iter().chain(programs).chain(emulator).collect())
    }

    fn release(&self) -> Option<&Release> {
        Some(self)
    }

    fn arch(&self) -> Arch {
        self.row.arch.clone()
    }

    fn kernel_line(&self) -> String {
        self.row.kernel_line.clone()
    }

    /// The published lists do not say which names packages provide, so missing dependencies cannot be found.
    fn image_packages(&self) -> Result<Option<BTreeSet<String>>> {
        Ok(None)
    }

    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages> {
        openwrt::packages(ctx, self, job.recipes(), job.own_feed())
    }

    fn goes_in(&self, ctx: &Ctx, inputs: Inputs) -> Result<Inputs> {
        let sdk = self.sdk(ctx)?;
        Ok(inputs.text("release", &self.row.release).text("sdk", format!("{} {}", sdk.0, sdk.1)))
    }

    fn row(&self, _job: &Job) -> [String; 3] {
        // Routers use the release's own name for the target.
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
