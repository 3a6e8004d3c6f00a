//! Tests the crate against files made by the real programs, and against malformed ones.
//!
//! `tests/golden/README.md` says where the files come from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests")]

mod apk;
mod common;
mod feed;
mod hostile_apk;
mod ipk;
