//! A summary in Markdown, for a job's page on a CI service.
//!
//! It is short, because such pages have a limit (1 MiB per step on GitHub): failures first, then the matrix of
//! scenarios, figures, times and facts.

use std::fmt::Write as _;

use model::Verdict;
use model::cost::OF_HARDWARE;

use super::{Case, Counts, Run, ran_on};
use crate::sink::human::table::seconds;

/// Stages that took fewer milliseconds are not listed.
const LEAST: u64 = 100;

/// Renders the summary, which ends with a newline.
pub fn render(run: &Run) -> String {
    let mut text = format!("## {}\n\n", inline(&run.headline()));
    let Counts { passed, failed, blocked, skipped } = run.counts();
    if !run.cases.is_empty() {
        let _infallible = write!(text, "{passed} passed, {failed} failed, {blocked} blocked, {skipped} skipped; ");
    }
    let _infallible = writeln!(text, "{}, exit code {}: {}\n", seconds(run.millis), run.exit, code(&run.command));
    text.push_str(&troubles(run));
    text.push_str(&sabotage(run));
    text.push_str(&kmods(run));
    text.push_str(&table(
        "Scenarios",
        &["Scenario", "Kernel", "Expected", "Observed", "Verdict", "Time"],
        run.cases.iter().map(|case| {
            let Case { name, expected, observed, millis, record, verdict, .. } = case;
            [
                inline(name),
                inline(&ran_on(record)),
                inline(expected),
                inline(observed),
                word(verdict).into(),
                seconds(*millis),
            ]
        }),
    ));
    for costs in &run.costs {
        let unit = costs.clock.unit();
        let rows = costs.costs.iter().map(|cost| {
            let share = costs.baseline(cost).map_or(1.0, |off| cost.forwarding.median / off.forwarding.median);
            [cost.packet(), cost.path.word().into(), cost.forwarding.to_string(), format!("{:.1} %", share * 100.0)]
        });
        text.push_str(&table(
            &format!("Cost of a forwarded packet, Linux {}", inline(&costs.kernel)),
            &["Packet", "Offload", &format!("{unit}, spread"), "Of off"],
            rows,
        ));
        if costs.has_hardware() {
            text.push_str(&format!("{OF_HARDWARE}\n\n"));
        }
    }
    text.push_str(&table(
        "Where the time went",
        &["Stage", "", "Time", "Result"],
        run.stages
            .iter()
            .filter(|stage| stage.millis >= LEAST || stage.ended == "failed")
            .map(|stage| [inline(&stage.name), stage.ended.into(), seconds(stage.millis), inline(&stage.summary)]),
    ));
    text.push_str(&table(
        "The run stood on",
        &["What", "Which"],
        run.facts.iter().map(|fact| [inline(&fact.name), inline(&fact.value)]),
    ));
    text
}

/// The results for each kmod, with the reason of failures.
fn kmods(run: &Run) -> String {
    let rows = run.kmods.iter().map(|row| {
        let [compiles, packs, loads, works, unloads, clean] = row.cells.each_ref().map(|cell| cell.word().to_owned());
        let why = inline(row.why().unwrap_or_default());
        [inline(&row.kmod), inline(&row.kernel), compiles, packs, loads, works, unloads, clean, why]
    });
    let head = ["Kmod", "Kernel", "Compiles", "Packs", "Loads", "Works", "Unloads", "Clean", "Why not"];
    table("Kernel modules", &head, rows)
}

/// Whether the scenarios noticed that offload was broken.
fn sabotage(run: &Run) -> String {
    let table = run.sabotage();
    let mut text = String::new();
    if !table.rows.is_empty() {
        let (noticed, all) = table.noticed();
        let _infallible =
            writeln!(text, "### The suite's test of itself\n\n{noticed} of {all} turned red, as all must.\n");
        let _infallible = writeln!(text, "| Offload broken by | {} |", table.ways.join(" | "));
        let _infallible = writeln!(text, "| --- |{}", " --- |".repeat(table.ways.len()));
        for (name, row) in &table.rows {
            let _infallible = writeln!(text, "| {} | {} |", inline(name), table.cells(row).join(" | "));
        }
        text.push('\n');
    }
    text
}

