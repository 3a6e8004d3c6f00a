//! The rows to publish, and how each is built.

use feeds::dist::{Made, Material, Missing, Outcome, Published, Row};
use model::{Digest, Event, Exit, Failure, Result};

use super::crates;
use crate::cli::Selection;
use crate::cli::dist::RowFlags;
use crate::cli::openwrt::OpenWrt;
use crate::doctor::Purpose;
use crate::pipeline::{Job, STAND_IN, has_kernel, row_inputs, row_packages, stand_ins};
use crate::{Ctx, upstream};

/// The target of a stand-in that nobody asked for another one of.
const TARGET: &str = "x86/64";

/// A job for each requested row.
///
/// # Errors
/// Those of the matrix for an unknown release or target.
pub(super) fn jobs(ctx: &Ctx, args: &RowFlags) -> Result<Vec<(Row, Job)>> {
    let (stand_ins, releases): (Vec<&String>, Vec<&String>) =
        args.rows.releases.iter().partition(|release| release.as_str() == STAND_IN);
    let mut jobs = Vec::new();
    if !stand_ins.is_empty() || releases.is_empty() {
        let targets = stand_in_targets(&args.rows.targets, !releases.is_empty());
        for target in &targets {
            let mut selection = selection(args, target, None);
            // Of several targets, each has a row for those of the kernels that there are for it.
            if targets.len() > 1 && args.kernels.iter().any(|kernel| has_kernel(target, *kernel)) {
                selection.kernels.retain(|kernel| has_kernel(target, *kernel));
            }
            jobs.extend(Job::each(ctx, &selection, Purpose::Build)?);
        }
    }
    if !releases.is_empty() {
        let releases: Vec<String> = releases.into_iter().cloned().collect();
        for row in upstream::matrix(ctx)?.select(&releases, &args.rows.targets)? {
            let target = row.target.to_string();
            jobs.push(Job::new(ctx, &selection(args, &target, Some(&row.release.0)), Purpose::Build)?);
        }
    }
    Ok(jobs.into_iter().map(|job| (job.row(), job)).collect())
}

/// The targets of stand-ins among those that were asked for. Beside releases, a target may be theirs alone: the matrix says
/// whether there is such a one.
fn stand_in_targets(asked: &[String], beside_releases: bool) -> Vec<String> {
    let every = || stand_ins().map(str::to_owned);
    match asked {
        [] => vec![TARGET.to_owned()],
        asked if asked.iter().any(|target| target == "all") => every().collect(),
        asked if beside_releases && every().any(|target| asked.contains(&target)) => {
            every().filter(|target| asked.contains(target)).collect()
        }
        asked => asked.to_vec(),
    }
}

fn selection(args: &RowFlags, target: &str, release: Option<&str>) -> Selection {
    Selection {
        target: target.to_owned(),
        openwrt: OpenWrt {
            release: release.map(str::to_owned),
            locked: args.locked && release.is_some(),
            source: args.source.clone(),
        },
        // A release has its own kernel and format.
        kernels: if release.is_some() { args.kernels.iter().take(1).copied().collect() } else { args.kernels.clone() },
        formats: if release.is_some() { Vec::new() } else { args.formats.clone() },
        debian_mirror: args.debian_mirror.clone(),
    }
}

/// Builds a row's packages, unless its inputs are those of the published row.
///
/// # Errors
/// Only when the user interrupts: a failed row is an outcome too.
pub(super) fn outcome(ctx: &Ctx, row: &Row, job: &Job, published: Option<&Published>) -> Result<Outcome> {
    match unchanged_or_made(ctx, row, job, published) {
        Ok(outcome) => Ok(outcome),
        Err(failure) if failure.exit() == Exit::Interrupted || failure.exit() == Exit::Bug => Err(failure),
        Err(failure) => {
            ctx.events.emit(Event::Finding(failure.finding().clone()));
            let what = failure.finding().what.clone();
            Ok(Outcome::Missing(Missing { row: row.clone(), id: failure.id().to_owned(), what }))
        }
    }
}

fn unchanged_or_made(ctx: &Ctx, row: &Row, job: &Job, published: Option<&Published>) -> Result<Outcome> {
    let inputs = row_inputs(ctx, job)?;
    let is_this = |record: &&feeds::dist::RowRecord| record.row == *row && record.inputs == inputs;
    if let Some(record) = published.and_then(|tree| tree.feed.rows.iter().find(is_this)) {
        told_unchanged(ctx, row, record.kernel.as_str());
        return Ok(Outcome::Unchanged(row.clone()));
    }
    Ok(Outcome::Made(Box::new(made(ctx, row, job, inputs)?)))
}

/// Reports that a row needs no work.
pub(super) fn told_unchanged(ctx: &Ctx, row: &Row, kernel: &str) {
    let why = format!("same inputs as the published one: {row}, kernel {kernel}");
    ctx.events.emit(Event::StageSkipped { stage: super::DIST.into(), why });
}

/// Builds a row's packages.
///
/// # Errors
/// Whatever prevents them from being built.
pub(super) fn made(ctx: &Ctx, row: &Row, job: &Job, inputs: String) -> Result<Made> {
    job.require(ctx, Purpose::Build)?;
    let packages = row_packages(ctx, job)?;
    let mut materials: Vec<Material> =
        packages.materials.into_iter().map(|(uri, digest)| Material { uri, sha256: digest.to_string() }).collect();
    materials.push(own(ctx, "Cargo.lock")?);
    let has_programs = packages.files.iter().any(|file| !file.file_name().unwrap_or_default().starts_with("kmod-"));
    Ok(Made {
        row: row.clone(),
        inputs,
        kernel_version: packages.kernel_version,
        architecture: packages.arch,
        files: packages.files,
        materials,
        crates: if has_programs { crates::of_programs(ctx, job)? } else { Vec::new() },
    })
}

/// A file of this source tree.
fn own(ctx: &Ctx, name: &str) -> Result<Material> {
    let path = ctx.root.join(name);
    let bytes = std::fs::read(&path).map_err(|error| Failure::io("read a source of the program", &path, &error))?;
    Ok(Material { uri: format!("git+openwrt-offload#{name}"), sha256: Digest::of(bytes).to_string() })
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use clap::Parser as _;
    use model::Events;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;

    fn rows(words: &[&str]) -> Vec<String> {
        let ctx = ctx(Utf8Path::new("/nowhere"), Events::discard());
        let line = ["cargo xtask", "dist"].iter().chain(words);
        let Verb::Dist(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
        jobs(&ctx, &args.rows).unwrap().into_iter().map(|(row, _)| row.to_string()).collect()
    }

    #[test]
    fn each_target_has_rows_for_the_kernels_that_there_are_for_it() {
        let several = ["--target", "x86/64,ramips/mt7621", "--kernel", "6.1,6.12"];
        assert_eq!(
            rows(&several),
            ["stand-in 6.1 for x86/64", "stand-in 6.12 for x86/64", "stand-in 6.1 for ramips/mt7621"]
        );
        // Without a word about kernels, each has its own.
        assert_eq!(
            rows(&["--target", "x86/64,ramips/mt7621"]),
            ["stand-in 6.12 for x86/64", "stand-in 6.1 for ramips/mt7621"]
        );
        assert_eq!(
            rows(&["--release", "stand-in,25.12", "--target", "x86/64,mediatek/filogic"]),
            ["stand-in 6.12 for x86/64", "25.12 25.12.5 for x86/64", "25.12 25.12.5 for mediatek/filogic"]
        );
        assert_eq!(rows(&["--target", "all"]).len(), 4);
    }
}
