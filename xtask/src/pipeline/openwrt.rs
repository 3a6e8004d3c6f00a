//! The provider `openwrt`: packages made by the SDK of a release.
//!
//! ```text
//! mirror ─ verified archive ─> sdk ─┬─> packages ─> lint ─> feed
//! sources ─ cargo ─> programs ──────┘       └ compare with what the release published
//! ```
//!
//! The stage `sdk` is unlike others: what it holds is worked in, since OpenWrt's build cannot be moved. All
//! work trees share it, so whoever runs the SDK's programs holds the stage's lock.

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Event, Exit, Failure, Finding, KernelId, Result, Severity, Target};
use sdk::Recipes;
use sdk::openwrt::drive::{self, Expected, Literals, Patience, Program, Tree};
use sdk::openwrt::{Artifact, Lockfile, Resolved, Role, Row};

use super::provider::{self, Packages};
use super::stages::{PACKAGES, ROUTER_PROGRAMS, SDK};
use crate::cli::Selection;
use crate::cli::openwrt::OpenWrt;
use crate::stage::{Inputs, Workspace, lock, stage};
use crate::{Ctx, Outcome, upstream};

/// The row of the matrix that is selected.
fn row(ctx: &Ctx, release: &str, target: &Target) -> Result<Row> {
    upstream::matrix(ctx)?.row(release, &target.to_string())
}

/// Every kmod of the recipes, with what it needs, and every program, checked.
pub(super) fn packages(ctx: &Ctx, release: &str, target: &Target, wanted: &OpenWrt) -> Result<Packages> {
    let row = row(ctx, release, target)?;
    let (resolved, files) = upstream::obtain(ctx, wanted, &row, &[Role::Sdk])?;
    let archive = files.first().cloned().unwrap_or_default();
    let sdk = unpacked(ctx, &resolved, &archive)?;
    let recipes = Recipes::load(&ctx.recipes)?;
    let programs = programs(ctx, &recipes, &resolved.arch)?;
    let tree = Tree::open(&sdk)?;
    let expected = Expected {
        kernel: resolved.kernel.clone(),
        target: resolved.published.clone(),
        arch: resolved.arch.clone(),
        format: resolved.format,
    };
    let literals = Literals::read(&tree)?;
    literals.check(&expected)?;
    let mut inputs = Inputs::new(format!("packages for OpenWrt {} {}", resolved.release, resolved.target))
        .stage("sdk", &sdk)
        .text("kernel", &literals.kernel)
        .text("epoch", std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default());
    for folder in &ctx.recipes {
        inputs = inputs.path("recipes", folder);
    }
    for program in &programs {
        inputs = inputs.path("makefile", program.recipe.join("Makefile")).path("program", &program.binary);
    }
    let folder = stage(ctx, &PACKAGES, &inputs, |out| {
        let lock = lock(ctx, drive::UNPACK_STAGE, &sdk.with_extension("lock"))?;
        let request = drive::Request {
            tree: &tree,
            archive: &archive,
            lock: &lock,
            expected: &expected,
            recipes: &recipes,
            programs: &programs,
            source_date_epoch: sdk::source_date_epoch()?,
            jobs: ctx.jobs,
            patience: Patience::default(),
        };
        let built = drive::build(&request, out, &ctx.events, &ctx.cancel)?;
        Ok(format!("{} packages as {}, by the release's own SDK", built.len(), resolved.format))
    })?;
    let empty = drive::empty_on_purpose(&tree, &literals, &recipes)?;
    Ok(Packages { folder, kernel: sdk, kernel_version: literals.kernel_package_version(), arch: resolved.arch, empty })
}

/// The SDK's tree: unpacked once for all work trees, and never moved again.
fn unpacked(ctx: &Ctx, resolved: &Resolved, archive: &Utf8Path) -> Result<Utf8PathBuf> {
    let about = format!("SDK of OpenWrt {} for {}", resolved.release, resolved.target);
    let digest = resolved.require(Role::Sdk)?.sha256;
    let inputs = Inputs::new(about).text("archive", digest);
    stage(ctx, &SDK, &inputs, |out| {
        drive::unpack(archive, out, &ctx.events, &ctx.cancel)?;
        let literals = Literals::read(&Tree::open(out)?)?;
        Ok(format!("kernel {}, {} packages for {}", literals.kernel, literals.format, literals.arch))
    })
}

/// The programs of the recipes, static. Where Rust cannot make any, the kmods are built without them.
fn programs(ctx: &Ctx, recipes: &Recipes, arch: &Arch) -> Result<Vec<Program>> {
    if let Err(refusal) = sdk::rust_target(arch) {
        let finding = Finding { severity: Severity::Warning, ..refusal.finding().clone() };
        ctx.events.emit(Event::Finding(finding));
        return Ok(Vec::new());
    }
    recipes.programs.values().map(|recipe| program(ctx, recipe, arch)).collect()
}

