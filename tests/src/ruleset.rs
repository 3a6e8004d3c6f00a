//! Rulesets on the router: replaced or added to in one transaction, so that no packet meets half of one.

use model::{Deadline, Finding, Result};

use crate::attempt::{Attempt, COMMAND};
use crate::forward;
use crate::scenario::{ExpectedExit, Step};
use crate::steps;

/// Where rulesets are put on the router.
const FILE: &str = "/tmp/scenario.nft";

/// Replaces all tables but the harness's own.
pub(crate) fn replace(attempt: &mut Attempt<'_>, text: &str, step: &Step, at: &str) -> Result<Option<Finding>> {
    let tables = steps::read(&mut attempt.session, &["nft", "list", "tables"])?;
    load(attempt, &format!("{}{text}", deletions(&tables)), step, at)
}

/// Adds rules to those that are there.
pub(crate) fn add(attempt: &mut Attempt<'_>, text: &str, step: &Step, at: &str) -> Result<Option<Finding>> {
    load(attempt, text, step, at)
}

fn load(attempt: &mut Attempt<'_>, text: &str, step: &Step, at: &str) -> Result<Option<Finding>> {
    attempt.session.put(FILE, text.as_bytes(), Deadline::after(COMMAND))?;
    let must_fail = step.exit != ExpectedExit::default();
    let before = if must_fail { Some(listing(attempt)?) } else { None };
    let output = attempt.session.run(&["nft", "-f", FILE], Deadline::after(COMMAND))?;
    let found = steps::answered(attempt, step, at, "nft -f", &output);
    if found.is_some() {
        return Ok(found);
    }
    match before {
        Some(before) => Ok(unchanged(&before, &listing(attempt)?)),
        None => Ok(None),
    }
}

/// The rules without what packets change: no counters, and no elements that packets added.
fn listing(attempt: &mut Attempt<'_>) -> Result<String> {
    steps::read(&mut attempt.session, &["nft", "-s", "-t", "list", "ruleset"])
}

fn unchanged(before: &str, after: &str) -> Option<Finding> {
    if before == after {
        return None;
    }
    steps::broken(
        "STEP006",
        "a ruleset was refused, and the rules changed all the same".into(),
        format!("before:\n{before}\nafter:\n{after}"),
    )
}

/// One line for each table of `nft list tables` that belongs to the scenario.
fn deletions(tables: &str) -> String {
    let ours = format!("table inet {}", forward::TABLE);
    tables
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("table ") && *line != ours)
        .map(|line| format!("delete {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_are_deleted_but_our_own() {
        let tables = "table inet probe\ntable inet lab\ntable ip nat\n";
        assert_eq!(deletions(tables), "delete table inet lab\ndelete table ip nat\n");
        assert_eq!(deletions(""), "");
    }

    #[test]
    fn half_a_ruleset_is_noticed() {
        assert_eq!(unchanged("table inet lab\n", "table inet lab\n"), None);
        assert_eq!(unchanged("", "table inet lab\n").unwrap().id, "STEP006");
    }
}
