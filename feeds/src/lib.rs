//! The signed feed for both package managers: keys, indexes, serving, and spoiled copies that a client must refuse.
//!
//! ```text
//!                            ┌─> opkg/kmods/KERNEL/  *.ipk  Packages{,.gz,.manifest,.sig}  index.json
//! packages/*.{ipk,apk} ──────┤
//!                            └─> apk/kmods/KERNEL/   *.apk  packages.adb  index.json
//! ```
//!
//! A manager's folder exists only if there are packages of its format. The signature of opkg's index covers the
//! uncompressed `Packages`; apk's index contains its signature. Packages themselves are not signed: the index has their
//! SHA-256, for ipk of the whole file, for apk of the metadata, which has the digest of every file.

mod apk;
mod assemble;
mod diff;
pub mod dist;
mod entry;
pub mod keys;
mod layout;
pub mod live;
mod merge;
mod opkg;
mod published;
mod refused;
pub mod serve;
mod trust;
mod verify;

use model::{Exit, Failure, Problem};

pub use assemble::{Contents, assemble};
pub use diff::{Part, diff};
pub use layout::{Kernel, folder};
pub use merge::{Kmods, merge};
pub use refused::{Spoil, spoil};
pub use trust::Trust;
pub use verify::{Verified, verify};

/// Turns an error of the `formats` crate into a failure for the user.
pub fn explain(exit: Exit, place: impl std::fmt::Display, error: &formats::Error) -> Failure {
    let strict = || "the reader accepts only what it understands".to_owned();
    let why = error.why().unwrap_or_else(strict);
    Failure::of(Problem { exit, id: error.id(), what: error.what(), why, fix: error.fix() }).at(place)
}
