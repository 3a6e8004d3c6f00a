//! `bench formats`: packages and indexes written and read, on generated files.

mod content;
mod workload;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use formats::{Format, Package};
use model::{Exit, Failure, Result};

use super::super::Outcome;
use crate::Ctx;
use crate::cli::BenchFormatsArgs;
use workload::{BYTES, PACKAGES, Workload};

/// Generates the files, writes them in both formats, and shows how long it took.
pub(super) fn run(ctx: &Ctx, args: &BenchFormatsArgs) -> Result<Outcome> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::io("make a folder for samples", "TMPDIR", &error))?;
    let folder = Utf8Path::from_path(scratch.path()).unwrap_or("/tmp".into());
    let workload = workload::generate(&folder.join("trees"), PACKAGES, BYTES, &ctx.cancel)?;
    let mut lines = Vec::new();
    for _ in 0..args.repeat.get() {
        for format in Format::ALL {
            let took = write_all(ctx, &workload, format, folder)?.as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
            let speed = workload.bytes as f64 / 1e6 / took;
            lines.push(format!("write {format}  {took:6.2} s  {speed:6.1} MB/s"));
        }
    }
    Ok(Outcome::done(lines.join("\n")))
}

/// Writes every package, `-j` at a time.
fn write_all(ctx: &Ctx, workload: &Workload, format: Format, out: &Utf8Path) -> Result<Duration> {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(plan) = workload.plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            ctx.cancel.check()?;
            write_one(plan, format, out)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ctx.jobs.get()).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(died())))
    })?;
    Ok(started.elapsed())
}

fn write_one(plan: &Package, format: Format, out: &Utf8Path) -> Result<()> {
    let path = out.join(format.file_name(plan));
    let failed = |error| Failure::io("write the package", &path, &error);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    format.write(plan, &mut file).map_err(|error| {
        Failure::new(Exit::Bug, error.id(), error.to_string(), "the plan was generated", error.fix()).at(&path)
    })?;
    file.flush().map_err(failed)
}

fn died() -> Failure {
    Failure::new(
        Exit::Bug,
        "BEN001",
        "a thread that is measured ended unexpectedly",
        "its message stands above",
        "report it with that message",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dies_is_our_bug() {
        assert_eq!((died().id(), died().exit()), ("BEN001", Exit::Bug));
    }
}
