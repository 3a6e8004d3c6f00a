//! What one try of a scenario works with: a router, the lab around it, and what is told of both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use camino::Utf8PathBuf;
use model::{Cancel, Format, Result, Sabotage};
use vm::guest::Guest;
use vm::lab::{Lab, Plan};

use crate::fingerprint::Fingerprint;
use crate::flows::Flows;
use crate::modules::Payload;
use crate::recorder::Recorder;
use crate::sabotage;
use crate::scenario::FeedVariant;

/// One try of a scenario.
pub(crate) struct Attempt<'a> {
    pub(crate) router: Router<'a>,
    pub(crate) net: Net<'a>,
    pub(crate) told: &'a mut Recorder,
    /// The kernel line, as on the command line.
    pub(crate) kernel: &'a str,
    /// How offload is broken, if it is.
    pub(crate) sabotage: Option<Sabotage>,
    /// Whether rules were broken so far.
    pub(crate) broken: bool,
    /// Whether `offloadctl` is asked about every flow, and held to what it says.
    pub(crate) asks_offloadctl: bool,
    pub(crate) cancel: &'a Cancel,
}

/// The router under test, and what is known of it.
pub(crate) struct Router<'a> {
    pub(crate) guest: &'a mut dyn Guest,
    pub(crate) manager: Format,
    /// What the feed's packages bring.
    pub(crate) payload: &'a Payload,
    /// Modules that were seen not to be loaded since it booted.
    pub(crate) absent: BTreeSet<String>,
    /// Whether it has a card that offloads.
    pub(crate) card: bool,
    /// What its root looked like when the scenario began, for a scenario that asks.
    pub(crate) before: Option<Fingerprint>,
}

/// The hosts around it.
pub(crate) struct Net<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) plan: &'a Plan,
    /// What the WAN host can serve.
    pub(crate) feeds: &'a BTreeMap<FeedVariant, Result<Utf8PathBuf>>,
    pub(crate) flows: Flows,
}

impl Attempt<'_> {
    /// Breaks whatever rules are loaded now, if the suite tests itself.
    pub(crate) fn sabotage(&mut self) -> Result<()> {
        if let Some(way) = self.sabotage {
            self.broken |= sabotage::apply(way, self.router.guest)?;
        }
        Ok(())
    }

    /// Does a part of the work and notes how long it took, added to what the same part took before.
    pub(crate) fn timed<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let outcome = work(self);
        self.told.phase(name, started.elapsed());
        outcome
    }
}
