//! Runs the steps of a scenario on a router and checks what they promise.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Deadline, Exit, Failure, Finding, Result, Severity};
use vm::console::Output;
use vm::session::Session;

use crate::probes;
use crate::scenario::{Action, ExpectedExit, Manager, Step};

/// The longest that one command of a scenario may take: seconds, but not on a machine that compiles meanwhile.
const COMMAND: Duration = Duration::from_secs(180);

/// Prints a digest or a target of every file of the root, with mode and owner. Left out: what the kernel
/// makes up, and what may change without anything being installed: feed lists, locks, temporary files.
const FINGERPRINT: &str = r"
cd /
skip='-path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o -path ./var'
find . -xdev \( $skip \) -prune -o -type f -exec sha256sum {} + | sort -k 2
find . -xdev \( $skip \) -prune -o -exec stat -c '%n %F %a %u %g %N' {} + | sort
";

/// What the root looked like; equal fingerprints mean that nothing was installed or removed.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes the fingerprint of the running router.
    pub fn take(session: &mut Session) -> Result<Fingerprint> {
        Fingerprint::of(&session.script(FINGERPRINT, Deadline::after(COMMAND))?)
    }

    /// A listing that names no program is none, whatever the exit code: two empty ones would be equal.
    fn of(output: &Output) -> Result<Fingerprint> {
        let text = output.text();
        if output.success() && text.contains("./bin") {
            return Ok(Fingerprint(text));
        }
        Err(Failure::new(
            Exit::Blocked,
            "SCEN002",
            format!("the fingerprint of the root could not be taken (exit code {})", output.code),
            text,
            "boot the router with `cargo xtask boot` and look at its root file system",
        ))
    }

    /// Lines of one that the other lacks, few enough to read.
    fn difference(&self, other: &Fingerprint) -> String {
        let mut count: BTreeMap<&str, i32> = BTreeMap::new();
        self.0.lines().for_each(|line| *count.entry(line).or_default() -= 1);
        other.0.lines().for_each(|line| *count.entry(line).or_default() += 1);
        let changed: Vec<String> = count
            .into_iter()
            .filter(|(_line, times)| *times != 0)
            .map(|(line, times)| format!("{}{line}", if times > 0 { '+' } else { '-' }))
            .collect();
        let shown = changed.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        if changed.len() > 10 { format!("{shown}\n… and {} more", changed.len() - 10) } else { shown }
    }
}

/// Runs one step. `Ok(Some(_))`: it did not hold.
pub fn run(
    session: &mut Session,
    manager: Manager,
    number: usize,
    step: &Step,
    before: Option<&Fingerprint>,
) -> Result<Option<Finding>> {
    let words = step.words(manager);
    if !words.is_empty() {
        let output = session.run(&words, Deadline::after(COMMAND))?;
        if let Some(finding) = answer(number, manager, step, output.code, &output.text()) {
            return Ok(Some(finding));
        }
    }
    if !step.loaded.is_empty() || !step.not_loaded.is_empty() {
        let text = read(session, &["cat", "/proc/modules"])?;
        let present = probes::loaded_modules(&text);
        if let Some(finding) = membership(number, "module", "loaded", &present, &step.loaded, &step.not_loaded) {
            return Ok(Some(finding));
        }
    }
    if !step.installed.is_empty() || !step.not_installed.is_empty() {
        let text = read(session, manager.words(Action::List))?;
        let present = probes::installed_packages(manager, &text);
        let found = membership(number, "package", "installed", &present, &step.installed, &step.not_installed);
        if found.is_some() {
            return Ok(found);
        }
    }
    match before {
        Some(before) if step.root_unchanged => Ok(unchanged(number, before, &Fingerprint::take(session)?)),
        _ => Ok(None),
    }
}

/// The output of a command that must succeed for the scenario to mean anything.
pub fn read(session: &mut Session, words: &[&str]) -> Result<String> {
    successful(words, session.run(words, Deadline::after(COMMAND))?)
}

fn successful(words: &[&str], output: Output) -> Result<String> {
    if output.success() {
        return Ok(output.text());
    }
    Err(Failure::new(
        Exit::Blocked,
        "SCEN003",
        format!("`{}` ended with {} on the router", words.join(" "), output.code),
        output.text(),
        "run it by hand: `cargo xtask boot`",
    ))
}

