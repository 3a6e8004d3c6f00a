//! Runs independent work in parallel.

use std::sync::{Arc, Mutex};

use model::{Exit, Result};

use crate::Ctx;

/// Does both in parallel. When one fails, the other is interrupted, and the failure is returned.
pub(super) fn both<A: Send, B: Send>(
    ctx: &Ctx,
    one: impl FnOnce(&Ctx) -> Result<A> + Send,
    other: impl FnOnce(&Ctx) -> Result<B> + Send,
) -> Result<(A, B)> {
    let ctx = &Ctx { cancel: ctx.cancel.part(), ..ctx.clone() };
    let (one, other) = std::thread::scope(|scope| {
        // Children die with the thread that started them, so each thread outlives its own.
        let one = scope.spawn(|| one(ctx).inspect_err(|_| ctx.cancel.cancel()));
        let other = other(ctx).inspect_err(|_| ctx.cancel.cancel());
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    });
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        // Work that was interrupted because of the other's failure is not reported.
        (Err(one), Err(other)) if one.exit() == Exit::Interrupted => Err(other),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

/// A value that is made once per run, by whoever needs it first.
pub(super) struct Kept<T>(Mutex<Option<Result<Arc<T>>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// The value, or why it could not be made; others wait while it is being made.
    pub(super) fn get_or_make(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.get_or_insert_with(|| make().map(Arc::new)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use camino::Utf8Path;
    use model::{Event, Events, Failure, Problem};

    use super::*;
    use crate::ctx::tests::ctx;
    use crate::stage::{By, Inputs, Stage, stage};

    const STAGE: Stage = Stage { name: "late", by: By::Version(1) };

    fn failure() -> Failure {
        Failure::of(Problem { exit: Exit::Upstream, id: "X001", what: "it is a test", why: "", fix: "" })
    }

    #[test]
    fn both_run_at_once_and_give_their_results() {
        let ctx = ctx("/nowhere".into(), Events::discard());
        let met = Barrier::new(2);
        let meet = |_: &Ctx| {
            met.wait();
            Ok(1)
        };
        assert_eq!(both(&ctx, meet, meet).unwrap(), (1, 1));
    }

    #[test]
    fn a_failure_is_told_and_ends_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = std::sync::mpsc::channel();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::to(sender));
        let fails = |_: &Ctx| -> Result<()> { Err(failure()) };
        let waits = |ctx: &Ctx| -> Result<()> {
            loop {
                ctx.cancel.check()?;
                std::thread::yield_now();
            }
        };
        assert_eq!(both(&ctx, fails, waits).unwrap_err(), failure());
        assert_eq!(both(&ctx, waits, fails).unwrap_err(), failure());
        assert_eq!(both(&ctx, waits, |ctx| both(ctx, waits, fails)).unwrap_err(), failure());
        let at_work = Barrier::new(2);
        let stage = |ctx: &Ctx| {
            let work = |_: &Utf8Path| {
                at_work.wait();
                waits(ctx).map(|()| String::new())
            };
            stage(ctx, &STAGE, &Inputs::new("a test"), work)
        };
        let fails = |_: &Ctx| -> Result<()> {
            at_work.wait();
            Err(failure())
        };
        assert_eq!(both(&ctx, stage, fails).unwrap_err(), failure());
        let given_up = |event| matches!(event, Event::StageEnd { summary, .. } if summary.starts_with("cancelled"));
        assert_eq!(events.try_iter().filter(|event| given_up(event.clone())).count(), 1);
        ctx.cancel.check().unwrap();
        ctx.cancel.cancel();
        assert_eq!(both(&ctx, waits, waits).unwrap_err().exit(), Exit::Interrupted);
    }

    #[test]
    fn what_is_kept_is_made_once_and_so_is_its_failure() {
        let kept = Kept::default();
        assert_eq!(*kept.get_or_make(|| Ok(1)).unwrap(), 1);
        assert_eq!(*kept.get_or_make(|| Ok(2)).unwrap(), 1);
        let kept: Kept<()> = Kept::default();
        for _ in 0..2 {
            assert_eq!(kept.get_or_make(|| Err(failure())).unwrap_err(), failure());
        }
    }
}
