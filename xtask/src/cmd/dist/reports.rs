//! The results of scenarios, from the reports of `test --json`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use feeds::dist::Verdict;
use model::{Exit, Failure, Problem, Result};
use serde::Deserialize;

use crate::facts::PACKAGES;

/// The parts of a report that are used.
#[derive(Debug, Deserialize)]
struct Report {
    facts: Vec<Fact>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Case {
    verdict: String,
    record: Record,
}

#[derive(Debug, Deserialize)]
struct Record {
    scenario: String,
    manager: String,
    kernel: String,
    sabotage: Option<String>,
}

/// Verdicts by the identity of the packages that the scenarios used. Skipped scenarios, and those run with sabotage,
/// are left out.
///
/// # Errors
/// `DIST012` for a file that is not a report.
pub(super) fn read(files: &[Utf8PathBuf]) -> Result<BTreeMap<String, Vec<Verdict>>> {
    let mut found: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
    for file in files {
        let bytes = std::fs::read(file).map_err(|error| Failure::io_named("read the report", file, &error))?;
        let Report { facts, cases } = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::of(Problem {
                exit: Exit::Usage,
                id: "DIST012",
                what: "this is not a report of scenarios".to_owned(),
                why: error.to_string(),
                fix: "give a file that `cargo xtask test --json FILE` wrote",
            })
            .at(file)
        })?;
        for Case { verdict, record } in cases {
            let is_of = |fact: &&Fact| fact.name.strip_prefix(PACKAGES) == Some(&record.kernel);
            let Some(fact) = facts.iter().find(is_of) else { continue };
            if record.sabotage.is_none() && verdict != "skip" {
                let Record { scenario, manager, .. } = record;
                found.entry(fact.value.clone()).or_default().push(Verdict { scenario, manager, verdict });
            }
        }
    }
    found.values_mut().for_each(|verdicts| verdicts.sort());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_those_of_the_packages_that_the_report_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("report.json")).unwrap();
        let case = |scenario: &str, kernel: &str, verdict: &str, sabotage: Option<&str>| {
            serde_json::json!({ "verdict": verdict, "more": 1, "record":
                { "scenario": scenario, "manager": "apk", "kernel": kernel, "sabotage": sabotage, "more": 1 } })
        };
        let report = serde_json::json!({
            "facts": [{ "name": "QEMU", "value": "9" }, { "name": format!("{PACKAGES}6.12"), "value": "aa" }],
            "cases": [
                case("b", "6.12", "fail", None),
                case("a", "6.12", "pass", None),
                case("c", "6.1", "pass", None),
                case("d", "6.12", "pass", Some("one-device")),
                case("e", "6.12", "skip", None),
            ],
        });
        std::fs::write(&file, report.to_string()).unwrap();
        let verdict = |scenario: &str, verdict: &str| Verdict {
            scenario: scenario.into(),
            manager: "apk".into(),
            verdict: verdict.into(),
        };
        let wanted = BTreeMap::from([("aa".to_owned(), vec![verdict("a", "pass"), verdict("b", "fail")])]);
        assert_eq!(read(std::slice::from_ref(&file)).unwrap(), wanted);
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(read(&[file]).unwrap_err().id(), "DIST012");
    }
}