fn broken(id: &'static str, number: usize, what: String, why: String) -> Option<Finding> {
    Some(Finding {
        id,
        severity: Severity::Error,
        place: Some(format!("step {number}")),
        what,
        why,
        fix: "compare with what the scenario file promises; `cargo xtask boot` gives a console on the same router"
            .into(),
    })
}

fn answer(number: usize, manager: Manager, step: &Step, code: i32, text: &str) -> Option<Finding> {
    let command = step.words(manager).join(" ");
    let said =
        || if text.trim().is_empty() { "it printed nothing".into() } else { format!("it printed:\n{}", text.trim()) };
    if !step.exit.accepts(code) {
        let wanted = match step.exit {
            ExpectedExit::Code(wanted) => wanted.to_string(),
            ExpectedExit::NonZero => "anything but 0".into(),
        };
        return broken("STEP001", number, format!("`{command}` ended with {code}, expected {wanted}"), said());
    }
    let missing = step.texts(manager).find(|wanted| !text.contains(wanted))?;
    broken("STEP002", number, format!("`{command}` did not say {missing:?}"), said())
}

fn membership(
    number: usize,
    noun: &str,
    state: &str,
    present: &[&str],
    wanted: &[String],
    unwanted: &[String],
) -> Option<Finding> {
    // The kernel writes `-` in a module's name as `_`.
    let has = |name: &String| present.contains(&name.as_str()) || present.contains(&name.replace('-', "_").as_str());
    let why = || format!("{state}: {}", present.join(" "));
    if let Some(name) = wanted.iter().find(|name| !has(name)) {
        return broken("STEP003", number, format!("{noun} {name} is not {state}"), why());
    }
    let name = unwanted.iter().find(|name| has(name))?;
    broken("STEP004", number, format!("{noun} {name} is {state} and must not be"), why())
}

fn unchanged(number: usize, before: &Fingerprint, after: &Fingerprint) -> Option<Finding> {
    if before == after {
        return None;
    }
    broken("STEP005", number, "the root file system changed".into(), before.difference(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn an_answer_must_have_the_code_and_the_words() {
        let step = Step { run: words(&["opkg", "update"]), says: words(&["passed"]), ..Step::default() };
        assert_eq!(answer(1, Manager::Opkg, &step, 0, "Signature check passed."), None);
        assert_eq!(answer(1, Manager::Opkg, &step, 1, "Signature check passed.").unwrap().id, "STEP001");
        assert_eq!(answer(1, Manager::Opkg, &step, 0, "").unwrap().id, "STEP002");
        let refused = Step { exit: ExpectedExit::NonZero, ..step };
        assert_eq!(answer(1, Manager::Opkg, &refused, 255, "passed"), None);
        assert_eq!(answer(1, Manager::Opkg, &refused, 0, "passed").unwrap().id, "STEP001");
    }

    #[test]
    fn lists_are_checked_for_what_must_and_what_must_not_be_there() {
        let present = ["nf_nat", "crc32c_intel"];
        let check = |wanted: &[&str], unwanted: &[&str]| {
            membership(2, "module", "loaded", &present, &words(wanted), &words(unwanted)).map(|finding| finding.id)
        };
        assert_eq!(check(&["nf_nat", "crc32c-intel"], &["nft_nat"]), None);
        assert_eq!(check(&["nft_nat"], &[]), Some("STEP003"));
        assert_eq!(check(&[], &["nf_nat"]), Some("STEP004"));
    }

    #[test]
    fn what_the_router_could_not_say_is_blocked() {
        let output = |code, text: &str| Output { code, out: text.into() };
        assert_eq!(successful(&["cat"], output(0, "x")).unwrap(), "x");
        assert_eq!(successful(&["cat"], output(1, "x")).unwrap_err().id(), "SCEN003");
        assert!(Fingerprint::of(&output(0, "./bin/sh regular file")).is_ok());
        for bad in [output(1, "./bin/sh"), output(0, "")] {
            let failure = Fingerprint::of(&bad).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SCEN002", Exit::Blocked));
        }
    }

    #[test]
    fn one_changed_byte_changes_the_fingerprint() {
        let before = Fingerprint("./bin/a 755 0 0\naaaa  -\n".into());
        assert_eq!(unchanged(3, &before, &Fingerprint(before.0.clone())), None);
        let finding = unchanged(3, &before, &Fingerprint("./bin/a 755 0 0\naaab  -\n".into())).unwrap();
        assert_eq!(finding.id, "STEP005");
        assert!(finding.why.contains("-aaaa") && finding.why.contains("+aaab"), "{}", finding.why);
    }
}
