//! Merges the reports of the parts of a run, which was spread over several machines.

use std::collections::{BTreeMap, BTreeSet};

use model::{Exit, Finding, Severity};

use super::{Fact, Run};
use crate::cli::partition::Partition;
use crate::facts::{PACKAGES, PART};

/// The parts as one run, in their order. Problems with them become findings and affect its exit code: a missing part
/// (`REP002`), and parts that do not belong to one run (`REP003`).
pub fn merge(command: String, parts: Vec<Run>) -> Run {
    let mut merged = Run::new(command, Vec::new());
    let mut numbered: Vec<(Option<Partition>, Run)> = parts.into_iter().map(|part| (part_of(&part), part)).collect();
    numbered.sort_by_key(|(part, _)| part.map(|part| part.number));
    let wrong = wrong(&numbered);
    merged.exit = Exit::Done.code();
    for (_, part) in numbered {
        let Run { command: _, again: _, exit, millis, facts, stages, cases, kmods, findings, costs } = part;
        merged.exit = worse(merged.exit, exit);
        // The parts ran in parallel.
        merged.millis = merged.millis.max(millis);
        let new =
            facts.into_iter().filter(|fact| fact.name != PART && !merged.facts.contains(fact)).collect::<Vec<_>>();
        merged.facts.extend(new);
        merged.stages.extend(stages);
        merged.cases.extend(cases);
        for row in kmods {
            match merged.kmods.iter_mut().find(|known| (&known.kmod, &known.kernel) == (&row.kmod, &row.kernel)) {
                Some(known) => known.join(row),
                None => merged.kmods.push(row),
            }
        }
        merged.findings.extend(findings);
        merged.costs.extend(costs);
    }
    for (exit, finding) in wrong {
        merged.exit = worse(merged.exit, exit.code());
        merged.findings.push(finding);
    }
    merged
}

fn part_of(run: &Run) -> Option<Partition> {
    run.facts.iter().find(|fact| fact.name == PART)?.value.parse().ok()
}

fn worse(one: u8, other: u8) -> u8 {
    let exit = |code: u8| Exit::of_code(code).unwrap_or(Exit::Bug);
    exit(one).worse(exit(other)).code()
}

fn wrong(parts: &[(Option<Partition>, Run)]) -> Vec<(Exit, Finding)> {
    let mut why = Vec::new();
    let known: Vec<Partition> = parts.iter().filter_map(|(part, _)| *part).collect();
    if known.len() < parts.len() {
        why.push(format!("{} of them are not parts: they ran all scenarios", parts.len() - known.len()));
    }
    let sizes: BTreeSet<_> = known.iter().map(|part| part.of).collect();
    if sizes.len() > 1 {
        why.push("they do not agree on the number of parts".to_owned());
    }
    let mut cases = BTreeSet::new();
    let twice =
        parts.iter().flat_map(|(_, run)| &run.cases).find(|case| !cases.insert((&case.name, &case.record.kernel)));
    if let Some(case) = twice {
        why.push(format!("{} ran in two of them", case.name));
    }
    let mut packages: BTreeMap<&str, &str> = BTreeMap::new();
    for Fact { name, value } in
        parts.iter().flat_map(|(_, run)| &run.facts).filter(|fact| fact.name.starts_with(PACKAGES))
    {
        if packages.insert(name, value).is_some_and(|before| before != value) {
            why.push(format!("they ran on different {name}"));
        }
    }
    let mut wrong = Vec::new();
    if !why.is_empty() {
        wrong.push((Exit::Usage, not_of_one_run(&why.join("; "))));
    } else if let Some(of) = sizes.first() {
        let there: BTreeSet<_> = known.iter().map(|part| part.number.get()).collect();
        let gone = (1..=of.get()).filter(|number| !there.contains(number));
        wrong.extend(gone.map(|number| (Exit::Blocked, missing(&format!("part {number} of {of}")))));
    }
    wrong
}

fn missing(part: &str) -> Finding {
    Finding {
        id: "REP002",
        severity: Severity::Error,
        place: Some(part.to_owned()),
        what: format!("there is no report of {part}"),
        why: "its scenarios may have failed, or never run: nothing is known about them".into(),
        fix: "check the job that had to run it; it writes its report with --json even if scenarios fail".into(),
    }
}

fn not_of_one_run(why: &str) -> Finding {
    Finding {
        id: "REP003",
        severity: Severity::Error,
        place: None,
        what: "the reports are not those of one run's parts".into(),
        why: why.to_owned(),
        fix: "give the files that `cargo xtask test --partition slice:K/N --json FILE` wrote, one for each part, from \
             one commit"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample::sample;

    /// Part `number` of `of` of the sample: each case is in one of the parts.
    fn part(number: usize, of: usize) -> Run {
        let mut run = sample();
        let mut at = 0..;
        run.cases.retain(|_| at.next().is_some_and(|index| index % of == number - 1));
        run.facts.push(Fact { name: PART.into(), value: format!("slice:{number}/{of}") });
        // The report as it is after writing and reading it.
        serde_json::from_str(&crate::report::json::render(&run)).unwrap()
    }

    fn ids(run: &Run) -> Vec<&str> {
        run.errors().map(|finding| finding.id).collect()
    }

    #[test]
    fn the_parts_of_a_run_are_told_as_one() {
        let whole = sample();
        let merged = merge("x".into(), vec![part(2, 3), part(3, 3), part(1, 3)]);
        assert_eq!((merged.counts(), merged.exit), (whole.counts(), whole.exit));
        assert_eq!((merged.facts.len(), merged.stages.len(), ids(&merged).len()), (whole.facts.len(), 9, 0));
        let one = &merged.cases[0];
        assert!(whole.cases.contains(one), "a case comes back as it was written");
    }

    #[test]
    fn a_part_that_is_not_there_is_never_green() {
        let good = |number| Run { exit: 0, ..part(number, 3) };
        let merged = merge("x".into(), vec![good(1), good(3)]);
        assert_eq!((ids(&merged), merged.exit), (vec!["REP002"], Exit::Blocked.code()));
        assert_eq!(merged.findings.last().unwrap().place.as_deref(), Some("part 2 of 3"));
        assert_eq!(merge("x".into(), vec![good(1), good(2), good(3)]).exit, 0);
    }

    #[test]
    fn what_is_not_of_one_run_is_told() {
        let other = |name: &str, value: &str| {
            let mut run = part(2, 2);
            run.facts.push(Fact { name: name.into(), value: value.into() });
            run
        };
        let packages = format!("{PACKAGES}6.12");
        let mut first = part(1, 2);
        first.facts.push(Fact { name: packages.clone(), value: "aa".into() });
        assert_eq!(ids(&merge("x".into(), vec![first.clone(), other(&packages, "aa")])), [""; 0]);
        for parts in [
            vec![first.clone(), other(&packages, "bb")],
            vec![first.clone(), first.clone()],
            vec![first.clone(), part(2, 3)],
            vec![first, sample()],
        ] {
            assert_eq!(ids(&merge("x".into(), parts)), ["REP003"]);
        }
    }
}
