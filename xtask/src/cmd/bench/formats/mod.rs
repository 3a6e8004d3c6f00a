//! `bench formats`: times the writing and reading of packages and indexes with generated files, for our code and for
//! the real programs if they are there.

mod content;
mod measure;
mod ours;
mod report;
mod rivals;
mod workload;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Format, Package};
use host::aside;
use model::{Event, Failure, Result};

use crate::Ctx;
use crate::Outcome;
use crate::cli::BenchFormatsArgs;
use crate::scratch::Scratch;
use measure::{Cost, measure};
use report::{Report, Row, SCHEMA};
use rivals::{Programs, Rival};
use workload::{BYTES, LARGE, PACKAGES, TINY, Workload};

/// The name of our code in the report.
const OURS: &str = "ours";

/// Generates the files, runs all the work as often as requested, and reports.
pub(super) fn run(ctx: &Ctx, args: &BenchFormatsArgs) -> Result<Outcome> {
    let _scratch = Scratch::take()?;
    let samples = tempfile::tempdir().map_err(|error| Failure::io("make a folder for samples", "TMPDIR", &error))?;
    let folder = Utf8Path::from_path(samples.path()).unwrap_or("/tmp".into());
    let mut bench = Bench::prepare(ctx, folder, Programs::of(args.against.as_deref()))?;
    for round in 1..=args.repeat.get() {
        ctx.events.notice("bench", format!("round {round} of {}", args.repeat));
        for format in Format::ALL {
            bench.round(format)?;
        }
    }
    let report = bench.report();
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    aside::write(&ctx.out.join("bench-formats.json"), json.as_bytes())?;
    for row in &report.rows {
        ctx.events.emit(Event::Measured {
            schema: SCHEMA,
            work: row.work.clone(),
            by: row.by.clone(),
            values: row.values(),
        });
    }
    Ok(Outcome::done(report.table()))
}

/// The samples, and the measurements so far.
struct Bench<'a> {
    ctx: &'a Ctx,
    folder: &'a Utf8Path,
    programs: Programs,
    workload: Workload,
    /// The files of the workload in the layout that `ipkg-build` needs.
    laid_out: Vec<Utf8PathBuf>,
    /// One package that is too large for a small memory.
    large: Package,
    /// Many packages that are only listed.
    tiny: Workload,
    results: Vec<Measured>,
    missing: Vec<String>,
}

/// Some work, and the cost of each run of it.
struct Measured {
    work: String,
    by: String,
    packages: usize,
    bytes: u64,
    result: u64,
    costs: Vec<Cost>,
}

impl<'a> Bench<'a> {
    fn prepare(ctx: &'a Ctx, folder: &'a Utf8Path, programs: Programs) -> Result<Self> {
        let workload = workload::generate(&folder.join("trees"), PACKAGES, BYTES, &ctx.cancel)?;
        let laid_out = rivals::lay_out(&workload, &folder.join("laid-out"))?;
        let tiny = workload::generate(&folder.join("tiny-trees"), TINY.0, TINY.0 * TINY.1, &ctx.cancel)?;
        for name in ["theirs", "ours", "large", "tiny-ipk", "tiny-apk"] {
            let path = folder.join(name);
            std::fs::create_dir(&path).map_err(|error| Failure::io("make a folder for samples", &path, &error))?;
        }
        for format in Format::ALL {
            ours::write(ctx, &tiny.plans, format, &folder.join(format!("tiny-{format}")))?;
        }
        let large = ours::large(&workload);
        Ok(Bench { ctx, folder, programs, workload, laid_out, large, tiny, results: Vec::new(), missing: Vec::new() })
    }

