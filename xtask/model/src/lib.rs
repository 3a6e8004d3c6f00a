//! The words that every crate shares.
//!
//! Failures that explain themselves ([`Failure`]), what happened during a run ([`Event`]), what a
//! check concluded ([`Verdict`]), what packets cost ([`cost`]), what we build for ([`Target`], [`KernelId`]), work
//! for all processors ([`parallel()`]) and strict YAML
//! ([`yaml`]). No processes, no network, and no file I/O beyond reading a configuration file.

mod cancel;
pub mod cost;
mod event;
mod failure;
mod kernel;
mod parallel;
mod record;
mod target;
mod verdict;
pub mod yaml;

pub use cancel::{Cancel, Deadline, tied_to_parent};
pub use event::{Event, Events, SCHEMA, Status};
pub use failure::{Exit, Failure, Finding, Severity};
pub use kernel::KernelId;
pub use parallel::{parallel, processors};
pub use record::{Check, CheckKind, Count, Phase, Record, Sample};
pub use target::{Arch, Target, UnknownTarget};
pub use verdict::Verdict;

/// The result of everything that can fail in front of a user.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
