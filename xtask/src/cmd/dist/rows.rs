//! The rows that are published: which ones, and what comes of each.

use feeds::dist::{Made, Material, Missing, Outcome, Published, Row};
use model::{Digest, Event, Exit, Failure, Result};

use super::crates;
use crate::cli::Selection;
use crate::cli::dist::RowFlags;
use crate::cli::openwrt::OpenWrt;
use crate::doctor::Purpose;
use crate::pipeline::{Job, STAND_IN, row_inputs, row_packages};
use crate::{Ctx, upstream};

/// The target of a stand-in that nobody asked for another one of.
const TARGET: &str = "x86/64";

/// A job for each row that is asked for.
///
/// # Errors
/// Those of the matrix for a release or target that is not there.
pub(super) fn jobs(ctx: &Ctx, args: &RowFlags) -> Result<Vec<(Row, Job)>> {
    let (stand_ins, releases): (Vec<&String>, Vec<&String>) =
        args.rows.releases.iter().partition(|release| release.as_str() == STAND_IN);
    let mut jobs = Vec::new();
    if !stand_ins.is_empty() || releases.is_empty() {
        let targets = match &args.rows.targets[..] {
            [] => vec![TARGET.to_owned()],
            targets => targets.to_vec(),
        };
        for target in targets {
            let selection = selection(args, &target, None);
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

fn selection(args: &RowFlags, target: &str, release: Option<&str>) -> Selection {
    Selection {
        target: target.to_owned(),
        openwrt: OpenWrt {
            release: release.map(str::to_owned),
            locked: args.locked && release.is_some(),
            source: args.source.clone(),
        },
        // A release has a kernel and a format of its own.
        kernels: if release.is_some() { args.kernels.iter().take(1).copied().collect() } else { args.kernels.clone() },
        formats: if release.is_some() { Vec::new() } else { args.formats.clone() },
        debian_mirror: args.debian_mirror.clone(),
    }
}

/// Makes a row's packages, unless what goes into them is what went into the published ones.
///
/// # Errors
/// Only when the user interrupts: a row that fails is an outcome too.
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
        let why = format!("same inputs as the published one: {row}, kernel {}", record.kernel);
        ctx.events.emit(Event::StageSkipped { stage: super::DIST.into(), why });
        return Ok(Outcome::Unchanged(row.clone()));
    }
    Ok(Outcome::Made(Box::new(made(ctx, row, job, inputs)?)))
}

/// Makes a row's packages.
///
/// # Errors
/// Whatever keeps them from being made.
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
        verdicts: Vec::new(),
    })
}

/// A file of this source tree.
fn own(ctx: &Ctx, name: &str) -> Result<Material> {
    let path = ctx.root.join(name);
    let bytes = std::fs::read(&path).map_err(|error| Failure::io("read a source of the program", &path, &error))?;
    Ok(Material { uri: format!("git+openwrt-offload#{name}"), sha256: Digest::of(bytes).to_string() })
}
