//! Devices are made as an administrator makes them.

use model::{Deadline, Finding, Result};

use super::command;
use crate::ask::SCENARIO_COMMAND;
use crate::attempt::Attempt;
use crate::scenario::{Answer, Link};

/// Makes a device and brings it up. `Ok(Some(_))`: the kernel refused.
pub(crate) fn make(attempt: &mut Attempt<'_>, link: &Link, at: &str) -> Result<Option<Finding>> {
    for words in link.commands() {
        let output = attempt.router.guest.run(&words, Deadline::after(SCENARIO_COMMAND))?;
        let found = command::answered(attempt, &Answer::default(), at, &words.join(" "), &output);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
