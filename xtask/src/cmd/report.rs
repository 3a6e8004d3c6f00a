//! `report merge`: merges the reports of a suite's parts.

use camino::Utf8PathBuf;
use model::{Event, Exit, Failure, Problem, Result};

use crate::cli::{MergeArgs, ReportAction, ReportArgs};
use crate::report::merge::merge;
use crate::report::{Files, Run};
use crate::{Ctx, Outcome, sink};

/// Reads the parts and writes the requested reports. Exits like the worst part.
pub fn run(ctx: &Ctx, args: &ReportArgs) -> Result<Outcome> {
    let ReportAction::Merge(MergeArgs { parts, reports }) = &args.action;
    let parts = parts.iter().map(read).collect::<Result<Vec<Run>>>()?;
    let merged = merge(sink::command(std::env::args().skip(1)), parts);
    merged.errors().for_each(|finding| ctx.events.emit(Event::Finding(finding.clone())));
    if let Some(files) = Files::of(reports, sink::summary()) {
        files.write(&merged)?;
    }
    let exit = Exit::of_code(merged.exit).unwrap_or(Exit::Bug);
    let counts = merged.counts();
    let data = format!(
        "{}: {} passed, {} failed, {} blocked, {} skipped",
        merged.headline(),
        counts.passed,
        counts.failed,
        counts.blocked,
        counts.skipped
    );
    Ok(Outcome { exit, data })
}

fn read(file: &Utf8PathBuf) -> Result<Run> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::io_named("read the report", file, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "REP001",
            what: "this is not a report of this version of the program".to_owned(),
            why: error.to_string(),
            fix: "give a file that `cargo xtask test --json FILE` wrote",
        })
        .at(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Reports;
    use crate::ctx::tests::ctx;
    use crate::report::json;
    use crate::report::tests::sample::sample;
    use model::Events;

    #[test]
    fn reports_are_read_merged_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let ctx = ctx(&root, Events::discard());
        let merged = |parts: &[&str], reports: Reports| {
            let parts = parts.iter().map(|name| root.join(name)).collect();
            run(&ctx, &ReportArgs { action: ReportAction::Merge(MergeArgs { parts, reports }) })
        };
        for number in [1, 2] {
            let fact = crate::report::Fact { name: "part".into(), value: format!("slice:{number}/2") };
            let mut part = sample();
            part.cases.retain(|case| (case.record.kernel == "6.1") == (number == 1));
            part.facts.push(fact);
            std::fs::write(root.join(number.to_string()), json::render(&part)).unwrap();
        }
        let reports = Reports {
            html: Some(root.join("page")),
            json: Some(root.join("whole.json")),
            junit: Some(root.join("whole.xml")),
            markdown: Some(root.join("whole.md")),
        };
        let outcome = merged(&["1", "2"], reports).unwrap();
        assert_eq!(outcome.exit, Exit::Failed);
        assert!(outcome.data.contains("6 passed, 1 failed, 1 blocked, 1 skipped"), "{}", outcome.data);
        let whole = read(&root.join("whole.json")).unwrap();
        assert_eq!(whole.counts(), sample().counts());
        for name in ["page/index.html", "whole.xml", "whole.md"] {
            assert!(std::fs::read_to_string(root.join(name)).unwrap().contains("vlan/apk"), "{name}");
        }
        assert_eq!(merged(&["1"], Reports::default()).unwrap().exit, Exit::Failed, "worse than a part that is missing");
        std::fs::write(root.join("3"), "{}").unwrap();
        assert_eq!(merged(&["1", "3"], Reports::default()).unwrap_err().id(), "REP001");
    }
}
