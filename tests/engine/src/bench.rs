//! What scenarios run on: routers, what their hosts serve, and how cases are run.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Deadline, Events, Exit, Failure, Format, Problem, Result, Sabotage};
use vm::guest::Guest;
use vm::lab::{Lab, Options, Plan, Wires, stream};

use crate::ask::COMMAND;
use crate::modules::Payload;
use crate::scenario::{FeedVariant, Scenario, Start};

/// Where routers find the feed: the WAN host's address, with a folder for each package manager.
pub const FEED_URL: &str = "http://203.0.113.2";

/// Gives routers, each at the two wires of a lab of its own.
pub trait Routers: Sync {
    /// The kernel line that they run, as on the command line, or that of the release.
    fn kernel(&self) -> &str;

    /// The wires for the lab of the next one. Of an emulated router these are sockets.
    fn wires(&self) -> Result<Wires> {
        stream::private()
    }

    /// Why there are no routers for a scenario, or not what they need, if that is so.
    fn lack(&self, _scenario: &Scenario) -> Option<String> {
        None
    }

    /// A router as a scenario wants it to begin, with the packages of this manager where it wants them installed.
    fn boot<'a>(&'a self, lab: &'a Lab, start: Start, manager: Format) -> Result<Box<dyn Guest + 'a>>;
}

/// What the WAN host serves, and what routers know of it.
#[derive(Clone, Copy)]
pub struct Feeds<'a> {
    /// The directories of all feeds that the scenarios name; what could not be made fails those that name it.
    pub folders: &'a BTreeMap<FeedVariant, Result<Utf8PathBuf>>,
    /// What a router trusts.
    pub trust: &'a Trust,
    /// What the packages of these feeds bring.
    pub payload: &'a Payload,
    /// Which packages of the release's own feeds the published one has for scenarios.
    pub borrowed: &'a Borrowed,
}

/// Packages of a release's own feeds that scenarios name in their `needs`.
#[derive(Debug, Clone, Default)]
pub struct Borrowed {
    /// Those that the published feed has.
    pub has: BTreeSet<String>,
    /// Why it has no others, by name.
    pub lacks: BTreeMap<String, String>,
}

/// Does something with a router at the end of its scenario, before it goes.
pub type Keep<'a> = dyn Fn(&mut dyn Guest) -> Result<()> + Sync + 'a;

/// How cases are run.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// Routers at once.
    pub jobs: usize,
    /// Whether other kernels have a turn in the same run, so that names of cases must tell the kernel.
    pub of_several: bool,
    /// OpenWrt's target that was asked for, which records tell.
    pub target: &'a str,
    /// How offload is broken, if the suite tests itself.
    pub sabotage: Option<Sabotage>,
    /// Whether `offloadctl`, where it is installed, is asked about the flows of every scenario: what it says must be true
    /// of their next packets.
    pub asks_offloadctl: bool,
    /// What is done with a router at the end of its scenario.
    pub keep: Option<&'a Keep<'a>>,
    /// Where captures go, a folder a scenario.
    pub captures: Option<&'a Utf8Path>,
}

/// What the scenarios run on.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// Where routers come from.
    pub routers: &'a dyn Routers,
    /// What they install from.
    pub feeds: Feeds<'a>,
    /// How cases are run.
    pub manner: Manner<'a>,
    /// Where events go.
    pub events: &'a Events,
    /// The user's interrupt.
    pub cancel: &'a Cancel,
}

/// What a router must know to install from the feed through its signatures, with either package manager.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Configuration and public keys: path on the router, and text.
    pub files: Vec<(String, String)>,
}

impl Trust {
    /// Gives the router the feed's addresses and the keys to trust.
    pub fn teach(&self, guest: &mut dyn Guest) -> Result<()> {
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        guest.put(&files, Deadline::after(COMMAND))
    }
}

/// A lab at two wires.
pub(crate) fn lab(wires: Wires, plan: &Plan, captures: Option<Utf8PathBuf>, cancel: &Cancel) -> Result<Lab> {
    if let Some(captures) = &captures {
        std::fs::create_dir_all(captures)
            .map_err(|error| Failure::io("make the folder for captures", captures, &error))?;
    }
    Lab::start(wires, Options { captures, ..Options::new(plan.clone(), cancel.clone()) })
}

/// A lab that listens for a router in QEMU.
pub fn listening(plan: &Plan, captures: Option<Utf8PathBuf>, cancel: &Cancel) -> Result<Lab> {
    lab(stream::private()?, plan, captures, cancel)
}

/// The directory of a feed, or why it could not be made.
pub(crate) fn folder(
    folders: &BTreeMap<FeedVariant, Result<Utf8PathBuf>>,
    variant: FeedVariant,
) -> Result<Utf8PathBuf> {
    folders.get(&variant).cloned().unwrap_or_else(|| Err(no_feed(variant)))
}

fn no_feed(variant: FeedVariant) -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "SCEN005",
        what: format!("there is no feed `{variant:?}`"),
        why: "the caller prepares every feed that the scenarios name",
        fix: "report this together with the scenario",
    })
}
