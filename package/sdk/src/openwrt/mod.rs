//! The provider `openwrt`: what OpenWrt publishes for a release and target, found, verified and fetched.
//!
//! ```text
//! matrix.yaml ─> Row ─┐
//! openwrt-keys/ ──────┼─ resolve ─> Resolved ─┬─> openwrt.lock
//! mirror ─────────────┘   sha256sums + .sig   └─ fetch ─> verified files of the shared cache
//! ```
//!
//! Nothing is believed because of where it came from: the list of digests must be signed by a key
//! that is pinned in the repository, and every other file must have its digest from that list.

pub mod drive;
mod resolved;

pub use resolved::{Artifact, Release, Resolved, Role};
