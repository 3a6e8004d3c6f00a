//! Programs for routers: which Rust target makes them, what they are compiled and linked with, and the compiling.
//!
//! ```text
//! architecture ─ target ─┬─ standard library installed ─ Rust's own linker ───────┬─> Toolchain ─ cargo ─> static program
//!                        └─ compiler ─ its library's sources ─ zig, or another cc ─┘
//! ```

mod build;
mod compiler;
mod fetch;
mod linker;
mod target;
mod toolchain;

pub(crate) use build::plan;
pub use build::{CargoBuild, Profile, StaticBinary, cargo_static, router_program};
pub use compiler::is_installed as has_rust_target;
pub use fetch::{SOURCES_FETCHED, Sources, ZIG, ZIG_FETCHED, fetch_sources, fetch_zig};
pub use target::RustTarget;
pub use toolchain::{Extras, Ready, Toolchain, how_compiled};
