//! Where packages come from: recipes, a kernel, and what is built of them.
//!
//! ```text
//! apt ── fetch ──> .deb files ── Kernel::prepare ──> Kernel ─┐
//!                                    recipes/*.yaml ─────────┼── build ──> *.ipk, *.apk
//!                                    cargo, static ──────────┘
//! ```
//!
//! Every function fills an empty directory that its caller gives and reports through
//! [`model::Events`]; stamps, locks and renames are the caller's, but for the downloads of
//! [`openwrt`], which all work trees share.

mod build;
mod built;
mod kbuild;
mod kmod;
pub mod local;
pub mod openwrt;
pub mod program;
pub mod recipe;
mod write;

pub use build::{Request, build, source_date_epoch};
pub use built::BuiltPackage;
pub use kmod::{CompiledKmods, check_options};
pub use program::{CargoBuild, Profile, RustTarget, StaticBinary, Toolchain};
pub use recipe::Recipes;
