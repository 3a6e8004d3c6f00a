//! Commands of a scenario and what they must answer, and facts about the router.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Check, CheckKind, Deadline, Exit, Failure, Finding, Format, Result, Severity};
use vm::console::Output;
use vm::session::Session;

use crate::attempt::Attempt;
use crate::probes;
use crate::scenario::{Action, Answer, Facts, Manage, Run};

/// The longest that one command of a scenario may take: seconds, but not on a machine that compiles meanwhile.
const COMMAND: Duration = Duration::from_secs(180);

/// Between two tries of a command that is repeated until it answers as it must.
const POLL: Duration = Duration::from_millis(100);

/// Prints mode, owner and target of every file of the root; of small files, which programs may write again as they
/// were, a digest; and of large ones, which take an emulated router seconds to read, the size and the time of the last
/// change to the file, which nobody can set. Files of about 256 KiB are both. Left out: what the kernel makes up, and
/// what may change without anything being installed: feed lists, locks, temporary files, and what apk knows, as it writes
/// that and what it was asked for also after a failure (3.0.6); what is installed it is asked itself. In words that
/// OpenWrt's busybox knows: it has no `stat`, and its `find` no `-exec … +`.
const FINGERPRINT: &str = r#"
cd /
skip='-path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o -path ./var'
skip="$skip -o -path ./lib/apk/db -o -path ./usr/lib/apk/db -o -path ./etc/apk/world"
find . -xdev \( $skip \) -prune -o -type f -size -512 -print0 | xargs -0 sha256sum | sort
find . -xdev \( $skip \) -prune -o -print0 | xargs -0 ls -lncd --full-time |
	awk '{ $2 = ""; if ($1 !~ /^-/ || $5 < 250000) $5 = $6 = $7 = $8 = ""; print }' | sort
"#;

