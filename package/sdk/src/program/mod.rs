//! Programs for routers: choosing the Rust target, compiler and linker, and compiling.
//!
//! ```text
//! architecture ─ target ─┬─ standard library installed ─ Rust's own linker ───────┬─> Toolchain ─ cargo ─> static
//! program
//!                        └─ compiler ─ its library's sources ─ zig, or another cc ─┘
//! ```

mod build;
mod compiler;
mod fetch;
mod linker;
mod target;
mod toolchain;

pub use build::{CargoBuild, Profile, StaticBinary, cargo_shared, cargo_static, router_program, set_by_cargo};
pub(crate) use build::{check_static, plan};
pub use compiler::is_installed as has_rust_target;
pub use fetch::{SOURCES_FETCHED, Sources, ZIG, ZIG_FETCHED, fetch_sources, fetch_zig};
pub use linker::SdkLinker;
pub use target::RustTarget;
pub use toolchain::{Extras, Ready, Toolchain, how_compiled, needs_linker};