/// Everything that failed, each with the command that reproduces it.
fn troubles(run: &Run) -> String {
    let mut text = String::new();
    for error in run.errors() {
        let _infallible = writeln!(text, "**{}** {}  \n{}\n", error.id, inline(&error.what), inline(&error.why));
    }
    for (case, finding) in run.troubles() {
        let (verdict, name) = (word(&case.verdict), inline(&case.name));
        let _infallible = writeln!(
            text,
            "**{verdict} {name}** {}: {}  \n{}\n",
            finding.id,
            inline(&finding.what),
            code(&case.reproduce)
        );
    }
    text
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail { .. } => "FAIL",
        Verdict::Skip { .. } => "skip",
        Verdict::Blocked { .. } => "BLOCKED",
    }
}

/// A table under a title; empty without rows. Cells are Markdown already.
fn table<const N: usize>(title: &str, head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut lines: Vec<String> = rows.map(|row| format!("| {} |", row.join(" | "))).collect();
    if lines.is_empty() {
        return String::new();
    }
    lines.insert(0, format!("| {} |", head.join(" | ")));
    lines.insert(1, format!("|{}", " --- |".repeat(N)));
    format!("### {title}\n\n{}\n\n", lines.join("\n"))
}

/// Escapes foreign text for one line: no Markdown, no HTML, no end of a cell.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|' | '~' => {
                safe.extend(['\\', c]);
            }
            // Otherwise GitHub would turn it into a mention, a number into an issue, a word into a link.
            '@' => safe.push_str("&#64;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A command in code formatting, with enough backticks around it.
fn code(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    format!("{fence} {line} {fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample::{HOSTILE, sample};

    #[test]
    fn what_went_wrong_comes_first_with_the_command_that_repeats_it() {
        let text = render(&sample());
        let expected = "\
## 1 scenario failed

6 passed, 1 failed, 1 blocked, 1 skipped; 83.4 s, exit code 1: ` cargo xtask test --accel tcg `

**FAIL vlan/apk** PROOF999: the forward hook saw 2004 packets; at most 20 may pass it  
` cargo xtask test vlan --exact --kernel 6.12 --accel tcg `
";
        assert!(text.starts_with(expected), "{text}");
        for line in [
            "| ip-options/apk | 6.1 | slow | slow | pass | 2.34 s |",
            "| vlan/apk | 6.12 | slow, fast | slow | FAIL | 2.34 s |",
            "| IPv4, UDP, 1000 bytes | software | 2320 ±0.06 % | 32.0 % |",
            "### Cost of a forwarded packet, Linux 6.12.107",
            "| packages | done | 3.21 s | 18 packages |",
            "| QEMU | 7.2.22 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_noticed_that_offload_was_broken_has_a_table() {
        let mut run = sample();
        assert_eq!(sabotage(&run), "");
        run.cases.iter_mut().for_each(|case| case.record.sabotage = Some("one-device"));
        let text = sabotage(&run);
        for line in
            ["3 of 5 turned red, as all must.", "| Offload broken by | one-device |", "| vlan/apk | STILL GREEN |"]
        {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn texts_of_others_end_no_cell_and_are_no_html() {
        let text = render(&sample());
        assert!(!text.contains("<script") && !text.contains('\r'), "{text}");
        assert_eq!(
            inline(HOSTILE),
            r#"&lt;/script&gt;&lt;script&gt;alert\('x'\)&lt;/script&gt;"&amp;\|\`% ::error::y"#
        );
        assert_eq!(inline("by @name\n\n# x"), r"by &#64;name \# x");
        assert_eq!(code("a `b` ``c"), "``` a `b` ``c ```");
        let columns = |line: &str| line.replace(r"\|", "").matches('|').count();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| state")).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(columns(rows[0]), 5, "{}", rows[0]);
    }

    #[test]
    fn an_interrupted_run_without_anything_is_a_summary_too() {
        let mut run = Run::new("cargo xtask test".into(), Vec::new());
        run.exit = 130;
        assert_eq!(render(&run), "## Interrupted before its end\n\n0.00 s, exit code 130: ` cargo xtask test `\n\n");
    }
}
