//! The program as a user meets it on a bad day: broken input, a poor host, a guest that dies, a run that
//! is interrupted. Each case asserts the exit code, the id and the words that help, and that nothing
//! half-made stays behind.
//!
//! The real binary runs against a real QEMU, so these tests run when `--test e2e` names them. Finished
//! stages of the user's cache are used and never changed; whatever fails does so in a place of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

mod cache;
mod dist;
mod examples;
mod feed;
mod files;
mod guest;
mod host;
mod interrupted;
mod mirror;
mod modules;
mod on_purpose;
mod openwrt;
mod own_feed;
mod own_life;
mod own_packages;
mod packages;
mod place;
mod programs;
mod reports;
mod run;
mod small;
