//! The crate against files made by the real programs, and against malformed ones.
//!
//! Where the files come from is told in `tests/golden/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests")]

mod apk;
mod common;
mod feed;
mod hostile_apk;
mod ipk;
