//! What every part needs of the host: programs ([`Job`], [`Child`]), files that appear whole ([`aside`]), locks
//! ([`lock`]), and the small things that are done to folders ([`files`]).
//!
//! Each is here once, so that a promise holds everywhere: a child dies with us, a wait ends, and what is
//! interrupted leaves nothing that looks finished. Nothing here changes this process's own folder or environment.

pub mod aside;
pub mod files;
pub mod lock;
mod program;
mod standstill;

pub use program::{Child, Ended, Job, Output, find_program, shell};
pub use xshell::cmd;
