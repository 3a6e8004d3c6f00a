//! The things that a scenario does and asks, one a step.

use serde::Deserialize;

use super::conntrack::Expected;
use super::flow::{Exchange, FlowPlan};
use super::ftp::FtpPlan;
use super::manager::{Action, Manager, Says};
use super::topology::Seconds;

/// One thing that is done, with what it must answer, and facts that must hold after it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The kernels that this step is for, and why: where measured kernels differ.
    pub kernels: Option<OnKernels>,

    /// A command, as words; no shell looks at them.
    #[serde(default)]
    pub run: Vec<String>,
    /// What the package manager is to do; `packages` are its names.
    pub manager: Option<Action>,
    /// An nftables ruleset that replaces all tables, in one transaction.
    pub ruleset: Option<String>,
    /// Rules that are added to the others, in one transaction.
    pub ruleset_add: Option<String>,
    /// A flow that is opened and stays open; a TCP connection is established.
    pub open: Option<FlowPlan>,
    /// Traffic over open flows.
    pub exchange: Option<Exchange>,
    /// The flow that ends, TCP by FIN from both ends.
    pub close: Option<String>,
    /// The flow that ends, TCP by RST.
    pub abort: Option<String>,
    /// What the connection table must say of a flow.
    pub conntrack: Option<Expected>,
    /// An FTP session that is opened.
    pub ftp: Option<FtpPlan>,

    /// Names for `manager`.
    #[serde(default)]
    pub packages: Vec<String>,
    /// The exit code that a command or `nft` must end with: `0`, another number, `nonzero`, or `any`. A ruleset that must
    /// be refused must also leave the rules as they were.
    #[serde(default)]
    pub exit: ExpectedExit,
    /// Texts that its output must contain.
    #[serde(default)]
    pub says: Vec<String>,
    /// Texts that its output must not contain.
    #[serde(default)]
    pub says_not: Vec<String>,
    /// Texts that its output must contain, where the managers speak differently.
    #[serde(default)]
    pub each_says: Says,
    /// The command is repeated until it answers as it must, so long at most.
    pub within: Option<Seconds>,

    /// Modules that must be in `/proc/modules`.
    #[serde(default)]
    pub loaded: Vec<String>,
    /// Modules that must not be there.
    #[serde(default)]
    pub not_loaded: Vec<String>,
    /// Packages of the feed whose modules must be loaded, from the feed's own files: see [`crate::modules`].
    #[serde(default)]
    pub loaded_from_feed: Vec<String>,
    /// Packages that the package manager must list as installed.
    #[serde(default)]
    pub installed: Vec<String>,
    /// Packages that it must not list.
    #[serde(default)]
    pub not_installed: Vec<String>,
    /// Every file of the root must be as it was when the scenario began (feed lists excepted).
    #[serde(default)]
    pub root_unchanged: bool,
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

