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
mod own;
pub mod recipe;
mod rust_target;
mod userspace;
mod write;

pub use build::{Request, build, source_date_epoch};
pub use built::BuiltPackage;
pub use kmod::{CompiledKmods, check_options};
pub use own::{Made, PackRequest, pack};
pub use recipe::Recipes;
pub use rust_target::of as rust_target;
pub use userspace::{
    CargoBuild, Profile, StaticBinary, cargo_for, cargo_static, is_installed as has_rust_target, router_program,
    static_target,
};
