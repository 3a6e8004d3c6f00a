//! What every question to a router has in common: how long it may take, and what a failed command means.

use std::time::Duration;

use model::{Deadline, Exit, Failure, Finding, Problem, Result, Severity};
use vm::guest::{Guest, Output};

/// How long a command of ours on the router may take.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);

/// The longest that one command of a scenario may take: seconds, but not on a machine that compiles meanwhile.
pub(crate) const SCENARIO_COMMAND: Duration = Duration::from_secs(180);

/// The output of a command that must succeed for the scenario to mean anything.
pub(crate) fn read(guest: &mut dyn Guest, words: &[&str]) -> Result<String> {
    successful(words, guest.run(words, Deadline::after(SCENARIO_COMMAND))?)
}

fn successful(words: &[&str], output: Output) -> Result<String> {
    if output.success() {
        return Ok(output.text());
    }
    Err(Failure::of(Problem {
        exit: Exit::Blocked,
        id: "SCEN003",
        what: format!("`{}` ended with {} on the router", words.join(" "), output.code),
        why: output.text(),
        fix: "run it by hand: `cargo xtask boot`",
    }))
}

/// A promise of the file that does not hold.
pub(crate) fn broken(id: &'static str, what: String, why: String) -> Option<Finding> {
    Some(Finding {
        id,
        severity: Severity::Error,
        place: None,
        what,
        why,
        fix: "compare with what the scenario file promises; `cargo xtask test NAME --keep` leaves the router running"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_router_could_not_say_is_blocked() {
        let output = |code, text: &str| Output { code, out: text.into() };
        assert_eq!(successful(&["cat"], output(0, "x")).unwrap(), "x");
        let failure = successful(&["cat"], output(1, "x")).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SCEN003", Exit::Blocked));
    }
}
