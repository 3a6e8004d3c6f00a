//! The things that a scenario does and asks, one a step.
//!
//! Each deed has a module here, with what a file says of it and what would be wrong with that, and is done by the
//! engine's own modules. A new one is a variant of [`Deed`] and a word of `load`, and the engine's
//! `steps` names who does it.

mod answer;
mod beside;
mod card;
mod command;
mod conntrack;
mod end;
mod exchange;
mod facts;
mod flows;
mod ftp;
mod leak;
mod link;
mod load;
mod module;
mod open;
mod ruleset;
mod sysupgrade;

use std::fmt;

use serde::Deserialize;

pub use answer::{Answer, ExpectedExit};
pub use card::Card;
pub use command::{Manage, Run};
pub use conntrack::{Counts, Expected};
pub use end::{End, Ending};
pub use exchange::{Exchange, IpOption, Refusal};
pub use facts::Facts;
pub(super) use flows::Flows;
pub use ftp::{FtpMode, FtpPlan};
pub use leak::NoLeak;
pub use link::Link;
pub use module::{Handle, Handling};
pub use ruleset::{Others, Ruleset};
pub use sysupgrade::Sysupgrade;

use super::FeedVariant;
use super::flow::{FlowPlan, Path};

/// One thing that is done, and facts that must hold after it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The kernels that this step is for, and why: where measured kernels differ.
    pub kernels: Option<OnKernels>,
    /// The kind of kernels that this step is for, as the router's turns out to be.
    pub flag: Option<OffloadFlag>,
    /// What is done; nothing in a step that only checks facts.
    pub deed: Option<Deed>,
    /// What must be true then.
    pub facts: Facts,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Runs a command.
    Run(Run),
    /// Asks the package manager.
    Manage(Manage),
    /// Loads rules.
    Ruleset(Ruleset),
    /// Puts a card that offloads between the router and its wires.
    Card(Card),
    /// Opens a flow; a TCP connection is established.
    Open(FlowPlan),
    /// Sends over open flows.
    Exchange(Exchange),
    /// Ends a flow.
    End(End),
    /// Asks the connection table.
    Conntrack(Expected),
    /// Opens an FTP session.
    Ftp(FtpPlan),
    /// Loads or unloads a module.
    Module(Handle),
    /// Loads and unloads modules many times.
    NoLeak(NoLeak),
    /// Makes a device.
    Link(Link),
    /// Has another feed served from now on.
    Feed(FeedVariant),
    /// Upgrades the system.
    Sysupgrade(Sysupgrade),
}

/// Kernels that something is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnKernels {
    /// Kernel lines in quotes, as on the command line.
    pub only: Vec<String>,
    /// Why not on all.
    pub because: String,
}

/// What a kernel does with `flags offload` for devices that cannot: a version does not tell, as OpenWrt changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffloadFlag {
    /// It takes such a flowtable, and works in software.
    Taken,
    /// It refuses it.
    Refused,
}

impl OnKernels {
    /// Whether a kernel line is among them.
    pub fn include(&self, line: &str) -> bool {
        self.only.iter().any(|only| only == line)
    }
}

impl Step {
    /// The steps that are done while this one goes on.
    pub fn during(&self) -> &[Step] {
        match &self.deed {
            Some(Deed::Exchange(exchange)) => &exchange.during,
            _ => &[],
        }
    }

    /// About how long it takes, in commands: a package manager starts many.
    pub(super) fn weight(&self) -> usize {
        let deed = match &self.deed {
            Some(Deed::Run(run)) => {
                run.words.iter().map(|word| word.lines().count().saturating_sub(1)).sum::<usize>() + 1
            }
            Some(Deed::Manage(_)) => 20,
            Some(Deed::Card(_) | Deed::Exchange(_)) => 3,
            _ => 1,
        };
        deed + self.during().iter().map(Step::weight).sum::<usize>()
    }

    /// Whether it is for this kernel.
    pub fn is_for(&self, kernel: &str) -> bool {
        self.kernels.as_ref().is_none_or(|kernels| kernels.include(kernel))
    }

    /// The path that its traffic must take.
    pub(super) fn path(&self) -> Option<Path> {
        match &self.deed {
            Some(Deed::Exchange(exchange)) => exchange.path,
            _ => None,
        }
    }
}

impl Deed {
    /// What is wrong with it after what earlier steps did to flows.
    pub(super) fn check(&self, flows: &mut Flows) -> Result<(), String> {
        match self {
            Deed::Run(run) => run.check(),
            Deed::Manage(_) | Deed::Ruleset(_) | Deed::Feed(_) | Deed::Sysupgrade(_) => Ok(()),
            Deed::Module(handle) => handle.check(),
            Deed::NoLeak(modules) => modules.check(),
            Deed::Link(link) => link.check(),
            Deed::Card(card) => card.check(flows),
            Deed::Open(plan) => open::check(plan, flows),
            Deed::Exchange(exchange) => exchange.check(flows),
            Deed::End(end) => end.check(flows),
            Deed::Conntrack(expected) => expected.check(flows),
            Deed::Ftp(plan) => plan.check(flows),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Run(run) => run.fmt(f),
            Deed::Manage(manage) => manage.fmt(f),
            Deed::Ruleset(ruleset) => ruleset.fmt(f),
            Deed::Card(card) => card.fmt(f),
            Deed::Open(plan) => plan.fmt(f),
            Deed::Exchange(exchange) => exchange.fmt(f),
            Deed::End(end) => end.fmt(f),
            Deed::Conntrack(expected) => expected.fmt(f),
            Deed::Ftp(plan) => plan.fmt(f),
            Deed::Module(handle) => handle.fmt(f),
            Deed::NoLeak(modules) => write!(f, "no leak of {modules}"),
            Deed::Link(link) => link.fmt(f),
            Deed::Feed(feed) => write!(f, "the feed {feed:?}"),
            Deed::Sysupgrade(upgrade) => upgrade.fmt(f),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Some(deed) => deed.fmt(f),
            None => write!(f, "{} facts", self.facts.count()),
        }
    }
}
