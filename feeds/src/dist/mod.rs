//! Feeds of many releases and targets as one tree of static files, for any web server, bucket or page host.
//!
//! ```text
//! index.html  subscribe.sh  feed.json  sha256sums  sha256sums.sig  .nojekyll
//! keys/opkg/ID   keys/apk/FEED-ID.pem   keys/keys.json
//! LINE/TARGET/SUBTARGET/releases.json  index.html
//! LINE/TARGET/SUBTARGET/kmods/KERNEL/     the address in a router's feed list: complete, for this kernel alone
//! ```
//!
//! The tree does not depend on when or where it was made: the same packages give the same bytes. A tree that is already
//! published is trusted only after its signature and digests were checked.

mod compose;
mod folder;
mod html;
mod identity;
mod keyring;
mod keys;
mod lab;
mod provenance;
mod prune;
mod records;
mod sandbox;
mod sbom;
mod subscribe;
mod sums;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
mod verify;

pub use compose::{Composed, Request, compose};
pub use identity::identity;
pub use lab::{Lab, lab};
pub use prune::{Prunable, prunable};
pub use records::{Build, Crate, Feed, FolderRecord, Material, Missing, Row, RowRecord, Verdict};
pub use tree::Published;
pub use upload::{order, tar};
pub use verify::verify;

use crate::layout::Kernel;

/// The result of building one row.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its packages were built.
    Made(Box<Made>),
    /// Its inputs are those of the published row, so nothing was built.
    Unchanged(Row),
    /// It could not be built. What is published of it stays.
    Missing(Missing),
}

/// The packages of a row.
#[derive(Debug, Clone)]
pub struct Made {
    /// The row.
    pub row: Row,
    /// A digest of all inputs of the build.
    pub inputs: String,
    /// Version of the package `kernel`, `6.12.94~HASH-r1`.
    pub kernel_version: String,
    /// Architecture of packages.
    pub architecture: model::Arch,
    /// The package files.
    pub files: Vec<camino::Utf8PathBuf>,
    /// The sources and archives that they were built from.
    pub materials: Vec<Material>,
    /// The crates that are linked into the programs.
    pub crates: Vec<Crate>,
}

impl Made {
    /// The kernel, in the form that addresses use.
    pub fn kernel(&self) -> Kernel {
        Kernel::of_package(&self.kernel_version)
    }
}

/// The folder of a kernel's packages, relative to the tree.
pub(crate) fn place(line: &str, target: &str, kernel: &Kernel) -> String {
    format!("{line}/{target}/kmods/{kernel}")
}
