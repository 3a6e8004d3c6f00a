//! Where packages come from: recipes, a kernel, and what is built from them.
//!
//! ```text
//! apt ── fetch ──> .deb files ── Kernel::prepare ──> Kernel ─┐
//!                                    recipes/*.yaml ─────────┼── build ──> *.ipk, *.apk
//!                                    cargo, static ──────────┘
//! ```
//!
//! Every function fills an empty directory that its caller gives, and reports through [`model::Events`]. The caller
//! takes care of stamps, locks and renames, except for the downloads of [`openwrt`], which all work trees share.

mod build;
mod built;
mod kbuild;
mod kmod;
pub mod local;
pub mod openwrt;
mod own;
pub mod program;
pub mod recipe;
mod write;

pub use build::{Request, build, source_date_epoch};
pub use built::BuiltPackage;
pub use kmod::{CompiledKmods, SYMBOL_OF_OTHERS, check_options};
pub use own::{Made, PackRequest, pack};
pub use program::{CargoBuild, Profile, RustTarget, StaticBinary, Toolchain};
pub use recipe::Recipes;