fn program(ctx: &Ctx, recipe: &sdk::recipe::Program, arch: &Arch) -> Result<Program> {
    const VERSION: &str = "version";
    let name = &recipe.package;
    let inputs = Inputs::new(format!("{name} for {arch}"))
        .text("arch", arch)
        .text("recipe", format!("{recipe:?}"))
        .text("sources", Workspace::read(ctx, &ctx.root)?.package(&recipe.cargo.package)?);
    let folder = stage(ctx, &ROUTER_PROGRAMS, &inputs, |out| {
        let build = sdk::CargoBuild {
            workspace: &ctx.root,
            target_directory: &provider::target_directory(ctx),
            package: &recipe.cargo.package,
            binary: &recipe.cargo.binary,
            profile: sdk::Profile::Router,
            offline: ctx.offline,
        };
        let built = sdk::router_program(recipe, &build, arch, &ctx.events, &ctx.cancel)?;
        let copied = std::fs::copy(&built.file, out.join(name)).and_then(|size| {
            std::fs::write(out.join(VERSION), &built.version)?;
            Ok(size)
        });
        let size = copied.map_err(|error| Failure::io("keep the program", out, &error))?;
        Ok(format!("{} KiB, static, {}", size / 1024, built.target))
    })?;
    let version = folder.join(VERSION);
    Ok(Program {
        package: name.clone(),
        version: std::fs::read_to_string(&version).map_err(|error| Failure::io("read", &version, &error))?,
        release: recipe.release,
        recipe: ctx.root.join("package/feed").join(name),
        binary: folder.join(name),
        install: recipe.install.clone(),
    })
}

/// Compares the kmods with those that the release published; differences are listed by file.
pub fn compare(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Outcome> {
    let wanted = &selection.openwrt;
    let row = row(ctx, wanted.release.as_deref().unwrap_or_default(), target)?;
    let packages = super::packages(ctx, target, selection)?;
    let mut built = packages.files()?;
    built.retain(|file| file.file_name().is_some_and(|name| name.starts_with("kmod-")));
    let kernel = Literals::read(&Tree::open(&packages.kernel)?)?.kernel;
    let upstream = upstream::upstream(ctx, &wanted.source)?;
    let list = match wanted.locked {
        true => upstream.locked_list(&row, Lockfile::load(&upstream::lock_path(ctx))?.get(&row)?)?,
        false => upstream.list(&row)?,
    };
    let folder = row.release.folder().join("targets").join(row.published.to_string());
    let published: Vec<Artifact> = list
        .iter()
        .filter(|(path, _)| is_published(path, &built, &kernel.config_hash))
        .map(|(path, sha256)| Artifact { role: Role::Package, path: folder.join(path), sha256, size: None })
        .collect();
    if published.is_empty() {
        return Err(nothing_published(&row, &kernel));
    }
    let about = format!("published kmods of {} {}", row.release, row.target);
    let files = upstream.fetch(&about, &published.iter().collect::<Vec<_>>())?;
    let differences = drive::compare(row.format, &built, &files)?;
    for difference in &differences {
        ctx.events.emit(Event::Finding(differs(difference)));
    }
    let count = match differences.len() {
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    let told = format!("{} kmods compared with those of the release, {count}", built.len());
    let exit = if differences.is_empty() { Exit::Done } else { Exit::Failed };
    let lines = differences.iter().map(ToString::to_string).chain([told]).collect::<Vec<_>>();
    Ok(Outcome { exit, data: lines.join("\n") })
}

/// Whether a listed file is the published counterpart of one of ours: snapshots keep kmods of earlier kernels,
/// in folders that are named after them.
fn is_published(path: &str, built: &[Utf8PathBuf], kernel_hash: &str) -> bool {
    let path = Utf8Path::new(path);
    let of_this_kernel = !path.starts_with("kmods") || path.as_str().contains(kernel_hash);
    of_this_kernel && built.iter().any(|file| file.file_name() == path.file_name())
}

fn differs(difference: &drive::Difference) -> Finding {
    let (id, why, fix) = match difference.is_unpublished {
        false => (
            "CMP001",
            "the same SDK packs the same prebuilt modules, so what is published came from something else",
            "see that the SDK is the release's own (`cargo xtask lock --check`); if it is, report it to the release",
        ),
        true => (
            "CMP002",
            "the release's signed list names no file of this name for this kernel, so there is nothing to compare with",
            "leave a recipe of your own out of --recipes with --compare; a snapshot's list may be of another build: try later",
        ),
    };
    Finding {
        id,
        severity: Severity::Error,
        place: difference.path.as_ref().map(|path| format!("{}: /{path}", difference.package)),
        what: format!("{}: {}", difference.package, difference.what),
        why: why.into(),
        fix: fix.into(),
    }
}

fn nothing_published(row: &Row, kernel: &KernelId) -> Failure {
    Failure::new(
        Exit::Upstream,
        "CMP003",
        format!("{} {} publishes none of these kmods for kernel {kernel}", row.release, row.target),
        "its signed list names no such file: a mirror may hold SDK and images alone, and a snapshot moves on",
        "name a mirror that has the release's `kmods` or `packages` folder with --mirror",
    )
}

#[cfg(test)]
mod tests;
