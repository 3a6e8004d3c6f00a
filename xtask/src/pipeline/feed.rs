//! The signed feed of the packages, and copies of it that routers must refuse.

use camino::Utf8PathBuf;
use feeds::keys::Keys;
use feeds::{Kernel, Spoil};
use model::Result;

use super::job::Job;
use super::linted::linted;
use super::packages::Packages;
use super::stages::{FEED, SPOILED_FEED};
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// A signed feed and what a router needs to trust it.
pub(super) struct Feed {
    /// The stage's directory, with a folder for each package manager.
    pub(super) folder: Utf8PathBuf,
    /// Name in the package manager's configuration.
    pub(super) name: String,
    /// The keys that signed it.
    pub(super) keys: Keys,
    /// What is in it.
    pub(super) packages: Packages,
}

/// The signed feed of the packages.
pub(super) fn signed(ctx: &Ctx, job: &Job) -> Result<Feed> {
    let packages = linted(ctx, job)?;
    let config = job.feed();
    let keys = config.key_files(ctx).load_or_create()?;
    let kernel = Kernel::of_package(&packages.kernel_version);
    let public = keys.public_files()?;
    let signers = public.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", ");
    let inputs = Inputs::new(format!("{} packages, signed by {signers}", packages.arch))
        .stage("packages", &packages.folder)
        .text("keys", public.iter().map(|key| key.text.as_str()).collect::<String>());
    let inputs = packages.brought.iter().fold(inputs, |inputs, brought| inputs.stage("brought", &brought.folder));
    let folder = stage(ctx, &FEED, &inputs, |out| {
        let contents = feeds::assemble(&packages.files()?, &packages.arch, &kernel, &keys, out)?;
        let (ipk, apk) = (contents.opkg.len(), contents.apk.packages.len());
        Ok(format!("{ipk} ipk and {apk} apk packages, signed by {signers}"))
    })?;
    Ok(Feed { folder, name: config.name.clone(), keys, packages })
}

impl Feed {
    /// The kernel that its address names.
    pub(super) fn kernel(&self) -> Kernel {
        Kernel::of_package(&self.packages.kernel_version)
    }

    /// A copy that is spoiled in one way.
    pub(super) fn spoiled(&self, ctx: &Ctx, spoil: Spoil) -> Result<Utf8PathBuf> {
        let about = format!("to be refused: {spoil:?}");
        let inputs = Inputs::new(&about).stage("feed", &self.folder).text("spoil", format!("{spoil:?}"));
        stage(ctx, &SPOILED_FEED, &inputs, |out| {
            feeds::spoil(&self.folder, spoil, &self.packages.arch, &self.keys, out)?;
            Ok(about.clone())
        })
    }
}
