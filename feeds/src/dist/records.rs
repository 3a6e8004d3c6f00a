//! What the tree says of itself: `feed.json` for programs, and `build.json` beside each kernel's packages.

use serde::{Deserialize, Serialize};

use crate::layout::Kernel;

/// `feed.json`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Of the format of this file.
    pub version: u32,
    /// As package managers call it.
    pub name: String,
    /// Where routers find it.
    pub url: String,
    /// Which kernel each release has.
    pub rows: Vec<RowRecord>,
    /// What there is, older kernels included.
    pub folders: Vec<FolderRecord>,
    /// What could not be made, and why. Of such a row an older state may be published.
    pub missing: Vec<Missing>,
}

/// A release for a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// Its line, such as `25.12`, or `stand-in`.
    pub line: String,
    /// Such as `x86/64`.
    pub target: String,
    /// Such as `25.12.5`.
    pub release: String,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} for {}", self.line, self.release, self.target)
    }
}

/// A row that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Which.
    #[serde(flatten)]
    pub row: Row,
    /// The kernel of this release.
    pub kernel: Kernel,
    /// A digest of everything that went into its packages.
    pub inputs: String,
}

/// A folder that a router's line names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRecord {
    /// Line of releases.
    pub line: String,
    /// Target.
    pub target: String,
    /// Kernel.
    pub kernel: Kernel,
    /// Version of the package `kernel`.
    pub kernel_version: String,
    /// Architecture of packages.
    pub architecture: String,
    /// The package managers that it is for.
    pub managers: Vec<String>,
}

impl FolderRecord {
    /// Where it is in the tree.
    pub fn place(&self) -> String {
        super::place(&self.line, &self.target, &self.kernel)
    }
}

/// A row that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    #[serde(flatten)]
    pub row: Row,
    /// Of the failure.
    pub id: String,
    /// What went wrong.
    pub what: String,
}

/// `build.json`: where the packages of a folder come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Of the format of this file.
    pub version: u32,
    /// The row that they were made for.
    #[serde(flatten)]
    pub row: Row,
    /// The kernel that they are for.
    pub kernel: Kernel,
    /// Version of the package `kernel`.
    pub kernel_version: String,
    /// Architecture of packages.
    pub architecture: String,
    /// The package managers that they are for.
    pub managers: Vec<String>,
    /// Version of the program that made them.
    pub tool: String,
    /// The commit that it was built from, where that is known.
    pub commit: Option<String>,
    /// What they were made from.
    pub materials: Vec<Material>,
    /// What is compiled into the programs.
    pub crates: Vec<Crate>,
    /// What scenarios proved on these very files.
    pub verdicts: Vec<Verdict>,
}

/// Something that packages were made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Material {
    /// What it is, as a URI where it has one.
    pub uri: String,
    /// Its digest.
    pub sha256: String,
}

/// A crate inside a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its archive, for those that come from the registry.
    pub sha256: Option<String>,
}

/// What a scenario found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Verdict {
    /// Its name.
    pub scenario: String,
    /// With which package manager.
    pub manager: String,
    /// Such as `pass`.
    pub verdict: String,
}
