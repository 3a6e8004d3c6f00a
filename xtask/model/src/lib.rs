//! The types that every crate shares.
//!
//! Failures that explain themselves ([`Failure`]), what happened during a run ([`Event`]), what a check concluded
//! ([`Verdict`]), what packets cost ([`cost`]), what we build for ([`Target`], [`KernelId`], [`Format`]), how it is run
//! and broken ([`Accel`], [`Sabotage`]), digests ([`Digest`]), work for all processors ([`parallel()`]) and strict YAML
//! (`yaml`). No processes, no network, and no file I/O beyond reading a configuration file.
//!
//! What only some crates need is behind a feature: `yaml` for the module of that name, `clap` for reading formats,
//! accelerators and sabotage from the command line.

mod accel;
mod cancel;
pub mod cost;
mod errors;
mod event;
mod failure;
mod format;
mod hex;
mod kernel;
pub mod kmod;
mod parallel;
mod record;
mod sabotage;
pub mod sha256;
mod target;
mod verdict;
pub mod word;
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

/// The result of everything that can fail in front of the user.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
