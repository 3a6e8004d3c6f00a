//! Where kernel, packages and image come from: one answer for each question, from the stand-in or from a release.

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Digest, Failure, Result};

use super::job::Job;
use super::router::Bootable;
use crate::doctor::{Need, Purpose};
use crate::lint::Allowed;
use crate::stage::Inputs;
use crate::{Ctx, Outcome};

pub(super) use vm::guest::Origin;

/// The stand-in, made of Debian's packages, or a release of OpenWrt.
pub(super) trait Provider: Send + Sync {
    /// What routers of it are.
    fn origin(&self) -> Origin;

    /// What it needs on this host.
    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>>;

    /// Every recipe as a checked package.
    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages>;

    /// Everything that goes into the packages, told without making them; the recipes are the caller's.
    fn goes_in(&self, ctx: &Ctx, inputs: Inputs) -> Result<Inputs>;

    /// What its packages are published as: line, target and release.
    fn row(&self, job: &Job) -> [String; 3];

    /// What the packages were made from: where it is from, and the digest of its file.
    fn materials(&self, ctx: &Ctx) -> Result<Vec<(String, Digest)>>;

    /// What is booted.
    fn image(&self, ctx: &Ctx, job: &Job) -> Result<Bootable>;

    /// Compares packages with what is published of it; differences are listed by file.
    fn compare(&self, ctx: &Ctx, packages: &Packages) -> Result<Outcome>;

    /// Tells what is known about the cost of forwarding from earlier runs.
    fn tell_costs(&self, ctx: &Ctx, job: &Job) -> Result<()>;
}

/// Checked packages.
pub(super) struct Packages {
    /// The stage's directory.
    pub(super) folder: Utf8PathBuf,
    /// The stage that they were made from: the stand-in's kernel, or OpenWrt's SDK.
    pub(super) kernel: Utf8PathBuf,
    /// The version of the package `kernel` that they depend on.
    pub(super) kernel_version: String,
    /// What they are for.
    pub(super) arch: Arch,
    /// Breaches of the lint's rules that nobody here can mend.
    pub(super) allowed: Vec<Allowed>,
}

impl Packages {
    /// The package files of every format.
    pub(super) fn files(&self) -> Result<Vec<Utf8PathBuf>> {
        package_files(&self.folder)
    }
}

/// The package files of a folder, of any format: sorted within each.
pub(super) fn package_files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let files = Format::ALL.map(|format| files(folder, &format!(".{format}")));
    Ok(files.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Files of a folder with an ending, sorted.
pub(super) fn files(folder: &Utf8Path, ending: &str) -> Result<Vec<Utf8PathBuf>> {
    let io = |error: std::io::Error| Failure::io("list the folder", folder, &error);
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(io)? {
        let path = entry.map_err(io)?.into_path();
        if path.as_str().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
