//! The signed feed of both package managers: keys, indexes, serving, and copies of it that a client must refuse.
//!
//! ```text
//!                            ┌─> opkg/kmods/KERNEL/  *.ipk  Packages{,.gz,.manifest,.sig}  index.json
//! packages/*.{ipk,apk} ──────┤
//!                            └─> apk/kmods/KERNEL/   *.apk  packages.adb  index.json
//! ```
//!
//! A folder is there if packages of its format are. The signature of opkg's index covers the uncompressed
//! `Packages`; that of apk's is inside of it. Packages themselves are not signed: they are bound to the index
//! by their SHA-256, ipk as a whole, apk by its metadata, which has the digest of every file.

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

/// An error of the `formats` crate, for the user's eyes.
pub fn explain(exit: Exit, place: impl std::fmt::Display, error: &formats::Error) -> Failure {
    let strict = || "the reader accepts nothing that it does not understand".to_owned();
    let why = error.why().unwrap_or_else(strict);
    Failure::of(Problem { exit, id: error.id(), what: error.what(), why, fix: error.fix() }).at(place)
}
