//! The cache of finished work.
//!
//! A stage is a function from inputs to a directory. The inputs are hashed into a key; if `cache/<name>/<key>/` exists
//! with a stamp beside it, the work is done, and the stage is skipped with a message. Otherwise the work is done in a
//! temporary sibling, which is renamed into place and then stamped, so that an interrupted stage never looks finished.
//!
//! ```text
//! cache/<name>/<key>/        the result
//! cache/<name>/<key>.stamp   the inputs; the stamp's time is that of the last use
//! cache/<name>/<key>.lock    held while working, with the holder's process id
//! cache/<name>/<key>.tmp/    work in progress, or leftovers of a dead run
//! ```

mod key;

use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use host::lock::{Lock, Waiting};
use host::{aside, files};
use model::{Event, Exit, Failure, Result, Status};

pub use key::Inputs;

use crate::Ctx;

/// A kind of cached work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Its name in the cache and in events.
    pub name: &'static str,
    /// Who does the work.
    pub by: By,
}

/// Who does a stage's work; it is part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Crates of this workspace, by their names in sources: their code and that of all their dependencies is an input.
    Crates(&'static [&'static str]),
    /// Foreign programs, or the decoder of a format, so that our code does not affect the result. The number is defined
    /// beside the function that calls them, and is raised when its result for the same inputs changes.
    Version(u32),
}

/// Returns the directory of a stage's result; does the work only if it was not done before.
///
/// `work` fills the empty directory that it is given, and returns a summary for the user. It must not depend on
/// anything except `inputs` and the code that [`Stage::by`] names.
pub fn stage(
    ctx: &Ctx,
    stage: &Stage,
    inputs: &Inputs,
    work: impl FnOnce(&Utf8Path) -> Result<String>,
) -> Result<Utf8PathBuf> {
    ctx.cancel.check()?;
    let (name, code) = (stage.name, ctx.code()?);
    let key = inputs.key(stage, code)?;
    let place = Place::new(&ctx.cache.join(name), &key);
    if place.is_finished() {
        place.touch();
        skipped(ctx, name, inputs, &place);
        return Ok(place.result);
    }
    files::create_folder(&ctx.cache.join(name))?;
    let _lock = lock(ctx, name, &place.lock)?;
    if place.is_finished() {
        // Another run did the work while we waited.
        place.touch();
        skipped(ctx, name, inputs, &place);
        return Ok(place.result);
    }

    first_mention(ctx, &place);
    let listing = inputs.listing(stage, code);
    timed(ctx, name, inputs.about(), || place.fill(&listing, work).map(|summary| (place.result.clone(), summary)))
}

/// The directory of a stage's result, if the work was done before; reports nothing.
pub fn known(ctx: &Ctx, stage: &Stage, inputs: &Inputs) -> Result<Option<Utf8PathBuf>> {
    let place = Place::new(&ctx.cache.join(stage.name), &inputs.key(stage, ctx.code()?)?);
    Ok(place.is_finished().then_some(place.result))
}

/// The key of a stage with these inputs, for results that are kept elsewhere.
pub fn key(ctx: &Ctx, stage: &Stage, inputs: &Inputs) -> Result<String> {
    inputs.key(stage, ctx.code()?)
}

/// Work that is reported like a stage but always done; returns its result, after reporting a summary.
pub fn timed<T>(ctx: &Ctx, name: &str, detail: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
    let started = Instant::now();
    ctx.events.emit(Event::StageBegin { stage: name.into(), detail: detail.into() });
    let outcome = work();
    let (status, summary) = match &outcome {
        Ok((_result, summary)) => (Status::Done, summary.clone()),
        // One part of the work is cancelled when another one fails.
        Err(failure) if failure.exit() == Exit::Interrupted && !ctx.cancel.is_whole_cancelled() => {
            (Status::Failed, "cancelled, because something else failed".to_owned())
        }
        Err(failure) => (Status::Failed, failure.finding().what.clone()),
    };
    ctx.events.emit(Event::StageEnd { stage: name.into(), status, millis: millis(started.elapsed()), summary });
    outcome.map(|(result, _summary)| result)
}

