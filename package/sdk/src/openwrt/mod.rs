//! The provider `openwrt`: finds, verifies and fetches what OpenWrt publishes for a release and target.
//!
//! ```text
//! matrix.yaml ─> Row ─┐
//! openwrt-keys/ ──────┼─ resolve ─> Resolved ─┬─> openwrt.lock
//! mirror ─────────────┘   sha256sums + .sig   └─ fetch ─> verified files of the shared cache
//! ```
//!
//! No file is trusted because of where it came from: a key that is pinned in the repository must have signed the list
//! of digests, and every other file must have its digest from that list.

pub mod drive;
mod feed_folder;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod image;
mod kept;
mod keys;
mod lists;
mod lockfile;
mod matrix;
mod mirror;
mod profiles;
mod published;
mod resolved;
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod transfer;
mod trouble;
mod upstream;

pub use feed_folder::{FeedFolder, OtherFeed, SourceFolder};
pub use keys::Keys;
pub use lists::{NOT_PUBLISHED, NOT_SIGNED};
pub use lockfile::{Difference, Lockfile, differences};
pub use matrix::{Distutils, HostNeeds, Matrix, Row};
pub use mirror::{DEFAULT_MIRROR, Mirror};
pub use published::{Held, Lack, Offer, Published};
pub use resolved::{Artifact, Release, Resolved, Role};
pub use sums::Sums;
pub use trouble::Patience;
pub use upstream::Upstream;