    /// Runs all the work for one format once, alternating between ours and theirs.
    fn round(&mut self, format: Format) -> Result<()> {
        let (ctx, ours, theirs) = (self.ctx, self.folder.join("ours"), self.folder.join("theirs"));
        let (writer, indexer) = match format {
            Format::Ipk => (Rival::IpkgBuild, Rival::IpkgMakeIndex),
            Format::Apk => (Rival::Mkpkg, Rival::Mkndx),
        };
        let files = |plans: &[Package], folder: &Utf8Path| -> Vec<Utf8PathBuf> {
            plans.iter().map(|plan| folder.join(plan.file_name(format))).collect()
        };
        let (packages, bytes) = (self.workload.plans.len(), self.workload.bytes);

        let (cost, size) = measure(|| ours::write(ctx, &self.workload.plans, format, &ours))?;
        self.note(&format!("write {format}"), OURS, (packages, bytes, size), cost);
        if let Some(words) = self.words(writer, "the writer", format) {
            let trees = if format == Format::Ipk { &self.laid_out } else { &self.workload.trees };
            let (cost, ()) = measure(|| rivals::write(ctx, &words, format, &self.workload, trees, &theirs))?;
            let size = total(&files(&self.workload.plans, &theirs))?;
            self.note(&format!("write {format}"), writer.name(), (packages, bytes, size), cost);
        }
        let written = files(&self.workload.plans, &ours);
        let (cost, size) = measure(|| ours::read(ctx, &written, format))?;
        self.note(&format!("read {format}"), OURS, (packages, bytes, size), cost);

        let large = self.folder.join("large");
        let (cost, size) = measure(|| ours::write(ctx, std::slice::from_ref(&self.large), format, &large))?;
        self.note(&format!("write large {format}"), OURS, (1, LARGE, size), cost);
        let (cost, size) = measure(|| ours::read(ctx, &files(std::slice::from_ref(&self.large), &large), format))?;
        self.note(&format!("read large {format}"), OURS, (1, LARGE, size), cost);

        let (packages, bytes) = (self.tiny.plans.len(), self.tiny.bytes);
        let feed = self.folder.join(format!("feed-{format}"));
        let tiny = files(&self.tiny.plans, &self.folder.join(format!("tiny-{format}")));
        // The feed of the previous round is removed first, so that this is not measured.
        emptied(&feed)?;
        warm(&tiny)?;
        let (cost, size) = measure(|| ours::index(&tiny, format, &feed))?;
        self.note(&format!("index {format}"), OURS, (packages, bytes, size), cost);
        if let Some(words) = self.words(indexer, "the indexer", format) {
            let (cost, ()) = measure(|| rivals::index(ctx, &words, format, &tiny, &theirs))?;
            self.note(&format!("index {format}"), indexer.name(), (packages, bytes, 0), cost);
        }
        let (cost, size) = measure(|| ours::read_index(format, &feed))?;
        self.note(&format!("read {format} index"), OURS, (packages, bytes, size), cost);
        Ok(())
    }

    /// The command of a real program; notes that it is missing.
    fn words(&mut self, rival: Rival, what: &str, format: Format) -> Option<Vec<std::ffi::OsString>> {
        let words = self.programs.words(rival);
        let missing = format!("{} ({what} of {format})", rival.name());
        if words.is_none() && !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
        words
    }

    fn note(&mut self, work: &str, by: &str, (packages, bytes, result): (usize, u64, u64), cost: Cost) {
        match self.results.iter_mut().find(|known| known.work == work && known.by == by) {
            Some(known) => known.costs.push(cost),
            None => {
                let (work, by) = (work.to_owned(), by.to_owned());
                self.results.push(Measured { work, by, packages, bytes, result, costs: vec![cost] });
            }
        }
    }

    fn report(self) -> Report {
        let build = if cfg!(debug_assertions) {
            "development build: the formats are optimised, with checks for overflows"
        } else {
            "release build"
        };
        let row = |measured: &Measured| {
            let Measured { work, by, packages, bytes, result, costs } = measured;
            Row::new(work, by, *packages as u64, *bytes, *result, costs)
        };
        let rows = self.results.iter().map(row).collect();
        Report { schema: SCHEMA, jobs: self.ctx.jobs.get(), build, rows, missing: self.missing }
    }
}

/// Empties a folder.
fn emptied(folder: &Utf8Path) -> Result<()> {
    let failed = |error| Failure::io("make the folder anew", folder, &error);
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir(folder).map_err(failed)
}

/// Reads the files once, so that they are in the page cache for every measurement.
fn warm(files: &[Utf8PathBuf]) -> Result<()> {
    files.iter().try_for_each(|path| {
        std::fs::read(path).map(drop).map_err(|error| Failure::io("read the package", path, &error))
    })
}

fn total(files: &[Utf8PathBuf]) -> Result<u64> {
    files.iter().try_fold(0, |sum, path| {
        let meta = std::fs::metadata(path).map_err(|error| Failure::io("measure the file", path, &error))?;
        Ok(sum + meta.len())
    })
}

impl Row {
    /// The numbers by name, for events.
    #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    fn values(&self) -> BTreeMap<&'static str, f64> {
        BTreeMap::from([
            ("packages", self.packages as f64),
            ("bytes", self.bytes as f64),
            ("result", self.result as f64),
            ("wall_seconds", self.wall_seconds.median),
            ("cpu_seconds", self.cpu_seconds.median),
            ("peak_kib", self.peak_kib.unwrap_or(0) as f64),
        ])
    }
}
