//! The words that every crate shares.
//!
//! Failures that explain themselves ([`Failure`]), what happened during a run ([`Event`]), what a
//! check concluded ([`Verdict`]), what packets cost ([`cost`]), what we build for ([`Target`], [`KernelId`],
//! [`Format`]), how it is run and broken ([`Accel`], [`Sabotage`]), digests ([`Digest`]), work for all processors
//! ([`parallel()`]) and strict YAML (`yaml`). No processes, no network, and no file I/O beyond reading a
//! configuration file.
//!
//! What only some crates need is behind a feature: `yaml` the module of that name, `clap` that the command line can
//! name formats, accelerators and sabotage.

mod accel;
mod cancel;
pub mod cost;
mod errors;
mod event;
mod failure;
mod format;
mod hex;
mod kernel;
mod parallel;
mod record;
mod sabotage;
pub mod sha256;
mod target;
mod verdict;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use accel::{Accel, WantedAccel};
pub use cancel::{Cancel, Deadline, tied_to_parent};
pub use event::{Event, Events, SCHEMA, Status};
pub use failure::{Exit, Failure, Finding, Problem, Severity};
pub use format::Format;
pub use hex::{Hex, unhex};
pub use kernel::KernelId;
pub use parallel::{parallel, processors};
pub use record::{Check, CheckKind, Count, Phase, Record, Sample};
pub use sabotage::Sabotage;
pub use sha256::Digest;
pub use target::{Arch, Target, UnknownTarget};
pub use verdict::Verdict;

/// The result of everything that can fail in front of a user.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
