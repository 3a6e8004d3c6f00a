//! The measurements, as a table for the user and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::Cost;

/// Name and version of the JSON; fields may be added, never renamed.
pub(super) const SCHEMA: &str = "openwrt-offload-bench-formats/1";

/// All measurements.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    /// Number of threads, or of programs running at once.
    pub(super) jobs: usize,
    /// How this program was compiled.
    pub(super) build: &'static str,
    pub(super) rows: Vec<Row>,
    /// Real programs that were not found.
    pub(super) missing: Vec<String>,
}

/// Some work, measured several times.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) work: String,
    /// `ours`, or a real program.
    pub(super) by: String,
    /// Number of packages; bytes of the files in them.
    pub(super) packages: u64,
    pub(super) bytes: u64,
    /// Size of the result in bytes.
    pub(super) result: u64,
    pub(super) wall_seconds: Spread,
    pub(super) cpu_seconds: Spread,
    /// Peak memory of this process, in KiB; not known for real programs.
    pub(super) peak_kib: Option<u64>,
}

/// Smallest, median and largest of several numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |position: usize| sorted.get(position).copied().unwrap_or(0.0);
        Spread { min: at(0), median: at(sorted.len() / 2), max: at(sorted.len().saturating_sub(1)) }
    }
}

impl Row {
    pub(super) fn new(work: &str, by: &str, packages: u64, bytes: u64, result: u64, costs: &[Cost]) -> Self {
        let ours = by == super::OURS;
        Row {
            work: work.into(),
            by: by.into(),
            packages,
            bytes,
            result,
            wall_seconds: Spread::of(costs.iter().map(|cost| cost.wall)),
            cpu_seconds: Spread::of(costs.iter().map(|cost| cost.cpu)),
            peak_kib: costs.iter().map(|cost| cost.peak).max().filter(|_| ours),
        }
    }
}

impl Report {
    /// The table for the user.
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    pub(super) fn table(&self) -> String {
        let mut text = format!("{} at once; {}\n", self.jobs, self.build);
        text.push_str("work             by                   wall s: min median    max   cpu s    MB/s   pkg/s  result MB  peak MiB\n");
        for row in &self.rows {
            let Spread { min, median, max } = row.wall_seconds;
            let peak = row.peak_kib.map_or("-".into(), |kib| format!("{:.0}", kib as f64 / 1024.0));
            let _ = writeln!(
                text,
                "{:16} {:18} {min:14.2} {median:6.2} {max:6.2} {:7.2} {:7.1} {:7.0} {:10.2} {peak:>9}",
                row.work,
                row.by,
                row.cpu_seconds.median,
                row.bytes as f64 / 1e6 / median,
                row.packages as f64 / median,
                row.result as f64 / 1e6,
            );
        }
        for (ours, theirs) in self.pairs() {
            // The size of the real programs' index is not measured.
            let size = match theirs.result {
                0 => String::new(),
                bytes => format!(", {:.3} of its size", ours.result as f64 / bytes as f64),
            };
            let _ = writeln!(
                text,
                "{}: {:.1} times the wall speed of {}, {:.1} times by processor time{size}",
                ours.work,
                theirs.wall_seconds.median / ours.wall_seconds.median,
                theirs.by,
                theirs.cpu_seconds.median / ours.cpu_seconds.median.max(0.01),
            );
        }
        for missing in &self.missing {
            let _ = writeln!(text, "not compared: {missing} was not found; --against DIR names a folder that holds it");
        }
        text.trim_end().to_owned()
    }

    /// Pairs of our work and the real program's.
    fn pairs(&self) -> impl Iterator<Item = (&Row, &Row)> {
        let theirs = self.rows.iter().filter(|row| row.by != super::OURS);
        theirs.filter_map(|theirs| {
            let same = |row: &&Row| row.by == super::OURS && row.work == theirs.work;
            self.rows.iter().find(same).map(|ours| (ours, theirs))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_work_and_medians() {
        let row = |by: &str, walls: [f64; 3]| {
            let costs = walls.map(|wall| Cost { wall, cpu: wall, peak: 2048 });
            Row::new("write ipk", by, 10, 1_000_000, 500_000, &costs)
        };
        let rows = vec![row(super::super::OURS, [3.0, 1.0, 2.0]), row("ipkg-build", [9.0, 30.0, 20.0])];
        let missing = vec!["apk mkpkg".to_owned()];
        let mut report = Report { schema: SCHEMA, jobs: 2, build: "", rows, missing };
        let table = report.table();
        assert!(table.contains("by processor time, 1.000 of its size"), "{table}");
        report.rows[1].result = 0;
        assert!(!report.table().contains("of its size"), "a size that was not measured");
        assert!(table.contains("write ipk: 10.0 times the wall speed of ipkg-build"), "{table}");
        assert!(table.contains("not compared: apk mkpkg was not found"), "{table}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["wall_seconds"]["median"], 2.0);
        assert_eq!(
            (&json["rows"][0]["peak_kib"], &json["rows"][1]["peak_kib"]),
            (&2048.into(), &serde_json::Value::Null)
        );
    }
}
