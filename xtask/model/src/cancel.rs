//! Ending work in time: when the user interrupts, at a deadline, and when this process dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// Set once when the user interrupts; every long wait looks at it.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    /// The token of the whole work, when this one is for a part of it.
    whole: Option<Arc<Cancel>>,
}

impl Cancel {
    /// A token for a part of the work: it is cancelled with the whole, and may be cancelled alone.
    #[must_use]
    pub fn part(&self) -> Cancel {
        Cancel { flag: Arc::default(), whole: Some(Arc::new(self.clone())) }
    }

    /// Asks all work that holds a clone or a part to end.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether the user interrupted, or this part alone was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.whole.as_ref().is_some_and(|whole| whole.is_cancelled())
    }

    /// Whether the whole work was cancelled, which only the user does.
    pub fn is_whole_cancelled(&self) -> bool {
        self.whole.as_ref().map_or_else(|| self.is_cancelled(), |whole| whole.is_whole_cancelled())
    }

    /// Fails when the user interrupted.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
    }
}

/// A point in time after which a wait gives up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// How long it was when it was set, for messages.
    pub after: Duration,
}

impl Deadline {
    /// A deadline `after` from now.
    pub fn after(after: Duration) -> Self {
        Deadline { at: Instant::now() + after, after }
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// What is left; zero once passed.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Words to put in front of a command so that the kernel ends it when we die, even by `kill -9`:
/// util-linux's `setpriv --pdeathsig`, see setpriv(1) and PR_SET_PDEATHSIG in prctl(2). The signal
/// follows the *thread* that started the child, so start children from threads that outlive them.
pub fn tied_to_parent() -> [&'static str; 4] {
    ["setpriv", "--pdeathsig", "KILL", "--"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_alone_or_with_the_whole() {
        let whole = Cancel::default();
        let (one, other) = (whole.part(), whole.part().part());
        one.cancel();
        assert!(one.is_cancelled() && !one.is_whole_cancelled());
        assert!(!whole.is_cancelled() && !other.is_cancelled());
        whole.cancel();
        assert!(other.check().is_err() && one.is_whole_cancelled() && other.is_whole_cancelled());
    }
}
