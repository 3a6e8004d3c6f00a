//! Commands of a scenario, and what they must answer.

use std::time::Duration;

use model::{Check, CheckKind, Deadline, Finding, Format, Result};
use vm::guest::Output;

use crate::ask::{SCENARIO_COMMAND, broken};
use crate::attempt::Attempt;
use crate::scenario::{Answer, Manage, Run};

/// Between two tries of a command that is repeated until it answers as it must.
const POLL: Duration = Duration::from_millis(100);

/// Runs a command, again and again if it has time. `Ok(Some(_))`: the answer was not the right one.
pub(crate) fn run(attempt: &mut Attempt<'_>, run: &Run, at: &str) -> Result<Option<Finding>> {
    let words: Vec<&str> = run.words.iter().map(String::as_str).collect();
    let deadline = run.within.map(|within| Deadline::after(within.0));
    let output = loop {
        let output = attempt.router.guest.run(&words, Deadline::after(SCENARIO_COMMAND))?;
        let over = deadline.is_none_or(|deadline| deadline.passed());
        if over || judge("", attempt.router.manager, &run.answer, &output).is_none() {
            break output;
        }
        attempt.cancel.check()?;
        std::thread::sleep(POLL);
    };
    Ok(answered(attempt, &run.answer, at, &words.join(" "), &output))
}

/// Lets the package manager do something.
pub(crate) fn manage(attempt: &mut Attempt<'_>, manage: &Manage, at: &str) -> Result<Option<Finding>> {
    let words = manage.words(attempt.router.manager);
    let output = attempt.router.guest.run(&words, Deadline::after(SCENARIO_COMMAND))?;
    Ok(answered(attempt, &manage.answer, at, &words.join(" "), &output))
}

/// Notes what a command answered; a finding if that was not the right answer.
pub(crate) fn answered(
    attempt: &mut Attempt<'_>,
    wanted: &Answer,
    at: &str,
    command: &str,
    output: &Output,
) -> Option<Finding> {
    let found = judge(command, attempt.router.manager, wanted, output);
    if found.is_none() {
        output.text().lines().for_each(|line| attempt.told.line(format!("  {line}")));
    }
    let expected = format!("exit {}", wanted.exit);
    attempt.told.check(Check {
        at: at.into(),
        kind: CheckKind::Step,
        subject: command.into(),
        observed: match &found {
            None => expected.clone(),
            Some(finding) => finding.what.clone(),
        },
        expected,
        detail: output.text().lines().next().unwrap_or_default().to_owned(),
        holds: found.is_none(),
    });
    found
}

fn judge(command: &str, manager: Format, wanted: &Answer, output: &Output) -> Option<Finding> {
    let (code, text) = (output.code, output.text());
    let said =
        || if text.trim().is_empty() { "it printed nothing".into() } else { format!("it printed:\n{}", text.trim()) };
    if !wanted.exit.accepts(code) {
        return broken("STEP001", format!("`{command}` ended with {code}, expected {}", wanted.exit), said());
    }
    if let Some(missing) = wanted.texts(manager).find(|wanted| !text.contains(wanted)) {
        return broken("STEP002", format!("`{command}` did not say {missing:?}"), said());
    }
    let unwanted = wanted.says_not.iter().find(|unwanted| text.contains(unwanted.as_str()))?;
    broken("STEP007", format!("`{command}` said {unwanted:?}, and must not"), said())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ExpectedExit;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn an_answer_must_have_the_code_and_the_words() {
        let wanted = Answer { says: words(&["passed"]), ..Answer::default() };
        let id = |wanted: &Answer, code, text: &str| {
            let output = Output { code, out: text.into() };
            judge("opkg update", Format::Ipk, wanted, &output).map(|finding| finding.id)
        };
        assert_eq!(id(&wanted, 0, "Signature check passed."), None);
        assert_eq!(id(&wanted, 1, "Signature check passed."), Some("STEP001"));
        assert_eq!(id(&wanted, 0, ""), Some("STEP002"));
        let silent = Answer { says_not: words(&["warning"]), ..wanted.clone() };
        assert_eq!(id(&silent, 0, "passed"), None);
        assert_eq!(id(&silent, 0, "passed with a warning"), Some("STEP007"));
        let refused = Answer { exit: ExpectedExit::NonZero, ..wanted };
        assert_eq!(id(&refused, 255, "passed"), None);
        assert_eq!(id(&refused, 0, "passed"), Some("STEP001"));
    }
}