/// What a step does; every step does one of these at most.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// Runs a command.
    Run(&'a [String]),
    /// Asks the package manager.
    Manage(Action),
    /// Replaces the ruleset.
    Ruleset(&'a str),
    /// Adds rules.
    RulesetAdd(&'a str),
    /// Opens a flow.
    Open(&'a FlowPlan),
    /// Sends over open flows.
    Exchange(&'a Exchange),
    /// Ends a flow with FIN.
    Close(&'a str),
    /// Ends a flow with RST.
    Abort(&'a str),
    /// Asks the connection table.
    Conntrack(&'a Expected),
    /// Opens an FTP session.
    Ftp(&'a FtpPlan),
}

impl Step {
    /// All that the step does: one deed, or none when it only checks facts.
    pub fn deeds(&self) -> Vec<Deed<'_>> {
        let run = (!self.run.is_empty()).then_some(Deed::Run(&self.run));
        let deeds = [
            run,
            self.manager.map(Deed::Manage),
            self.ruleset.as_deref().map(Deed::Ruleset),
            self.ruleset_add.as_deref().map(Deed::RulesetAdd),
            self.open.as_ref().map(Deed::Open),
            self.exchange.as_ref().map(Deed::Exchange),
            self.close.as_deref().map(Deed::Close),
            self.abort.as_deref().map(Deed::Abort),
            self.conntrack.as_ref().map(Deed::Conntrack),
            self.ftp.as_ref().map(Deed::Ftp),
        ];
        deeds.into_iter().flatten().collect()
    }

    /// The words to run with this package manager; none for a step that runs no command.
    pub fn words(&self, manager: Manager) -> Vec<&str> {
        match self.manager {
            Some(action) => {
                manager.words(action).iter().copied().chain(self.packages.iter().map(String::as_str)).collect()
            }
            None => self.run.iter().map(String::as_str).collect(),
        }
    }

    /// The texts that this package manager's answer must contain.
    pub fn texts(&self, manager: Manager) -> impl Iterator<Item = &str> {
        let own = match manager {
            Manager::Opkg => &self.each_says.opkg,
            Manager::Apk => &self.each_says.apk,
        };
        self.says.iter().chain(own).map(String::as_str)
    }

    /// How many facts it checks besides what its deed must answer.
    pub fn facts(&self) -> usize {
        self.loaded.len()
            + self.not_loaded.len()
            + self.loaded_from_feed.len()
            + self.installed.len()
            + self.not_installed.len()
            + usize::from(self.root_unchanged)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.deeds().first() {
            None => write!(f, "{} facts", self.facts()),
            Some(Deed::Run(words)) => f.write_str(&words.join(" ")),
            Some(Deed::Manage(action)) => write!(f, "{action:?} {}", self.packages.join(" ")),
            Some(Deed::Ruleset(_)) => f.write_str("the ruleset is replaced"),
            Some(Deed::RulesetAdd(_)) => f.write_str("rules are added"),
            Some(Deed::Open(plan)) => write!(f, "open {} {}", plan.proto.word(), plan.flow),
            Some(Deed::Exchange(exchange)) => {
                let path = exchange.path.map_or("any", |path| path.word());
                write!(f, "exchange over {}, {path} path", exchange.flows.join(", "))
            }
            Some(Deed::Close(flow)) => write!(f, "close {flow}"),
            Some(Deed::Abort(flow)) => write!(f, "abort {flow}"),
            Some(Deed::Conntrack(expected)) => write!(f, "conntrack of {}", expected.flow),
            Some(Deed::Ftp(plan)) => write!(f, "open FTP {} and {}", plan.control, plan.data),
        }
    }
}

/// The exit code a command must end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ExitText")]
pub enum ExpectedExit {
    /// Exactly this one.
    Code(u8),
    /// Any but 0.
    NonZero,
    /// Whichever: what it says tells.
    Any,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExitText {
    Code(u8),
    Word(String),
}

impl TryFrom<ExitText> for ExpectedExit {
    type Error = String;

    fn try_from(text: ExitText) -> Result<Self, String> {
        match text {
            ExitText::Code(code) => Ok(ExpectedExit::Code(code)),
            ExitText::Word(word) if word == "nonzero" => Ok(ExpectedExit::NonZero),
            ExitText::Word(word) if word == "any" => Ok(ExpectedExit::Any),
            ExitText::Word(word) => Err(format!("exit: `{word}` is neither a number, `nonzero` nor `any`")),
        }
    }
}

impl Default for ExpectedExit {
    fn default() -> Self {
        ExpectedExit::Code(0)
    }
}

impl std::fmt::Display for ExpectedExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpectedExit::Code(code) => write!(f, "{code}"),
            ExpectedExit::NonZero => f.write_str("anything but 0"),
            ExpectedExit::Any => f.write_str("anything"),
        }
    }
}

impl ExpectedExit {
    /// Whether `code` is what was expected.
    pub fn accepts(self, code: i32) -> bool {
        match self {
            ExpectedExit::Code(wanted) => i32::from(wanted) == code,
            ExpectedExit::NonZero => code != 0,
            ExpectedExit::Any => true,
        }
    }
}
