//! The stage between packages and feed: nothing that breaks a rule of the lint is published.

use model::{Exit, Failure, Problem, Result};

use super::job::Job;
use super::provider::Packages;
use super::stages::LINT;
use crate::stage::{Inputs, stage};
use crate::{Ctx, lint};

/// The packages, without an error of the lint.
pub(super) fn linted(ctx: &Ctx, job: &Job) -> Result<Packages> {
    let packages = job.provider.packages(ctx, job)?;
    let inputs = Inputs::new("the packages against the rules")
        .stage("packages", &packages.folder)
        .text("allowed", format!("{:?}", packages.allowed));
    stage(ctx, &LINT, &inputs, |_| {
        let counts = lint::check(ctx, &packages.files()?, &formats::lint::Options::default(), &packages.allowed)?;
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
