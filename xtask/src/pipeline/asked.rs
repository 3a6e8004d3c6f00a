//! What the command line asks for, made into jobs.

use std::sync::Arc;

use formats::Format;
use model::{Exit, Failure, Problem, Result, Target, UnknownTarget};

use super::job::{Files, Job};
use super::ports::{self, Port};
use super::release::Release;
use super::stand_in::StandIn;
use crate::Ctx;
use crate::cli::{Kernel, Selection};
use crate::doctor::Purpose;

impl Job {
    /// The job that is selected.
    ///
    /// Every file that `purpose` is going to need is read: a slip in one is told at once, not after minutes of
    /// fetching and building, and before anything is made in the cache.
    ///
    /// # Errors
    /// `USE002` for an unknown target, `USE004` for several kernels; those of the files.
    pub fn new(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<Job> {
        let mut jobs = Job::each(ctx, selection, purpose)?;
        match jobs.pop() {
            Some(job) if jobs.is_empty() => Ok(job),
            _ => Err(one_kernel(selection.kernels.len())),
        }
    }

    /// A job for each kernel that is selected.
    ///
    /// # Errors
    /// As [`Job::new`], but for a release `USE004` only: it has one kernel. `USE007` for a format that it does not have.
    pub fn each(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<Vec<Job>> {
        let (target, asked) = resolved(selection)?;
        let files = Files::read(ctx, &target, purpose)?;
        match asked {
            Asked::StandIn(port) => {
                let stand_in = |&kernel| StandIn::new(port, kernel, selection.debian_mirror.clone());
                let kernels = kernels(selection, port);
                kernels.iter().map(|kernel| files.job(formats(selection), Arc::new(stand_in(kernel)))).collect()
            }
            Asked::Release(_) if selection.kernels.len() > 1 => Err(one_kernel(selection.kernels.len())),
            Asked::Release(name) => {
                let release = Release::new(ctx, name, &target, selection.openwrt.clone())?;
                let formats = formats(selection);
                if !formats.is_empty() && !formats.contains(&release.row.format) {
                    return Err(other_format(&release));
                }
                Ok(vec![files.job(vec![release.row.format], Arc::new(release))?])
            }
        }
    }

    /// A job for what is done with the stand-in only.
    ///
    /// # Errors
    /// As [`Job::new`], and `USE003` when a release is selected.
    pub fn stand_in(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<(Job, Arc<StandIn>)> {
        let (target, asked) = resolved(selection)?;
        let port = match asked {
            Asked::StandIn(port) => port,
            Asked::Release(release) => return Err(stand_in_only(release)),
        };
        let files = Files::read(ctx, &target, purpose)?;
        let [kernel] = kernels(selection, port)[..] else { return Err(one_kernel(selection.kernels.len())) };
        let stand_in = Arc::new(StandIn::new(port, kernel, selection.debian_mirror.clone()));
        Ok((files.job(formats(selection), stand_in.clone())?, stand_in))
    }
}

/// The target that was asked for; which ones a release has is the matrix's to say.
///
/// # Errors
/// `USE002` for a text that is no target, with the nearest target; and for a target without a stand-in if no release is
/// asked for.
pub fn target(selection: &Selection) -> Result<Target> {
    resolved(selection).map(|(target, _asked)| target)
}

/// Where everything is asked to come from.
enum Asked<'a> {
    StandIn(&'static Port),
    Release(&'a str),
}

fn resolved(selection: &Selection) -> Result<(Target, Asked<'_>)> {
    let word = selection.target.as_str();
    let target: Target = word.parse().map_err(|error: UnknownTarget| unknown_target(word, error.to_string()))?;
    let asked = match &selection.openwrt.release {
        None => Asked::StandIn(port(&target)?),
        Some(release) => Asked::Release(release),
    };
    Ok((target, asked))
}

/// What a target's stand-in is made of.
fn port(target: &Target) -> Result<&'static Port> {
    let asked = target.to_string();
    let port = ports::ALL.iter().find(|port| port.target == asked);
    port.ok_or_else(|| unknown_target(&asked, "no machine is described for it".into()))
}

fn unknown_target(asked: &str, why: String) -> Failure {
    let targets = ports::ALL.map(|port| port.target);
    let likeness = |target: &&str| strsim::jaro(target, asked);
    let nearest =
        targets.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other))).unwrap_or_default();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE002",
        what: format!("unknown target `{asked}`"),
        why,
        fix: format!("the nearest is `--target {nearest}`; there are: {}", targets.join(", ")),
    })
}

/// A release where only the stand-in will do.
fn stand_in_only(release: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE003",
        what: format!("this is done with the stand-in, and OpenWrt {release} was asked for"),
        why: "`ci` checks this source tree, and `bench offload` measures with a guest of its own",
        fix: "leave --release away, or use it with `build`, `lint`, `feed`, `boot` and `test`",
    })
}

/// Several kernels where one is worked on at a time.
fn one_kernel(asked: usize) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE004",
        what: format!("{asked} kernels were asked for, and this is done for one at a time"),
        why: "only `test` runs on several kernels in one go, and a release has one of its own",
        fix: "give one line with --kernel: 6.1, 6.12 or newest; with --release none",
    })
}

fn other_format(release: &Release) -> Failure {
    let row = &release.row;
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE007",
        what: format!("OpenWrt {} makes {} packages, and only others were asked for", row.release, row.format),
        why: "the SDK of a release makes packages for its own package manager",
        fix: format!("leave --format away, or give `--format {}`", row.format),
    })
}

/// The kernel lines that were asked for, or the one that the target's stand-in has by default.
fn kernels(selection: &Selection, port: &Port) -> Vec<Kernel> {
    let default = port.suites.first().map(|(line, _)| *line);
    if selection.kernels.is_empty() { default.into_iter().collect() } else { selection.kernels.clone() }
}

/// The formats that were asked for, each once and always in the same order.
fn formats(selection: &Selection) -> Vec<Format> {
    Format::ALL.into_iter().filter(|format| selection.formats.contains(format)).collect()
}

#[cfg(test)]
mod tests;
