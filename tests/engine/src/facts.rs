//! What must be true of the router after a step.

use model::{Check, CheckKind, Finding, Result};

use crate::ask;
use crate::attempt::{Attempt, Router};
use crate::fingerprint::{self, Fingerprint};
use crate::kernel;
use crate::probes;
use crate::scenario::{Action, Facts};

/// Checks all facts of a step.
pub(crate) fn check(attempt: &mut Attempt<'_>, facts: &Facts, at: &str) -> Result<Option<Finding>> {
    if facts.count() == 0 {
        return Ok(None);
    }
    let found = first_untrue(&mut attempt.router, facts)?;
    attempt.told.check(Check {
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

fn first_untrue(router: &mut Router<'_>, facts: &Facts) -> Result<Option<Finding>> {
    let Router { guest, manager, payload, absent, before, card: _ } = router;
    if !facts.loaded.is_empty() || !facts.not_loaded.is_empty() || !facts.uses.is_empty() {
        let text = ask::read(*guest, &["cat", "/proc/modules"])?;
        let present = probes::loaded_modules(&text);
        if let Some(finding) = membership("module", "loaded", &present, &facts.loaded, &facts.not_loaded) {
            return Ok(Some(finding));
        }
        if let Some(finding) = kernel::used(&text, &facts.uses) {
            return Ok(Some(finding));
        }
        absent.extend(facts.not_loaded.iter().map(|name| name.replace('-', "_")));
    }
    let from_feed: Vec<&str> = facts.loaded_from_feed.iter().map(String::as_str).collect();
    if let Some(finding) = payload.check(*guest, &from_feed, absent)? {
        return Ok(Some(finding));
    }
    if !facts.installed.is_empty() || !facts.not_installed.is_empty() {
        let text = ask::read(*guest, Action::List.words(*manager))?;
        let present = probes::installed_packages(*manager, &text);
        let found = membership("package", "installed", &present, &facts.installed, &facts.not_installed);
        if found.is_some() {
            return Ok(found);
        }
    }
    if let Some(expected) = &facts.taint
        && let Some(finding) = kernel::tainted(*guest, expected)?
    {
        return Ok(Some(finding));
    }
    if !facts.kept_by_sysupgrade.is_empty() {
        let kept = ask::read(*guest, &["sysupgrade", "-l"])?;
        let found = not_kept(&kept, &facts.kept_by_sysupgrade);
        if found.is_some() {
            return Ok(found);
        }
    }
    match before {
        Some(before) if facts.root_unchanged => Ok(fingerprint::unchanged(before, &Fingerprint::take(*guest)?)),
        _ => Ok(None),
    }
}

fn not_kept(list: &str, wanted: &[String]) -> Option<Finding> {
    // OpenWrt's lists paths with or without the slash in front, by version.
    let is = |line: &str, path: &str| line.trim().trim_start_matches('/') == path.trim_start_matches('/');
    let lost = wanted.iter().find(|path| !list.lines().any(|line| is(line, path)))?;
    ask::broken("STEP013", format!("sysupgrade would not keep {lost}"), format!("it keeps:\n{}", list.trim()))
}

fn membership(noun: &str, state: &str, present: &[&str], wanted: &[String], unwanted: &[String]) -> Option<Finding> {
    // The kernel writes `-` in a module's name as `_`.
    let has = |name: &String| present.contains(&name.as_str()) || present.contains(&name.replace('-', "_").as_str());
    let why = || format!("{state}: {}", present.join(" "));
    if let Some(name) = wanted.iter().find(|name| !has(name)) {
        return ask::broken("STEP003", format!("{noun} {name} is not {state}"), why());
    }
    let name = unwanted.iter().find(|name| has(name))?;
    ask::broken("STEP004", format!("{noun} {name} is {state} and must not be"), why())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_an_upgrade_of_the_system_would_lose_is_told() {
        let list = "/etc/config/network\netc/passwd\n";
        assert_eq!(not_kept(list, &words(&["/etc/passwd", "/etc/config/network"])), None);
        assert_eq!(not_kept(list, &words(&["/etc/config/x"])).unwrap().id, "STEP013");
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
}