/// What the root looked like; equal fingerprints mean that nothing was installed or removed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// Takes the fingerprint of the running router.
    pub(crate) fn take(session: &mut Session) -> Result<Fingerprint> {
        Fingerprint::of(&session.script(FINGERPRINT, Deadline::after(COMMAND))?)
    }

    /// A listing without /etc is none, nor are digests, whatever the exit code: two empty ones would be equal.
    fn of(output: &Output) -> Result<Fingerprint> {
        let text = output.text();
        let listed = text.lines().any(|line| line.starts_with('d') && line.ends_with(" ./etc"));
        let digested = text.lines().any(|line| line.contains("  ./etc/"));
        if output.success() && listed && digested {
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

/// Runs a command, again and again if it has time. `Ok(Some(_))`: the answer was not the right one.
pub(crate) fn run(attempt: &mut Attempt<'_>, run: &Run, at: &str) -> Result<Option<Finding>> {
    let words: Vec<&str> = run.words.iter().map(String::as_str).collect();
    let deadline = run.within.map(|within| Deadline::after(within.0));
    let output = loop {
        let output = attempt.session.run(&words, Deadline::after(COMMAND))?;
        let over = deadline.is_none_or(|deadline| deadline.passed());
        if over || judge("", attempt.manager, &run.answer, &output).is_none() {
            break output;
        }
        attempt.cancel.check()?;
        std::thread::sleep(POLL);
    };
    Ok(answered(attempt, &run.answer, at, &words.join(" "), &output))
}

/// Lets the package manager do something.
pub(crate) fn manage(attempt: &mut Attempt<'_>, manage: &Manage, at: &str) -> Result<Option<Finding>> {
    let words = manage.words(attempt.manager);
    let output = attempt.session.run(&words, Deadline::after(COMMAND))?;
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
    let found = judge(command, attempt.manager, wanted, output);
    if found.is_none() {
        output.text().lines().for_each(|line| attempt.events.line(attempt.name, format!("  {line}")));
    }
    let expected = format!("exit {}", wanted.exit);
    attempt.check(Check {
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

/// Checks the facts of a facts.
pub(crate) fn facts(attempt: &mut Attempt<'_>, facts: &Facts, at: &str) -> Result<Option<Finding>> {
    if facts.count() == 0 {
        return Ok(None);
    }
    let found = first_untrue(attempt, facts)?;
    attempt.check(Check {
        at: at.into(),
        kind: CheckKind::Step,
        subject: format!("{} facts", facts.count()),
        expected: "all hold".into(),
        observed: found.as_ref().map_or("all hold".into(), |finding| finding.what.clone()),
        detail: String::new(),
        holds: found.is_none(),
    });
    Ok(found)
}

fn first_untrue(attempt: &mut Attempt<'_>, facts: &Facts) -> Result<Option<Finding>> {
    let Attempt { session, manager, before, payload, absent, .. } = attempt;
    if !facts.loaded.is_empty() || !facts.not_loaded.is_empty() {
        let text = read(session, &["cat", "/proc/modules"])?;
        let present = probes::loaded_modules(&text);
        if let Some(finding) = membership("module", "loaded", &present, &facts.loaded, &facts.not_loaded) {
            return Ok(Some(finding));
        }
        absent.extend(facts.not_loaded.iter().map(|name| name.replace('-', "_")));
    }
    let from_feed: Vec<&str> = facts.loaded_from_feed.iter().map(String::as_str).collect();
    if let Some(finding) = payload.check(session, &from_feed, absent)? {
        return Ok(Some(finding));
    }
    if !facts.installed.is_empty() || !facts.not_installed.is_empty() {
        let text = read(session, Action::List.words(*manager))?;
        let present = probes::installed_packages(*manager, &text);
        let found = membership("package", "installed", &present, &facts.installed, &facts.not_installed);
        if found.is_some() {
            return Ok(found);
        }
    }
    match before {
        Some(before) if facts.root_unchanged => Ok(unchanged(before, &Fingerprint::take(session)?)),
        _ => Ok(None),
    }
}

/// The output of a command that must succeed for the scenario to mean anything.
pub(crate) fn read(session: &mut Session, words: &[&str]) -> Result<String> {
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

/// A flow that no step opened: the loader refuses such files.
pub(crate) fn unknown_flow(name: &str) -> Failure {
    Failure::new(
        Exit::Bug,
        "SCEN006",
        format!("the flow `{name}` is not open"),
        "the file was checked before it ran, and the check missed this",
        "report this together with the scenario",
    )
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

fn membership(noun: &str, state: &str, present: &[&str], wanted: &[String], unwanted: &[String]) -> Option<Finding> {
    // The kernel writes `-` in a module's name as `_`.
    let has = |name: &String| present.contains(&name.as_str()) || present.contains(&name.replace('-', "_").as_str());
    let why = || format!("{state}: {}", present.join(" "));
    if let Some(name) = wanted.iter().find(|name| !has(name)) {
        return broken("STEP003", format!("{noun} {name} is not {state}"), why());
    }
    let name = unwanted.iter().find(|name| has(name))?;
    broken("STEP004", format!("{noun} {name} is {state} and must not be"), why())
}

fn unchanged(before: &Fingerprint, after: &Fingerprint) -> Option<Finding> {
    if before == after {
        return None;
    }
    broken("STEP005", "the root file system changed".into(), before.difference(after))
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

    #[test]
    fn lists_are_checked_for_what_must_and_what_must_not_be_there() {
        let present = ["nf_nat", "crc32c_intel"];
        let check = |wanted: &[&str], unwanted: &[&str]| {
            membership("module", "loaded", &present, &words(wanted), &words(unwanted)).map(|finding| finding.id)
        };
        assert_eq!(check(&["nf_nat", "crc32c-intel"], &["nft_nat"]), None);
        assert_eq!(check(&["nft_nat"], &[]), Some("STEP003"));
        assert_eq!(check(&[], &["nf_nat"]), Some("STEP004"));
    }

    #[test]
    fn a_flow_that_nobody_opened_is_our_defect() {
        let failure = unknown_flow("a");
        assert_eq!((failure.id(), failure.exit()), ("SCEN006", Exit::Bug));
    }

    #[test]
    fn what_the_router_could_not_say_is_blocked() {
        let output = |code, text: &str| Output { code, out: text.into() };
        assert_eq!(successful(&["cat"], output(0, "x")).unwrap(), "x");
        assert_eq!(successful(&["cat"], output(1, "x")).unwrap_err().id(), "SCEN003");
        let (digest, listing) = ("abcd  ./etc/passwd\n", "drwxr-xr-x 0 0 ./etc\n");
        let both = [digest, listing].concat();
        assert!(Fingerprint::of(&output(0, &both)).is_ok());
        for bad in [output(1, &both), output(0, ""), output(0, digest), output(0, listing)] {
            let failure = Fingerprint::of(&bad).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SCEN002", Exit::Blocked));
        }
    }

    /// On the host, whose programs understand the same words.
    #[test]
    fn what_is_written_to_the_root_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let script = FINGERPRINT.replace("cd /\n", &format!("cd '{}'\n", root.path().display()));
        let take = || {
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            Fingerprint::of(&Output { code: said.status.code().unwrap(), out: said.stdout }).unwrap()
        };
        std::fs::create_dir_all(path("etc/opkg")).unwrap();
        let mut large = vec![b'x'; 1 << 20];
        std::fs::write(path("large"), &large).unwrap();
        std::fs::write(path("etc/small"), "one\n").unwrap();
        std::os::unix::fs::symlink("small", path("etc/link")).unwrap();
        let modified = path("large").metadata().unwrap().modified().unwrap();
        let mut before = take();
        let mut changed = |what: &str, expected: bool| {
            let after = take();
            assert_eq!(before != after, expected, "{what}");
            before = after;
        };
        changed("nothing", false);
        std::fs::write(path("etc/small"), "one\n").unwrap();
        changed("a small file, written as it was", false);
        std::fs::write(path("etc/small"), "two\n").unwrap();
        changed("a small file of the same size", true);
        large[77] = b'y';
        std::fs::write(path("large"), &large).unwrap();
        std::fs::File::options().write(true).open(path("large")).unwrap().set_modified(modified).unwrap();
        changed("a large file of the same size and age", true);
        std::os::unix::fs::symlink("other", path("etc/new")).unwrap();
        std::fs::rename(path("etc/new"), path("etc/link")).unwrap();
        changed("where a link leads", true);
        std::fs::write(path("etc/opkg/new"), "").unwrap();
        changed("a new file", true);
        std::fs::remove_file(path("etc/opkg/new")).unwrap();
        changed("one file less", true);
        std::fs::set_permissions(path("etc/small"), std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
        changed("a mode", true);
        std::fs::create_dir_all(path("etc/apk")).unwrap();
        changed("a folder", true);
        std::fs::write(path("etc/apk/world"), "kmod-nft-offload\n").unwrap();
        changed("what apk was asked for", false);
    }

    #[test]
    fn one_changed_byte_changes_the_fingerprint() {
        let before = Fingerprint("./bin/a 755 0 0\naaaa  -\n".into());
        assert_eq!(unchanged(&before, &Fingerprint(before.0.clone())), None);
        let finding = unchanged(&before, &Fingerprint("./bin/a 755 0 0\naaab  -\n".into())).unwrap();
        assert_eq!(finding.id, "STEP005");
        assert!(finding.why.contains("-aaaa") && finding.why.contains("+aaab"), "{}", finding.why);
    }
}
