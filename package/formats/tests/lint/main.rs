//! Every lint rule has a breach here that is found by its id, and correct packages have no findings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests")]

mod breaches;
mod clean;
mod elf;
mod feeds;
mod support;
mod system;
