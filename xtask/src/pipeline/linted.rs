//! The stage between packages and feed: packages that break a lint rule are not published.

use camino::Utf8PathBuf;
use model::{Exit, Failure, Problem, Result};

use super::brought;
use super::job::Job;
use super::packages::Packages;
use super::stages::LINT;
use crate::stage::{Inputs, stage};
use crate::{Ctx, lint};

/// The packages that are built here, and those that the user gave.
pub(super) fn gathered(ctx: &Ctx, job: &Job) -> Result<Packages> {
    let mut packages = job.provider.packages(ctx, job)?;
    packages.brought = brought::beside(ctx, job.brought(), &packages, job.provider.image_packages()?.as_ref())?;
    Ok(packages)
}

/// The packages, if the lint finds no error in them.
pub(super) fn linted(ctx: &Ctx, job: &Job) -> Result<Packages> {
    let packages = gathered(ctx, job)?;
    let inputs = Inputs::new("the packages against the rules")
        .stage("packages", &packages.folder)
        .text("allowed", format!("{:?}", packages.allowed));
    let inputs = packages.brought.iter().fold(inputs, |inputs, brought| inputs.stage("brought", &brought.folder));
    stage(ctx, &LINT, &inputs, |_| {
        // The user knows a package by the file that he named.
        let named = |copy: Utf8PathBuf| (packages.origin(&copy).to_string(), copy);
        let files: Vec<_> = packages.files()?.into_iter().map(named).collect();
        let counts = lint::check_copies(ctx, &files, &formats::lint::Options::default(), &packages.allowed)?;
        match counts.exit() {
            Exit::Done => Ok(counts.to_string()),
            exit => Err(faulty(exit, &counts)),
        }
    })?;
    Ok(packages)
}

fn faulty(exit: Exit, counts: &lint::Counts) -> Failure {
    Failure::of(Problem {
        exit,
        id: "LNT004",
        what: format!("the packages break rules: {counts}"),
        why: "each breach is reported above under its own id; such packages are not published",
        fix: "correct the recipe, or the code that packs it (package/sdk); a package from elsewhere, where it is built",
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
