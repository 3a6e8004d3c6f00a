//! The cache's promises: work is done once, completely or not at all, by one run at a time, and can be removed.

use std::cell::Cell;
use std::sync::mpsc;

use super::*;
use crate::ctx::tests::ctx;
use model::{Events, Exit};

struct Bench {
    _folder: tempfile::TempDir,
    ctx: Ctx,
    events: mpsc::Receiver<Event>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = mpsc::channel();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::to(sender));
        Bench { _folder: folder, ctx, events }
    }

    /// Names of the events since the last call.
    fn told(&self) -> Vec<&'static str> {
        self.events
            .try_iter()
            .map(|event| match event {
                Event::StageBegin { .. } => "begin",
                Event::StageSkipped { .. } => "skipped",
                Event::StageEnd { status: Status::Done, .. } => "done",
                Event::StageEnd { .. } => "failed",
                Event::Notice { .. } => "notice",
                _ => "other",
            })
            .collect()
    }

    fn entries(&self) -> Vec<String> {
        files::entries(&self.ctx.cache.join("one"))
            .unwrap()
            .iter()
            .map(|path| path.extension().unwrap_or("result").to_owned())
            .collect()
    }
}

const ONE: Stage = Stage { name: "one", by: By::Crates(&[]) };
const TWO: Stage = Stage { name: "two", ..ONE };

fn inputs() -> Inputs {
    Inputs::new("a test").text("version", 1)
}

fn write_one(folder: &Utf8Path) -> Result<String> {
    std::fs::write(folder.join("file"), "content").unwrap();
    Ok("one file".into())
}

#[test]
fn work_is_done_once_and_again_when_an_input_changes() {
    let bench = Bench::new();
    let runs = Cell::new(0);
    let work = |folder: &Utf8Path| {
        runs.set(runs.get() + 1);
        write_one(folder)
    };
    let first = stage(&bench.ctx, &ONE, &inputs(), work).unwrap();
    assert_eq!(bench.told(), ["begin", "done"]);
    // The same run does not report it again; another run does, once.
    assert_eq!(stage(&bench.ctx, &ONE, &inputs(), work).unwrap(), first);
    assert_eq!((bench.told(), runs.get()), (vec![], 1));
    let next = Ctx { told: Default::default(), ..bench.ctx.clone() };
    for told in [vec!["skipped"], vec![]] {
        assert_eq!(stage(&next, &ONE, &inputs(), work).unwrap(), first);
        assert_eq!((bench.told(), runs.get()), (told, 1));
    }
    assert_eq!(std::fs::read_to_string(first.join("file")).unwrap(), "content");
    let other = stage(&bench.ctx, &ONE, &Inputs::new("").text("version", 2), work).unwrap();
    assert!(other != first && runs.get() == 2);
}

#[test]
fn a_failure_leaves_only_the_lock_and_the_next_run_works() {
    let bench = Bench::new();
    let failure = stage(&bench.ctx, &ONE, &inputs(), |folder| {
        write_one(folder)?;
        std::fs::write("/dev/full", "x").map_err(|error| Failure::io("write", folder, &error))?;
        Ok(String::new())
    })
    .unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("IO002", Exit::Host));
    assert_eq!(bench.told(), ["begin", "failed"]);
    assert_eq!(bench.entries(), ["lock"]);
    stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap();
    assert_eq!(bench.entries(), ["result", "lock", "stamp"]);
}

#[test]
fn what_a_killed_run_left_is_not_taken_for_a_result() {
    let bench = Bench::new();
    let result = stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap();
    let sibling = |ending: &str| Utf8PathBuf::from(format!("{result}.{ending}"));
    // Killed while working: a temporary folder. Killed between rename and stamp: no stamp.
    std::fs::create_dir(sibling("tmp")).unwrap();
    std::fs::write(sibling("tmp").join("half"), "").unwrap();
    std::fs::write(result.join("half"), "").unwrap();
    std::fs::remove_file(sibling("stamp")).unwrap();
    bench.told();
    stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap();
    assert_eq!(bench.told(), ["begin", "done"]);
    assert!(!result.join("half").exists() && !sibling("tmp").exists());
}

