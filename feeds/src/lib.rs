//! The signed feed: keys, indexes, serving, and copies of it that a client must refuse.
//!
//! ```text
//! packages/*.ipk ──assemble──> Packages  Packages.gz  Packages.manifest  Packages.sig  index.json  *.ipk
//!                     │
//!               secret key (0600, outside any work tree)
//! ```
//!
//! The signature covers the uncompressed `Packages`; a package is bound to it by size and SHA-256.

mod assemble;
pub mod keys;
mod refused;
pub mod serve;
mod verify;

use camino::Utf8Path;
use model::{Exit, Failure};

pub use assemble::{assemble, sign};
pub use refused::{Spoil, spoil};
pub use verify::{Verified, verify};

/// An error of the `formats` crate, for the user's eyes.
pub fn explain(exit: Exit, place: &Utf8Path, error: &formats::Error) -> Failure {
    let (what, why) = match error.to_string().split_once(": ") {
        Some((what, why)) => (what.to_owned(), why.to_owned()),
        None => (error.to_string(), "the reader accepts nothing that it does not understand".to_owned()),
    };
    Failure::new(exit, error.id(), what, why, error.fix()).at(place)
}
