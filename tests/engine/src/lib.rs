//! Scenarios: what must be true of a router that offloads flows, and of one that refuses bad packages.
//!
//! A scenario is a YAML file of `tests/scenarios/` ([`scenario`] is its vocabulary). Each runs on a router of
//! its own with a lab around it: [`runner`] hands cases out, an attempt does the steps of one in order. What was
//! observed is judged by pure functions ([`judge`], [`probes`]), and told in a [`model::Record`].
//!
//! ```text
//! runner ─> attempt ─┬─> steps ─────> probes, modules
//!                    ├─> ruleset
//!                    ├─> traffic ───> forward ─> probes
//!                    └─> offload ───> judge
//! ```
//!
//! [`cost`] measures what forwarding a packet costs, for `bench offload`.

mod attempt;
pub mod cost;
pub mod forward;
pub mod judge;
pub mod modules;
mod offload;
pub mod probes;
mod ruleset;
pub mod runner;
mod sabotage;
pub mod scenario;
mod steps;
mod traffic;

pub use modules::{Module, Payload};
pub use runner::{Bench, FEED_URL, Origin, Trust, run};
pub use scenario::{FeedVariant, Scenario, Start};