#[test]
fn two_runs_at_once_work_once() {
    let bench = Bench::new();
    let runs = std::sync::atomic::AtomicU32::new(0);
    let (entered, entrance) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (ctx, runs) = (&bench.ctx, &runs);
        scope.spawn(move || {
            stage(ctx, &ONE, &inputs(), |folder| {
                entered.send(()).unwrap();
                gate.recv().unwrap();
                runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                write_one(folder)
            })
            .unwrap();
        });
        entrance.recv().unwrap();
        let second = scope.spawn(move || {
            stage(ctx, &ONE, &inputs(), |_| {
                runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(String::new())
            })
            .unwrap()
        });
        open.send(()).unwrap();
        assert!(second.join().unwrap().join("file").is_file());
    });
    assert_eq!(runs.into_inner(), 1);
}

#[test]
fn a_busy_stage_says_who_holds_it_and_gives_up_in_time() {
    let mut bench = Bench::new();
    bench.ctx.lock_timeout = Duration::from_millis(1100);
    let folder = bench.ctx.cache.join("one");
    files::create_folder(&folder).unwrap();
    let place = Place::new(&folder, &inputs().key(&ONE, bench.ctx.code().unwrap()).unwrap());
    let held = Lock::try_take(&place.lock).unwrap().unwrap();
    let failure = stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("CACHE001", Exit::Blocked));
    assert!(failure.finding().why.contains(&format!("process {}", std::process::id())), "{failure}");
    assert_eq!(bench.told(), ["notice"]);
    assert_eq!(bench.entries(), ["lock"], "a busy cache is left untouched");
    drop(held);
    stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap();
}

#[test]
fn waiting_for_a_lock_ends_when_interrupted() {
    let bench = Bench::new();
    let folder = bench.ctx.cache.join("one");
    files::create_folder(&folder).unwrap();
    let place = Place::new(&folder, &inputs().key(&ONE, bench.ctx.code().unwrap()).unwrap());
    let _held = Lock::try_take(&place.lock).unwrap().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage(&bench.ctx, &ONE, &inputs(), write_one));
        bench.ctx.cancel.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().exit(), Exit::Interrupted);
    });
}

#[test]
fn cleaning_removes_what_is_old_and_leaves_what_is_held_or_not_named() {
    let bench = Bench::new();
    let cache = bench.ctx.cache.clone();
    let one = stage(&bench.ctx, &ONE, &inputs(), write_one).unwrap();
    let two = stage(&bench.ctx, &TWO, &inputs(), write_one).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(clean(&cache, &[], SystemTime::now() - hour).unwrap(), 0);
    let later = SystemTime::now() + hour;
    assert_eq!(clean(&cache, &["two".into()], later).unwrap(), 1);
    assert!(one.is_dir() && !two.exists());
    let held = Lock::try_take(&Utf8PathBuf::from(format!("{one}.lock"))).unwrap().unwrap();
    assert_eq!(clean(&cache, &[], later).unwrap(), 0);
    drop(held);
    assert_eq!(clean(&cache, &[], later).unwrap(), 1);
    assert_eq!(bench.entries(), [""; 0]);
    assert_eq!(clean(&cache.join("never-made"), &[], later).unwrap(), 0);
}

#[test]
fn what_is_known_is_found_without_a_word_and_what_is_not_is_not_made() {
    let bench = Bench::new();
    let inputs = |value: &str| Inputs::new("a test").text("value", value);
    assert_eq!(known(&bench.ctx, &ONE, &inputs("a")).unwrap(), None);
    let made = stage(&bench.ctx, &ONE, &inputs("a"), |_| Ok(String::new())).unwrap();
    bench.told();
    assert_eq!(known(&bench.ctx, &ONE, &inputs("a")).unwrap(), Some(made));
    assert_eq!(known(&bench.ctx, &ONE, &inputs("b")).unwrap(), None);
    assert_eq!(bench.told(), [""; 0]);
}
