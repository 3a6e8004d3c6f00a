//! Does the same work for many items, on all processors.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Result;

/// How many processors this machine has.
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Does `work` for each item, for at most `threads` of them at a time, which also bounds the memory needed. Returns the
/// results in the order of the items.
///
/// # Errors
/// After the first failure no further item is begun; of several failures, that of the earliest item is returned.
pub fn parallel<T: Sync, R: Send>(
    items: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        let mut results = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.push((number, result));
        }
        results
    };
    let threads = threads.get().min(items.len());
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut results = Vec::with_capacity(items.len());
        for thread in threads {
            match thread.join() {
                Ok(of_thread) => results.extend(of_thread),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Exit, Failure, Problem};

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn results_keep_the_order_of_the_items_whoever_made_them() {
        let items: Vec<usize> = (0..1000).collect();
        for count in [1, 2, 7, 2000] {
            let doubled = parallel(&items, threads(count), |item| Ok(item * 2)).unwrap();
            assert!(doubled.iter().enumerate().all(|(at, double)| *double == at * 2), "{count} threads");
        }
        assert_eq!(parallel(&[], threads(2), |(): &()| Ok(())), Ok(vec![]));
    }

    #[test]
    fn no_more_items_than_threads_are_in_work_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        parallel(&[(); 100], threads(3), |()| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn a_failure_ends_the_work_and_the_earliest_is_told() {
        let begun = Mutex::new(0);
        let failure = parallel(&[0, 1, 2, 3, 4, 5, 6, 7], threads(1), |item| {
            *begun.lock().unwrap() += 1;
            if *item < 3 {
                Ok(())
            } else {
                Err(Failure::of(Problem { exit: Exit::Failed, id: "X001", what: item.to_string(), why: "", fix: "" }))
            }
        });
        assert_eq!(failure.unwrap_err().finding().what, "3");
        assert_eq!(begun.into_inner().unwrap(), 4);
    }

    #[test]
    #[should_panic(expected = "seen above")]
    fn a_panic_goes_on() {
        let _ = parallel(&[1], threads(2), |_| -> Result<()> { panic!("seen above") });
    }
}
