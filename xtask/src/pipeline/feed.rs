//! The signed feed of the packages, and spoiled copies that routers must refuse.

use camino::{Utf8Path, Utf8PathBuf};
use feeds::keys::Keys;
use feeds::{Kernel, Spoil};
use model::Result;

use super::job::Job;
use super::linted::linted;
use super::packages::{Copies, Packages};
use super::stages::{FEED, SPOILED_FEED};
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// A signed feed, and what a router needs to trust it.
pub(super) struct Feed {
    /// The stage's folder, with a folder for each package manager.
    pub(super) folder: Utf8PathBuf,
    /// Name of the feed in the package manager's configuration.
    pub(super) name: String,
    /// The keys that signed it.
    pub(super) keys: Keys,
    /// The packages in it.
    pub(super) packages: Packages,
}

/// The signed feed of the packages.
pub(super) fn signed(ctx: &Ctx, job: &Job) -> Result<Feed> {
    let packages = linted(ctx, job)?;
    let config = job.feed();
    let keys = config.key_files(ctx).load_or_create()?;
    let folder = assembled(ctx, &packages, &keys, None)?;
    Ok(Feed { folder, name: config.name.clone(), keys, packages })
}

/// The folder of a feed with these packages, and with those of a release beside them.
fn assembled(ctx: &Ctx, packages: &Packages, keys: &Keys, beside: Option<&Copies>) -> Result<Utf8PathBuf> {
    let kernel = Kernel::of_package(&packages.kernel_version);
    let public = keys.public_files()?;
    let signers = public.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", ");
    let inputs = Inputs::new(format!("{} packages, signed by {signers}", packages.arch))
        .stage("packages", &packages.folder)
        .text("keys", public.iter().map(|key| key.text.as_str()).collect::<String>());
    let inputs = packages.brought.iter().fold(inputs, |inputs, brought| inputs.stage("brought", &brought.folder));
    let inputs = beside.iter().fold(inputs, |inputs, beside| inputs.stage("borrowed", &beside.folder));
    stage(ctx, &FEED, &inputs, |out| {
        let mut files = packages.files()?;
        files.extend(beside.iter().flat_map(|beside| &beside.files).map(|(copy, _origin)| copy.clone()));
        let contents = feeds::assemble(&files, &packages.arch, &kernel, keys, out)?;
        let (ipk, apk) = (contents.opkg.len(), contents.apk.packages.len());
        Ok(format!("{ipk} ipk and {apk} apk packages, signed by {signers}"))
    })
}

impl Feed {
    /// The kernel in its address.
    pub(super) fn kernel(&self) -> Kernel {
        Kernel::of_package(&self.packages.kernel_version)
    }

    /// The folder that the lab serves: the feed, and the release's packages that it needs.
    pub(super) fn with(&self, ctx: &Ctx, beside: Option<&Copies>) -> Result<Utf8PathBuf> {
        match beside {
            None => Ok(self.folder.clone()),
            beside => assembled(ctx, &self.packages, &self.keys, beside),
        }
    }

    /// A copy of a folder of this feed that is spoiled in one way.
    pub(super) fn spoiled(&self, ctx: &Ctx, folder: &Utf8Path, spoil: Spoil) -> Result<Utf8PathBuf> {
        let about = format!("to be refused: {spoil:?}");
        let inputs = Inputs::new(&about).stage("feed", folder).text("spoil", format!("{spoil:?}"));
        stage(ctx, &SPOILED_FEED, &inputs, |out| {
            feeds::spoil(folder, spoil, &self.packages.arch, &self.keys, out)?;
            Ok(about.clone())
        })
    }
}
