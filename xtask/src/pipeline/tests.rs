//! Stages are done again when the code that does their work changes.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::stages;
use crate::code::Code;
use crate::ctx::tests::ctx;
use crate::stage::{By, Stage};
use model::Events;

/// Collects the files below a folder.
fn files(folder: &Utf8Path, into: &mut Vec<Utf8PathBuf>) {
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

/// A source without its tests.
fn source(file: &Utf8Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

fn mentions(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)))
}

/// The constants of [`stages`], by name.
fn constants() -> Vec<(String, Stage)> {
    let text = include_str!("stages.rs");
    let names =
        text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": Stage =")).map(|(n, _)| n);
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert_eq!(names.len(), stages::ALL.len(), "every stage is one of all");
    names.into_iter().zip(stages::ALL).collect()
}

#[test]
fn what_puts_a_stage_together_goes_through_no_other_crate_than_the_stage_names() {
    let ctx = ctx("/nowhere".into(), Events::discard());
    let workspace = ctx.workspace().unwrap();
    let crates: BTreeSet<&str> = workspace.crates().collect();
    assert!(crates.len() >= 9, "{crates:?}");
    let mut sources = Vec::new();
    files(&ctx.root.join("xtask/src/pipeline"), &mut sources);
    let mut seen = BTreeSet::new();
    for file in sources.iter().filter(|file| !file.ends_with("stages.rs") && !file.ends_with("tests.rs")) {
        let text = source(file);
        let here: Vec<_> = constants().into_iter().filter(|(name, _)| text.contains(&format!("&{name},"))).collect();
        if here.is_empty() {
            continue;
        }
        let mut known: BTreeSet<String> = Code::BENEATH.map(str::to_owned).into();
        for (name, stage) in &here {
            match stage.by {
                By::Crates(names) => {
                    known.extend(names.iter().flat_map(|name| workspace.needed(name)).map(str::to_owned))
                }
                By::Version(_) => {}
            }
            seen.insert(name.clone());
        }
        let versions_only = here.iter().all(|(_, stage)| matches!(stage.by, By::Version(_)));
        for name in crates.iter().filter(|name| mentions(&text, &format!("{name}::"))) {
            assert!(versions_only || known.contains(*name), "{file} goes through `{name}`: {here:?}");
        }
    }
    assert_eq!(seen.len(), stages::ALL.len(), "each is put together somewhere: {seen:?}");
}

#[test]
fn names_of_stages_are_not_shared() {
    let names: BTreeSet<&str> = stages::ALL.iter().map(|stage| stage.name).collect();
    assert_eq!(names.len(), stages::ALL.len());
}

/// No result depends on code that only calls stages or receives their events, so that code is left out.
#[test]
fn what_stages_run_through_does_not_know_what_is_above_it() {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    files(&folder, &mut sources);
    let above = |file: &Utf8Path| {
        let first = file.strip_prefix(&folder).unwrap().components().next().unwrap().as_str().to_owned();
        Code::ABOVE.contains(&first.trim_end_matches(".rs"))
    };
    let below: Vec<_> = sources.iter().filter(|file| !above(file) && !file.as_str().contains("tests")).collect();
    assert!(below.len() > 20 && below.len() < sources.len());
    for file in below {
        let text = source(file);
        for module in ["cmd", "report", "sink"] {
            for path in [format!("crate::{module}"), format!("crate::{{{module}"), format!("super::{module}")] {
                assert!(!text.contains(&path), "{file} knows `{path}`");
            }
        }
    }
}
