//! What a router lacks for a scenario, and how that is made up for: a release's own feeds have what its default image has
//! not. A stand-in has all that scenarios need, so what it lacks is a defect.

use model::{Deadline, Finding, Format, Result, Severity, Verdict};
use vm::guest::{Guest, Origin};
use vm::lab::Lab;

use crate::ask::{COMMAND, SCENARIO_COMMAND};
use crate::bench::{self, Feeds};
use crate::recorder::Recorder;
use crate::scenario::{Action, FeedVariant, Needs};

/// The verdict where the router cannot run a scenario. What can be installed is.
pub(crate) fn verdict(
    guest: &mut dyn Guest,
    needs: &Needs,
    (feeds, lab): (&Feeds<'_>, &Lab),
    manager: Format,
    told: &mut Recorder,
) -> Result<Option<Verdict>> {
    let lacks = ask(guest, needs)?;
    if lacks.is_empty() {
        return Ok(None);
    }
    let amiss = lacks.join(", ");
    if guest.about().origin == Origin::StandIn {
        return Ok(Some(Verdict::Fail { finding: of_stand_in(&amiss) }));
    }
    let skip = |more: String| Ok(Some(Verdict::Skip { reason: format!("the release's image {amiss}{more}") }));
    if needs.packages.is_empty() || !lacks.iter().all(|lacks| Needs::may_be_brought(lacks)) {
        return skip(String::new());
    }
    let names = needs.packages.join(", ");
    if let Some(absent) = needs.packages.iter().find(|name| !feeds.borrowed.has.contains(*name)) {
        let why = feeds.borrowed.lacks.get(absent).cloned().unwrap_or_else(|| format!("no feed has {absent}"));
        return skip(format!("; {why}"));
    }
    if let Some(finding) = install(guest, &needs.packages, (feeds, lab), manager)? {
        return Ok(Some(Verdict::Fail { finding }));
    }
    told.note(format!("the release's image {amiss}: installed {names} of its own feeds"));
    let left = ask(guest, needs)?;
    if left.is_empty() { Ok(None) } else { skip(format!(", and with {names} installed still {}", left.join(", "))) }
}

/// What is amiss, in the router's own words.
fn ask(guest: &mut dyn Guest, needs: &Needs) -> Result<Vec<String>> {
    let Some(script) = needs.script() else { return Ok(Vec::new()) };
    let said = guest.script(&script, Deadline::after(COMMAND))?.text();
    Ok(said.lines().map(str::to_owned).collect())
}

fn install(
    guest: &mut dyn Guest,
    packages: &[String],
    (feeds, lab): (&Feeds<'_>, &Lab),
    manager: Format,
) -> Result<Option<Finding>> {
    lab.serve(&bench::folder(feeds.folders, FeedVariant::Published)?)?;
    feeds.trust.teach(guest)?;
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    for (action, packages) in [(Action::Update, &[][..]), (Action::Install, &names)] {
        let words: Vec<&str> = action.words(manager).iter().chain(packages).copied().collect();
        let output = guest.run(&words, Deadline::after(SCENARIO_COMMAND))?;
        if !output.success() {
            return Ok(Some(not_installed(&words, output.code, output.text())));
        }
    }
    Ok(None)
}

fn of_stand_in(amiss: &str) -> Finding {
    Finding {
        id: "SCEN007",
        severity: Severity::Error,
        place: None,
        what: format!("the stand-in {amiss}"),
        why: "the scenario says that it needs it, and a stand-in with less would hide what does not work".into(),
        fix: "add it to qemu/local/image.yaml or to the modules of the stand-in, or correct `needs`".into(),
    }
}

fn not_installed(words: &[&str], code: i32, said: String) -> Finding {
    Finding {
        id: "SCEN009",
        severity: Severity::Error,
        place: Some("needs".into()),
        what: format!("`{}` ended with {code} on the router", words.join(" ")),
        why: said,
        fix: "the scenario needs these packages of the release's own feeds; see what the package manager says, and correct \
              `needs: packages` if they clash with what is installed"
            .into(),
    }
}

#[cfg(test)]
mod tests;
