//! A job as a row of a published tree: its inputs, determined without building, and its packages.

use camino::Utf8PathBuf;
use formats::Format;
use model::{Arch, Digest, Result};

use super::job::Job;
use super::linted::linted;
use crate::Ctx;
use crate::stage::{By, Inputs, Stage, key};

/// Not a stage of the cache, because the result is in the published tree.
const ROW: Stage = Stage { name: "row", by: By::Crates(&["sdk"]) };

/// The packages of a row.
pub struct RowPackages {
    /// Version of the package `kernel`.
    pub kernel_version: String,
    /// Architecture of the packages.
    pub arch: Arch,
    /// The package files.
    pub files: Vec<Utf8PathBuf>,
    /// The inputs that they were built from: the origin of each file, and its digest.
    pub materials: Vec<(String, Digest)>,
}

/// A digest of all inputs of a row's packages. Nothing is built; for a release, its signed list is read.
///
/// # Errors
/// Those of the release's list, and of sources that cannot be read.
pub fn row_inputs(ctx: &Ctx, job: &Job) -> Result<String> {
    let formats = job.formats.iter().map(Format::to_string).collect::<Vec<_>>().join(" ");
    let mut inputs = Inputs::new("a row")
        .text("target", job.target())
        .text("formats", formats)
        .text("epoch", std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default())
        .path("makefiles", ctx.root.join("package/feed"));
    for folder in &ctx.recipes {
        inputs = inputs.path("recipes", folder);
    }
    if let Some(own) = job.own_feed() {
        inputs = inputs.text("feed", own.digest()?);
    }
    let workspace = ctx.workspace()?;
    for program in job.recipes().programs.values() {
        inputs = inputs.text("program", workspace.package(&program.cargo.package)?);
    }
    key(ctx, &ROW, &job.provider.goes_in(ctx, inputs)?)
}

/// The packages of a row, if the lint finds no error in them.
///
/// # Errors
/// Whatever prevents them from being built.
pub fn row_packages(ctx: &Ctx, job: &Job) -> Result<RowPackages> {
    let packages = linted(ctx, job)?;
    Ok(RowPackages {
        files: packages.files()?,
        materials: job.provider.materials(ctx)?,
        kernel_version: packages.kernel_version,
        arch: packages.arch,
    })
}
