//! Rulesets on the router: replaced or added to in one transaction, so that no packet meets half of one.

use model::{Deadline, Finding, Result};

use super::command;
use crate::ask::{self, COMMAND};
use crate::attempt::Attempt;
use crate::scenario::{ExpectedExit, Others, Ruleset};

/// Prints a line for each table that belongs to the scenario, which deletes it.
const DELETE_ALL: &str =
    r"nft list tables | sed -n '/^table inet probe$/d; /^table netdev probe$/d; s/^table /delete table /p'";

/// Ends a ruleset that is handed to nft; no line of one.
const END: &str = "END OF RULES";

/// Loads rules. In one go: asking the router costs more time than the answer.
pub(crate) fn load(attempt: &mut Attempt<'_>, ruleset: &Ruleset, at: &str) -> Result<Option<Finding>> {
    let Ruleset { text, others, answer } = ruleset;
    let before = match others {
        Others::Go => DELETE_ALL,
        Others::Stay => ":",
    };
    let must_fail = answer.exit != ExpectedExit::default();
    let rules = if must_fail { Some(listing(attempt)?) } else { None };
    let output = attempt.router.guest.script(&script(before, text), Deadline::after(COMMAND))?;
    let found = command::answered(attempt, answer, at, "nft -f -", &output);
    if found.is_some() {
        return Ok(found);
    }
    match rules {
        Some(rules) => Ok(unchanged(&rules, &listing(attempt)?)),
        None => Ok(None),
    }
}

fn script(before: &str, text: &str) -> String {
    format!("{{ {before}; cat <<'{END}'\n{text}\n{END}\n}} | nft -f -")
}

/// The rules without what packets change: no counters, and no elements that packets added.
fn listing(attempt: &mut Attempt<'_>) -> Result<String> {
    ask::read(attempt.router.guest, &["nft", "-s", "-t", "list", "ruleset"])
}

fn unchanged(before: &str, after: &str) -> Option<Finding> {
    if before == after {
        return None;
    }
    ask::broken(
        "STEP006",
        "a ruleset was refused, and the rules changed all the same".into(),
        format!("before:\n{before}\nafter:\n{after}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward;

    /// What the script hands to nft where there are tables of all kinds.
    #[test]
    fn all_tables_are_deleted_but_our_own_and_the_text_follows() {
        let tables = "nft() { if [ $1 = list ]; then printf 'table inet probe\\ntable netdev probe\\ntable inet lab\\ntable ip nat\\n'; else cat; fi; }";
        let run = |before: &str| {
            let script = format!("{tables}\n{}", script(before, "table inet new { }\n$x `y`"));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let text = "table inet new { }\n$x `y`\n";
        assert_eq!(run(DELETE_ALL), format!("delete table inet lab\ndelete table ip nat\n{text}"));
        assert_eq!(run(":"), text);
        for family in ["inet", "netdev"] {
            assert!(DELETE_ALL.contains(&format!("table {family} {}$", forward::TABLE)));
        }
    }

    #[test]
    fn half_a_ruleset_is_noticed() {
        assert_eq!(unchanged("table inet lab\n", "table inet lab\n"), None);
        assert_eq!(unchanged("", "table inet lab\n").unwrap().id, "STEP006");
    }
}
