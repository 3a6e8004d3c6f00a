//! The stage between packages and feed: nothing that breaks a rule of the lint is published.

use model::{Exit, Failure, Problem, Result};

use super::job::Job;
use super::provider::Packages;
use super::stages::LINT;
use crate::lint::Allowed;
use crate::stage::{Inputs, stage};
use crate::{Ctx, lint};

/// The packages, without an error of the lint.
pub(super) fn linted(ctx: &Ctx, job: &Job) -> Result<Packages> {
    let packages = job.provider.packages(ctx, job)?;
    let allowed = allowed(job, &packages);
    let inputs = Inputs::new("the packages against the rules")
        .stage("packages", &packages.folder)
        .text("allowed", format!("{allowed:?}"));
    stage(ctx, &LINT, &inputs, |_| {
        let counts = lint::check(ctx, &packages.files()?, &formats::lint::Options::default(), &allowed)?;
        match counts.exit() {
            Exit::Done => Ok(counts.to_string()),
            exit => Err(faulty(exit, &counts)),
        }
    })?;
    Ok(packages)
}

/// What is known of packages that nobody here can change: OpenWrt's own kmods have no maintainer, and those whose
/// modules are part of the kernel are empty and name them nevertheless.
pub(super) fn allowed(job: &Job, packages: &Packages) -> Vec<Allowed> {
    let mut allowed: Vec<Allowed> = packages.empty.iter().flat_map(|name| allowed_empty(name)).collect();
    if job.is_of_release() {
        allowed.push(Allowed::at(&formats::lint::NO_MAINTAINER, "/kmod-".into()));
    }
    allowed
}

/// A kmod that is rightly without a module, in the file names of both formats.
fn allowed_empty(name: &str) -> impl Iterator<Item = Allowed> {
    let rules = [&formats::lint::EMPTY_KMOD, &formats::lint::ABSENT_MODULE];
    rules.into_iter().flat_map(move |rule| ["_", "-"].map(|end| Allowed::at(rule, format!("/{name}{end}"))))
}

fn faulty(exit: Exit, counts: &lint::Counts) -> Failure {
    Failure::of(Problem {
        exit,
        id: "LNT004",
        what: format!("the packages break rules: {counts}"),
        why: "each breach is told above under its own id; such packages are not published",
        fix: "correct the recipe (package/recipes) or the code that packs it (package/sdk)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_break_rules_end_the_build() {
        let counts = lint::Counts { files: 2, errors: 1, ..lint::Counts::default() };
        let failure = faulty(counts.exit(), &counts);
        assert_eq!((failure.id(), failure.exit()), ("LNT004", Exit::Failed));
        assert!(failure.finding().what.contains("1 error,"));
    }
}
