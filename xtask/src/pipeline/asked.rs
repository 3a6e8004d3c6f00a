//! Turns the command line into jobs.

use std::sync::Arc;

use formats::Format;
use model::{Exit, Failure, Problem, Result, Target, UnknownTarget};
use sdk::openwrt::{FeedFolder, Lockfile, OtherFeed};

use super::job::{Files, Job, Provider};
use super::ports::{self, Port};
use super::release::Release;
use super::stand_in::StandIn;
use crate::cli::{Kernel, Selection};
use crate::doctor::Purpose;
use crate::{Ctx, upstream};

impl Job {
    /// The selected job.
    ///
    /// Reads every file that `purpose` will need, so that errors in them are reported at once, not after minutes of
    /// fetching and building, and before the cache is changed.
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

    /// A job for each selected kernel.
    ///
    /// # Errors
    /// As [`Job::new`]; `USE004` only for a release, which has one kernel. `USE007` for a format that the release does
    /// not have.
    pub fn each(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<Vec<Job>> {
        let (target, asked) = resolved(selection)?;
        let files = Files::read(ctx, &target, purpose)?;
        match asked {
            Asked::StandIn(_) if ctx.feed.is_some() => Err(needs_release(ctx)),
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
                let own_feed = own_feed(ctx)?;
                Ok(vec![files.job(vec![release.row.format], Arc::new(release))?.with_feed(own_feed)])
            }
        }
    }

    /// The jobs of `test`: as [`Job::each`]. Where QEMU has no board for a release's target, scenarios run on the routers
    /// that the matrix names, of that release or a stand-in, and the packages of the target are made and verified too.
    ///
    /// # Errors
    /// As [`Job::each`].
    pub fn proofs(ctx: &Ctx, selection: &Selection) -> Result<Vec<Job>> {
        let (target, asked) = resolved(selection)?;
        let matrix = upstream::matrix(ctx)?;
        let (Asked::Release(name), Some(on), None) = (asked, matrix.proven_on(&target), &ctx.feed) else {
            return Job::each(ctx, selection, Purpose::Test);
        };
        let made = Job::new(ctx, selection, Purpose::Build)?;
        let provider: Arc<dyn Provider> = match matrix.proven_on(on) {
            None => Arc::new(Release::new(ctx, name, on, selection.openwrt.clone())?),
            Some(_) => {
                let port = port(on)?;
                let [kernel] = kernels(selection, port)[..] else { return Err(one_kernel(selection.kernels.len())) };
                Arc::new(StandIn::new(port, kernel, selection.debian_mirror.clone()))
            }
        };
        let job = Files::read(ctx, on, Purpose::Test)?.job(made.formats.clone(), provider)?;
        Ok(vec![job.proving(made)])
    }

    /// A job that is possible only with the stand-in.
    ///
    /// # Errors
    /// As [`Job::new`], and `USE003` when a release is selected.
    pub fn stand_in(ctx: &Ctx, selection: &Selection, purpose: Purpose) -> Result<(Job, Arc<StandIn>)> {
        let (target, asked) = resolved(selection)?;
        let port = match asked {
            Asked::StandIn(port) => port,
            Asked::Release(release) => return Err(stand_in_only(release)),
        };
        if ctx.feed.is_some() {
            return Err(needs_release(ctx));
        }
        let files = Files::read(ctx, &target, purpose)?;
        let [kernel] = kernels(selection, port)[..] else { return Err(one_kernel(selection.kernels.len())) };
        let stand_in = Arc::new(StandIn::new(port, kernel, selection.debian_mirror.clone()));
        Ok((files.job(formats(selection), stand_in.clone())?, stand_in))
    }
}

/// The selected target; whether a release has it is for the matrix to say.
///
/// # Errors
/// `USE002` for a malformed target, with the most similar one; and for a target without a stand-in if no release is
/// selected.
pub fn target(selection: &Selection) -> Result<Target> {
    resolved(selection).map(|(target, _asked)| target)
}

/// The user's own feed, with the revisions of the feeds that it needs.
fn own_feed(ctx: &Ctx) -> Result<Option<FeedFolder>> {
    let Some(folder) = &ctx.feed else { return Ok(None) };
    let lock = Lockfile::load(&upstream::lock_path(ctx))?;
    let locked = |other: &OtherFeed| lock.feed(&other.url, other.branch.as_deref()).map(str::to_owned);
    FeedFolder::read(folder)?.pinned(locked).map(Some)
}

/// The provider that was asked for.
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

/// The description of a target's stand-in.
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

/// The failure when a release is selected for something that only the stand-in can do.
fn stand_in_only(release: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE003",
        what: format!("this needs the stand-in, but OpenWrt {release} was selected"),
        why: "`ci` checks this source tree, and `bench offload` measures with a guest of its own",
        fix: "leave --release away, or use it with `build`, `lint`, `feed`, `boot` and `test`",
    })
}

/// The failure when OpenWrt's Makefiles are given without a release.
fn needs_release(ctx: &Ctx) -> Failure {
    let folder = ctx.feed.as_deref().unwrap_or("DIR".into());
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN020",
        what: "the Makefiles of a feed are built by a release's SDK, and no release was asked for",
        why: "they are written for OpenWrt's build system, compiler and C library; the stand-in has Debian's kernel and none of these",
        fix: format!(
            "name a release: --feed {folder} --release 25.12; for the stand-in, describe modules and files in recipes (`cargo xtask new`)"
        ),
    })
}

/// The failure when several kernels are selected for something that takes one.
fn one_kernel(asked: usize) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE004",
        what: format!("{asked} kernels were selected, but this takes one at a time"),
        why: "only `test` runs on several kernels in one go, and a release has one of its own",
        fix: "give one line with --kernel: 6.1, 6.12 or newest; with --release none",
    })
}

fn other_format(release: &Release) -> Failure {
    let row = &release.row;
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE007",
        what: format!("OpenWrt {} makes {} packages, but only others were selected", row.release, row.format),
        why: "the SDK of a release makes packages for its own package manager",
        fix: format!("leave --format away, or give `--format {}`", row.format),
    })
}

/// The selected kernel lines, or the default one of the target's stand-in.
fn kernels(selection: &Selection, port: &Port) -> Vec<Kernel> {
    let default = port.suites.first().map(|(line, _)| *line);
    if selection.kernels.is_empty() { default.into_iter().collect() } else { selection.kernels.clone() }
}

/// The selected formats, each once and always in the same order.
fn formats(selection: &Selection) -> Vec<Format> {
    Format::ALL.into_iter().filter(|format| selection.formats.contains(format)).collect()
}

#[cfg(test)]
mod tests;
