//! Feeds of many releases and targets as one tree of static files, which any web server, bucket or page host can hold.
//!
//! ```text
//! index.html  subscribe.sh  feed.json  sha256sums  sha256sums.sig  .nojekyll
//! keys/opkg/ID   keys/apk/FEED-ID.pem   keys/keys.json
//! LINE/TARGET/SUBTARGET/releases.json  index.html
//! LINE/TARGET/SUBTARGET/kmods/KERNEL/     what a router's one line names: complete, and for this kernel alone
//! ```
//!
//! Nothing in it depends on when or where it was made, so that the same packages give the same bytes. What is published
//! already is believed only by signature and digest.

mod compose;
mod folder;
mod html;
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
pub use lab::{Lab, lab};
pub use prune::{Prunable, prunable};
pub use records::{Build, Crate, Feed, FolderRecord, Material, Missing, Row, RowRecord, Verdict};
pub use tree::Published;
pub use upload::{order, tar};
pub use verify::verify;

use crate::layout::Kernel;

/// What came of a row in this run.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its packages were made.
    Made(Box<Made>),
    /// What goes into it is what went into the published one.
    Unchanged(Row),
    /// It could not be made. What is published of it stays.
    Missing(Missing),
}

/// The packages of a row.
#[derive(Debug, Clone)]
pub struct Made {
    /// Which.
    pub row: Row,
    /// A digest of everything that goes into it.
    pub inputs: String,
    /// Version of the package `kernel`.
    pub kernel_version: String,
    /// Architecture of packages.
    pub architecture: model::Arch,
    /// The package files.
    pub files: Vec<camino::Utf8PathBuf>,
    /// What they were made from.
    pub materials: Vec<Material>,
    /// What is compiled into the programs among them.
    pub crates: Vec<Crate>,
    /// What scenarios proved on these very files.
    pub verdicts: Vec<Verdict>,
}

impl Made {
    /// The kernel that its address names.
    pub fn kernel(&self) -> Kernel {
        Kernel::of_package(&self.kernel_version)
    }
}

/// Where the packages for a kernel are, seen from the tree.
pub(crate) fn place(line: &str, target: &str, kernel: &Kernel) -> String {
    format!("{line}/{target}/kmods/{kernel}")
}
