//! Where packages come from.

mod command;
mod files;
pub mod local;
