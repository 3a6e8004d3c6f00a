//! What a scenario file says. The vocabulary is small on purpose: what it can't say is Rust.
//!
//! This module has the file as a whole; [`step`] the things that are done, one module each, [`flow`] traffic,
//! [`manager`] the package managers, [`topology`] what surrounds the router.
//! [`load`] reads files, and `check` refuses what YAML types can't.

mod check;
pub mod flow;
mod lines;
mod load;
pub mod manager;
pub mod needs;
pub mod step;
pub mod topology;

use std::collections::BTreeSet;

use model::Format;
use serde::Deserialize;

pub use check::KERNELS;
pub use flow::{Family, FlowPlan, Lane, OffloadProof, Path, Proto, Side, Target};
pub use lines::Lines;
pub use load::{File, load, load_all, parse};
pub use manager::{Action, Says};
pub use needs::Needs;
pub use step::{
    Answer, Card, Counts, Deed, End, Ending, Exchange, Expected, ExpectedExit, Facts, FtpMode, FtpPlan, Handle,
    Handling, Link, Manage, NoLeak, OffloadFlag, OnKernels, Others, Refusal, Ruleset, Run, Step, Sysupgrade,
};
pub use topology::Topology;

/// One scenario: a router of its own, steps in order, and maybe a proof of offload after them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// File version, always 1.
    pub version: u32,
    /// One sentence: what is true when it passes.
    pub title: String,
    /// What it belongs to in reports.
    #[serde(default)]
    pub group: Group,
    /// What the router has when the scenario begins.
    #[serde(default)]
    pub router: Start,
    /// With which package managers it runs, once each. Both, unless it says otherwise or begins on a router that
    /// has the packages: offload does not depend on who installed them.
    #[serde(default)]
    pub managers: Vec<Format>,
    /// What the router's image must have besides.
    #[serde(default)]
    pub needs: Needs,
    /// Which feed the WAN host serves.
    #[serde(default)]
    pub feed: FeedVariant,
    /// On which kernels it runs, and why not on all.
    pub kernels: Option<OnKernels>,
    /// What surrounds the router, where it differs from the usual.
    #[serde(default)]
    pub topology: Topology,
    /// What is done, in order; the first that does not hold ends the scenario.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Traffic through the router, once without and once with offload.
    pub offload: Option<OffloadProof>,
    /// Whether the file leaves the package manager open; filled in by the loader.
    #[serde(skip)]
    pub any_manager: bool,
    /// Name of the file without `.yaml`; filled in by the loader.
    #[serde(skip)]
    pub name: String,
    /// The file; filled in by the loader.
    #[serde(skip)]
    pub file: camino::Utf8PathBuf,
    /// Where its steps stand in the file; filled in by the loader.
    #[serde(skip)]
    pub lines: Lines,
}

impl Scenario {
    /// Whether some of it is for some kernels only.
    pub fn differs_between_kernels(&self) -> bool {
        fn any(steps: &[Step]) -> bool {
            steps.iter().any(|step| step.kernels.is_some() || any(step.during()))
        }
        self.kernels.is_some() || any(&self.steps)
    }

    /// The feeds that are served during it.
    pub fn feeds(&self) -> BTreeSet<FeedVariant> {
        fn add(steps: &[Step], feeds: &mut BTreeSet<FeedVariant>) {
            for step in steps {
                if let Some(Deed::Feed(feed)) = step.deed {
                    feeds.insert(feed);
                }
                add(step.during(), feeds);
            }
        }
        let mut feeds = BTreeSet::from([self.feed]);
        // What it needs is installed from there.
        feeds.extend((!self.needs.packages.is_empty()).then_some(FeedVariant::Published));
        add(&self.steps, &mut feeds);
        feeds
    }

    /// About how long it takes, in commands: longer ones begin first.
    pub fn weight(&self) -> usize {
        let proof = self.offload.as_ref().map_or(0, |proof| 10 + 2 * proof.traffic.len());
        proof + self.steps.iter().map(Step::weight).sum::<usize>()
    }

    /// Whether some traffic must take the fast path both ways on a kernel: such a scenario turns red when that is
    /// sabotaged.
    pub fn needs_fast_path(&self, kernel: &str) -> bool {
        self.offload.is_some() || self.any_exchange(kernel, |path| path.is_fast())
    }

    /// The same of the card.
    pub fn needs_hardware(&self, kernel: &str) -> bool {
        self.any_exchange(kernel, |path| path.has(Lane::Hardware))
    }

    fn any_exchange(&self, kernel: &str, wanted: fn(Path) -> bool) -> bool {
        fn any(steps: &[Step], kernel: &str, wanted: fn(Path) -> bool) -> bool {
            // A step for a kind of kernel may be for none of those that are tried.
            let mut there = steps.iter().filter(|step| step.is_for(kernel) && step.flag.is_none());
            there.any(|step| step.path().is_some_and(wanted) || any(step.during(), kernel, wanted))
        }
        any(&self.steps, kernel, wanted)
    }
}

/// What a scenario is about, in the order of reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Packages install, and are removed.
    Install,
    /// Feeds and packages that must be refused.
    Refuse,
    /// Traffic that must take the fast path.
    MustOffload,
    /// Traffic that must take the slow path, and arrive.
    MustNotOffload,
    /// A card that offloads.
    Hardware,
    /// From the first packet of a flow to its end.
    Life,
    /// What no longer sees packets that take the fast path.
    Hides,
    /// Rulesets of the shape that fw4 writes.
    Fw4,
    /// The tool `offloadctl`.
    Offloadctl,
    /// Anybody's own.
    #[default]
    Own,
}

impl Group {
    /// The word in scenario files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Group::Install => "install",
            Group::Refuse => "refuse",
            Group::MustOffload => "must-offload",
            Group::MustNotOffload => "must-not-offload",
            Group::Hardware => "hardware",
            Group::Life => "life",
            Group::Hides => "hides",
            Group::Fw4 => "fw4",
            Group::Offloadctl => "offloadctl",
            Group::Own => "own",
        }
    }
}

/// What a router has when a scenario begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It has booted and knows the feed, nothing more.
    #[default]
    Booted,
    /// The packages of the feed are installed, by the scenario's package manager, and their modules loaded.
    Installed,
    /// It has booted the kernel line before its own: its system is upgraded to its own in a step.
    OlderKernel,
    /// The packages are installed, and the driver of a card that offloads is installed: `card` steps load it.
    Card,
}

impl Start {
    /// Whether it has the packages of the feed.
    pub fn has_packages(self) -> bool {
        matches!(self, Start::Installed | Start::Card)
    }
}

/// The feed as published, one with more in it, or one that a package manager must refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedVariant {
    /// As published.
    #[default]
    Published,
    /// With the packages that are for tests only.
    Tests,
    /// The same packages, signed by a key that the router does not trust.
    WrongKey,
    /// One byte of `kmod-nft-offload` changed after the index was signed.
    FlippedPackage,
    /// One byte of the index changed after it was signed.
    FlippedIndex,
    /// Properly signed, but the kmods depend on another kernel.
    OtherKernel,
    /// The same packages, each in a newer release.
    Newer,
    /// The same, and the kmods depend on another kernel: an address that went on to the next kernel.
    NewKernel,
    /// Several published trees, as `dist` makes them, each below a folder of its name; the router knows none of them yet.
    Trees,
}
