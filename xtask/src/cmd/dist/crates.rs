//! Asks cargo for the crates that are linked into the programs for routers.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use feeds::dist::Crate;
use host::Job as Process;
use model::{Exit, Failure, Problem, Result};

use crate::Ctx;
use crate::pipeline::Job;

/// Deadline: cargo reads only local files.
const LIMIT: Duration = Duration::from_secs(60);

/// Names, versions and digests of the crates in the programs of all recipes.
///
/// # Errors
/// `DIST009` when cargo cannot tell.
pub(super) fn of_programs(ctx: &Ctx, job: &Job) -> Result<Vec<Crate>> {
    let lock = ctx.root.join("Cargo.lock");
    let text = std::fs::read_to_string(&lock).map_err(|error| Failure::io("read", &lock, &error))?;
    let digests = digests(&text);
    let mut crates = BTreeSet::new();
    for package in job.programs() {
        crates.extend(of_package(ctx, package, &digests)?);
    }
    Ok(crates.into_iter().collect())
}

fn of_package(ctx: &Ctx, package: &str, digests: &BTreeMap<(String, String), String>) -> Result<Vec<Crate>> {
    let words = ["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", package];
    let words: Vec<OsString> =
        std::iter::once(ctx.cargo.clone()).chain(words.into_iter().map(OsString::from)).collect();
    let output = Process::of_words(&words, &ctx.root, LIMIT).output(&ctx.cancel)?;
    if !output.success {
        return Err(Failure::of(Problem {
            exit: Exit::Host,
            id: "DIST009",
            what: format!("cargo cannot tell which crates {package} consists of"),
            why: output.last_words(),
            fix: "run `cargo fetch --locked`, and fix what `cargo tree` reports",
        }));
    }
    let part = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
        let sha256 = digests.get(&(name.clone(), version.clone())).cloned();
        Some(Crate { name, version, sha256 })
    };
    Ok(output.stdout.lines().filter_map(part).collect())
}

/// The digests in Cargo.lock, by name and version.
fn digests(lock: &str) -> BTreeMap<(String, String), String> {
    let block = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.map(|value| value.trim_end_matches('"').to_owned())
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn the_crates_of_a_program_are_told_with_their_digests() {
        let ctx = ctx("/nowhere".into(), Events::discard());
        let digests = digests(&std::fs::read_to_string(ctx.root.join("Cargo.lock")).unwrap());
        let crates = of_package(&ctx, "offloadctl", &digests).unwrap();
        assert!(crates.iter().any(|part| part.name == "rustix" && part.sha256.is_some()), "{crates:?}");
        assert!(crates.iter().all(|part| part.name != "proptest"), "tests do not ship: {crates:?}");
        assert_eq!(of_package(&ctx, "no-such-package", &digests).unwrap_err().id(), "DIST009");
    }

    #[test]
    fn digests_are_those_of_the_registry() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\nchecksum = \"cc\"\n\n[[package]]\nname = \"ours\"\nversion = \"2\"\n";
        assert_eq!(digests(lock), BTreeMap::from([(("a".to_owned(), "1.0".to_owned()), "cc".to_owned())]));
    }
}