/// Waits for the lock at `path`, for at most as long as the user allows.
pub(crate) fn lock(ctx: &Ctx, stage: &str, path: &Utf8Path) -> Result<Lock> {
    Lock::take(path, &Waiting { stage, at_most: ctx.lock_timeout, events: &ctx.events, cancel: &ctx.cancel })
}

/// Removes finished stages that were last used before `before`, and leftovers of dead runs; skips stages that another
/// run is working on. Returns how many results were removed.
pub fn clean(cache: &Utf8Path, names: &[String], before: SystemTime) -> Result<usize> {
    let mut removed = 0;
    for stage in files::entries(cache)?.into_iter().filter(|entry| entry.is_dir()) {
        if !names.is_empty() && !names.iter().any(|name| stage.file_name() == Some(name)) {
            continue;
        }
        for lock in files::with_extension(&stage, &["lock"])? {
            let Some(key) = lock.file_name().and_then(|name| name.strip_suffix(".lock")) else { continue };
            let place = Place::new(&stage, key);
            let Some(_held) = Lock::try_take(&place.lock)? else { continue };
            files::remove(&place.temporary)?;
            if place.last_used().is_some_and(|used| used >= before) {
                continue;
            }
            removed += usize::from(place.result.exists());
            place.clear()?;
            files::remove(&place.lock)?;
        }
    }
    Ok(removed)
}

/// The paths for one key of one stage.
struct Place {
    result: Utf8PathBuf,
    stamp: Utf8PathBuf,
    lock: Utf8PathBuf,
    temporary: Utf8PathBuf,
}

impl Place {
    fn new(folder: &Utf8Path, key: &str) -> Self {
        let sibling = |ending: &str| folder.join(format!("{key}.{ending}"));
        Place { result: folder.join(key), stamp: sibling("stamp"), lock: sibling("lock"), temporary: sibling("tmp") }
    }

    fn is_finished(&self) -> bool {
        self.stamp.is_file() && self.result.is_dir()
    }

    fn last_used(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.stamp).and_then(|meta| meta.modified()).ok()
    }

    /// Updates the time of use. A read-only cache still works.
    fn touch(&self) {
        if let Ok(file) = std::fs::File::options().append(true).open(&self.stamp) {
            let _read_only = file.set_modified(SystemTime::now());
        }
    }

    /// Does the work; the caller holds the lock, so existing leftovers are a dead run's.
    fn fill(&self, listing: &str, work: impl FnOnce(&Utf8Path) -> Result<String>) -> Result<String> {
        self.clear()?;
        files::create_folder(&self.temporary)?;
        let outcome = work(&self.temporary).and_then(|summary| {
            std::fs::rename(&self.temporary, &self.result)
                .map_err(|error| Failure::io("move the finished stage into place", &self.result, &error))?;
            aside::write(&self.stamp, listing.as_bytes())?;
            Ok(summary)
        });
        if outcome.is_err() {
            // The failure of the work matters more than one of the cleanup.
            let _kept = self.clear();
        }
        outcome
    }

    /// Removes everything but the lock; the stamp first, so that a half-removed result never looks finished.
    fn clear(&self) -> Result<()> {
        [&self.stamp, &self.result, &self.temporary].into_iter().try_for_each(|path| files::remove(path))
    }
}

/// Reports a skipped stage; once, even if several verbs of a run need it.
fn skipped(ctx: &Ctx, name: &str, inputs: &Inputs, place: &Place) {
    if first_mention(ctx, place) {
        let why = format!("same inputs as before: {}", inputs.about());
        ctx.events.emit(Event::StageSkipped { stage: name.into(), why });
    }
}

fn first_mention(ctx: &Ctx, place: &Place) -> bool {
    ctx.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(place.result.clone())
}

/// The duration in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
