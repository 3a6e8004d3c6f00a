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
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod image;
mod keys;
mod lists;
mod lockfile;
mod matrix;
mod mirror;
mod profiles;
mod resolved;
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod transfer;
mod trouble;
mod upstream;

pub use keys::Keys;
pub use lockfile::{Difference, Lockfile, differences};
pub use matrix::{Distutils, HostNeeds, Matrix, Row};
pub use mirror::{DEFAULT_MIRROR, Mirror};
pub use resolved::{Artifact, Release, Resolved, Role};
pub use sums::Sums;
pub use trouble::Patience;
pub use upstream::Upstream;
