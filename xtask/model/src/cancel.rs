//! Ending work in time: on a user's interrupt, at a deadline, and together with us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// Set once when the user interrupts; every long wait looks at it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks all work that holds a clone to end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the user interrupted.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
