//! What `offloadctl explain` says of a flow, held against what its packets do: whatever a scenario is about, its flows are
//! cases for the tool, too.

use std::net::IpAddr;

use model::{Deadline, Exit, Failure, Finding, Problem, Result};
use serde::Deserialize;

use super::{Amount, destination, look, send};
use crate::ask;
use crate::attempt::Attempt;
use crate::flows::Span;
use crate::scenario::Proto;

/// So much shows which path a flow takes now.
const PACKETS: u64 = 40;
const BYTES: u64 = 200_000;

/// The part of the answer that is held against the packets.
#[derive(Deserialize)]
struct Answer {
    /// `null` where the tool does not know.
    offloaded: Option<bool>,
}

/// Asks after an exchange in which the flow took `path`. Where both differ, something may have changed since, so the next
/// packets decide.
pub(crate) fn check(attempt: &mut Attempt<'_>, name: &str, path: &str) -> Result<Option<Finding>> {
    let flow = attempt.net.flows.get(name)?;
    let Some((near, port)) = flow.near().zip(flow.port()) else { return Ok(None) };
    let ends = (near, destination(attempt.net.plan, flow.plan()), port, flow.plan().proto);
    let Some(said) = ask(attempt, ends)? else { return Ok(None) };
    if agree(said, path) {
        return Ok(None);
    }
    let names = [name.to_owned()];
    if let Some(found) = send(attempt, &names, |plan| Amount::of(plan, Some(PACKETS), Some(BYTES)), None)? {
        return Ok(Some(found));
    }
    look(attempt, &names, "offloadctl")?;
    let seen = attempt.net.flows.get(name)?.judge(Span::Exchange(None));
    let path = seen.path(0);
    if agree(said, path) || ask(attempt, ends)? != Some(said) {
        return Ok(None);
    }
    let word = if said { "is" } else { "is not" };
    let mut finding = ask::broken(
        "PROOF023",
        format!("`offloadctl explain` says that the flow {word} offloaded, and its packets take the path `{path}`"),
        format!("the next packets were counted: {}", seen.figures()),
    );
    if let Some(finding) = &mut finding {
        finding.place = Some(format!("flow {name}"));
    }
    Ok(finding)
}

/// Whether an answer is true of packets that take a path. A path that is none is no answer.
fn agree(said: bool, path: &str) -> bool {
    match path {
        "fast" | "hardware" | "hardware-there" | "hardware-back" => said,
        "slow" | "there-only" | "back-only" | "local" => !said,
        _ => true,
    }
}

/// What the tool says; nothing where it is not installed, or does not know.
fn ask(attempt: &mut Attempt<'_>, (near, far, port, proto): (IpAddr, IpAddr, u16, Proto)) -> Result<Option<bool>> {
    let (near, far, what) = (near.to_string(), far.to_string(), format!("{}/{port}", proto.word()));
    let words = ["offloadctl", "explain", &near, &far, &what, "--json"];
    let output = attempt.router.guest.run(&words, Deadline::after(ask::COMMAND))?;
    if output.code == 127 {
        return Ok(None);
    }
    let answer: Answer = serde_json::from_str(&output.text()).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Failed,
            id: "PROOF024",
            what: format!("`{}` ended with {} and no answer: {error}", words.join(" "), output.code),
            why: output.text(),
            fix: "run it by hand: `cargo xtask test NAME --keep`",
        })
    })?;
    Ok(answer.offloaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_against_paths_that_are_some() {
        for path in ["fast", "hardware", "hardware-there", "hardware-back"] {
            assert!(agree(true, path) && !agree(false, path), "{path}");
        }
        for path in ["slow", "there-only", "back-only", "local"] {
            assert!(agree(false, path) && !agree(true, path), "{path}");
        }
        assert!(agree(true, "none") && agree(false, "mixed"));
    }
}
