//! Scenarios: what must be true of a router that offloads flows, and of one that refuses bad packages.
//!
//! A scenario is a YAML file of `tests/scenarios/` ([`scenario`] is its vocabulary). Each runs on a router of
//! its own with a lab around it: [`runner`] hands cases out, which run on what a [`Bench`] has. What was observed is
//! judged by pure functions ([`judge`], [`probes`]), and told in a [`model::Record`].
//!
//! ```text
//! bench ─> runner ─> case ─┬─> steps ─┬─> deeds: card, command, ruleset, traffic ─> flows ─> forward ─> below, probes
//!                          │          └─> facts ─> modules, fingerprint
//!                          └─> offload ─> deeds, judge
//! ```
//!
//! Deeds and facts work with an attempt: the router under test, the hosts around it, and the recorder of what is told.
//!
//! [`cost`] measures what forwarding a packet costs, for `bench offload`.

mod ask;
mod attempt;
mod below;
mod bench;
mod case;
pub mod cost;
pub mod counters;
mod deeds;
mod delivery;
mod facts;
mod fingerprint;
mod flows;
pub mod forward;
pub mod judge;
mod kernel;
mod lacks;
pub mod modules;
mod offload;
pub mod probes;
mod recorder;
pub mod runner;
mod sabotage;
pub mod scenario;
mod steps;
#[cfg(test)]
mod tests;

pub use bench::{Bench, Borrowed, FEED_URL, Feeds, Keep, Manner, Routers, Trust, listening};
pub use modules::{Module, Payload};
pub use runner::run;
pub use scenario::{FeedVariant, Scenario, Start};
