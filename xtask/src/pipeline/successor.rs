//! Routers whose system is upgraded to another kernel: they begin with the kernel line before the job's.

use model::{Deadline, Exit, Failure, Problem, Result};
use vm::guest::{About, Guest, Output};
use vm::lab::Lab;
use vm::session::Session;

use super::feed::Feed;
use super::job::Job;
use super::router::{self, Router};
use crate::Ctx;
use crate::cli::Machine as Flags;

/// Routers of an older kernel, and the packages for it.
pub(super) struct Older {
    pub(super) job: Job,
    pub(super) feed: Feed,
    pub(super) router: Router,
}

/// Makes them; `None` where there is no older kernel line. If they cannot be made, only the scenarios that begin so fail.
pub(super) fn older(ctx: &Ctx, job: &Job, flags: &Flags) -> Result<Result<Option<Older>>> {
    let make = || -> Result<Option<Older>> {
        let Some(job) = job.before()? else { return Ok(None) };
        let (feed, router) = router::with_feed(ctx, &job, flags)?;
        Ok(Some(Older { job, feed, router }))
    };
    match make() {
        Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
        made => Ok(made),
    }
}

/// Those that were made, or why not.
pub(super) fn made(older: Option<&Result<Option<Older>>>) -> Result<&Older> {
    match older {
        Some(Ok(Some(older))) => Ok(older),
        Some(Err(failure)) => Err(failure.clone()),
        None | Some(Ok(None)) => Err(unprepared()),
    }
}

/// A router of an older kernel, and what it becomes when its system is upgraded.
pub(super) struct Successor<'a> {
    ctx: &'a Ctx,
    lab: &'a Lab,
    next: &'a Router,
    about: About,
    /// `None` once the old system has ended and the new one could not be started.
    now: Option<Session>,
}

impl<'a> Successor<'a> {
    /// Starts the older one.
    pub(super) fn start(ctx: &'a Ctx, lab: &'a Lab, older: &Older, next: &'a Router) -> Result<Self> {
        let now = older.router.start(ctx, lab)?;
        Ok(Successor { ctx, lab, next, about: now.about().clone(), now: Some(now) })
    }

    fn now(&mut self) -> Result<&mut Session> {
        self.now.as_mut().ok_or_else(gone)
    }
}

impl Guest for Successor<'_> {
    fn about(&self) -> &About {
        &self.about
    }

    fn run(&mut self, words: &[&str], deadline: Deadline) -> Result<Output> {
        self.now()?.run(words, deadline)
    }

    fn script(&mut self, script: &str, deadline: Deadline) -> Result<Output> {
        self.now()?.script(script, deadline)
    }

    fn put(&mut self, files: &[(&str, &[u8])], deadline: Deadline) -> Result<()> {
        self.now()?.put(files, deadline)
    }

    fn reboot(&mut self, deadline: Deadline) -> Result<()> {
        self.now()?.reboot(deadline)
    }

    /// The newer system, at the same wires.
    fn renew(&mut self, deadline: Deadline) -> Result<()> {
        if let Some(old) = self.now.take() {
            old.power_off(deadline)?;
        }
        let new = self.next.start(self.ctx, self.lab)?;
        self.lab.connected(deadline)?;
        self.about = new.about().clone();
        self.now = Some(new);
        Ok(())
    }

    fn tail(&self) -> String {
        self.now.as_ref().map(Guest::tail).unwrap_or_default()
    }

    fn power_off(self: Box<Self>, deadline: Deadline) -> Result<()> {
        self.now.map_or(Ok(()), |now| now.power_off(deadline))
    }
}

fn gone() -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "TEST009",
        what: "the router ended while its system was upgraded",
        why: "the image of the newer kernel could not be started",
        fix: "see the failure of that start; `cargo xtask boot` with the newer kernel shows it alone",
    })
}

fn unprepared() -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "TEST008",
        what: "no router of an older kernel was prepared",
        why: "one is prepared where a scenario in the list begins so",
        fix: "report this together with the command",
    })
}

/// Why scenarios that begin with an older kernel cannot run, if that is no failure.
pub(super) fn lack(older: Option<&Result<Option<Older>>>, kernel: &str, is_offline: bool) -> Option<String> {
    match older {
        None | Some(Ok(Some(_))) => None,
        Some(Ok(None)) => Some(format!("no kernel line before {kernel} is known for these routers")),
        Some(Err(failure)) if is_offline && failure.exit() == Exit::Upstream => Some(format!(
            "the cache has no older kernel, and --offline forbids fetching one: {}",
            failure.finding().what
        )),
        Some(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(exit: Exit) -> Result<Option<Older>> {
        Err(Failure::of(Problem { exit, id: "NET001", what: "nothing fetched", why: "a test", fix: "none" }))
    }

    #[test]
    fn what_cannot_be_had_is_a_reason_to_skip_and_what_fails_is_none() {
        assert_eq!(lack(None, "6.12", false), None);
        assert!(lack(Some(&Ok(None)), "6.1", false).unwrap().contains("before 6.1"));
        assert!(lack(Some(&failing(Exit::Upstream)), "6.12", true).unwrap().contains("nothing fetched"));
        assert_eq!(lack(Some(&failing(Exit::Upstream)), "6.12", false), None);
        assert_eq!(lack(Some(&failing(Exit::Failed)), "6.12", true), None);
        assert_eq!((unprepared().id(), made(Some(&failing(Exit::Failed))).err().unwrap().id()), ("TEST008", "NET001"));
        assert_eq!((gone().id(), gone().exit()), ("TEST009", Exit::Blocked));
    }
}
