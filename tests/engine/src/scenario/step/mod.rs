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
mod link;
mod load;
mod module;
mod open;
mod ruleset;

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
pub use link::Link;
pub use module::{Handle, Handling};
pub use ruleset::{Others, Ruleset};

use super::FeedVariant;
use super::flow::{FlowPlan, Path};

/// One thing that is done, and facts that must hold after it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The kernels that this step is for, and why: where measured kernels differ.
    pub kernels: Option<OnKernels>,
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
    /// Makes a device.
    Link(Link),
    /// Has another feed served from now on.
    Feed(FeedVariant),
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
            Deed::Manage(_) | Deed::Ruleset(_) | Deed::Feed(_) => Ok(()),
            Deed::Module(handle) => handle.check(),
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
            Deed::Link(link) => link.fmt(f),
            Deed::Feed(feed) => write!(f, "the feed {feed:?}"),
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
