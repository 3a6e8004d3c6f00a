//! What every part needs from the host: programs ([`Job`], [`Child`]), files that appear whole ([`aside`]), locks
//! ([`lock`]), and file operations with good errors ([`files`]).
//!
//! Each is here once, so that its promise holds everywhere: a child dies with us, a wait ends, and an interrupted run
//! leaves nothing that looks finished. Nothing here changes this process's own folder or environment.

pub mod aside;
pub mod files;
pub mod lock;
mod program;
mod standstill;
pub mod web;

pub use program::{Child, Ended, Job, Output, find_program, shell};
pub use xshell::{Cmd, cmd};
