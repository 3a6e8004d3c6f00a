//! Scenarios: what must be true of a router that offloads flows, and of one that refuses bad packages.
//!
//! A scenario is a YAML file of `tests/scenarios/` ([`scenario`] is its vocabulary). Each runs on a router of
//! its own with a lab around it ([`runner`]): steps first ([`steps`]), then traffic with and without offload
//! ([`offload`]), and what was observed is judged by pure functions ([`judge`], [`probes`]).
//! [`cost`] measures what forwarding a packet costs, for `bench offload`.

pub mod cost;
pub mod judge;
pub mod offload;
pub mod probes;
pub mod runner;
pub mod scenario;
pub mod steps;

pub use runner::{Bench, FEED_URL, Trust, run};
pub use scenario::{FeedVariant, Scenario};
