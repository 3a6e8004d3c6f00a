//! The tree's own records: `feed.json` for programs, and `build.json` beside each kernel's packages.

use serde::{Deserialize, Serialize};

use crate::layout::Kernel;

/// Content of `feed.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Version of this file's format.
    pub version: u32,
    /// Name of the feed in a router's feed list.
    pub name: String,
    /// The address at which routers find it.
    pub url: String,
    /// Which kernel each release has.
    pub rows: Vec<RowRecord>,
    /// All folders, including those of older kernels.
    pub folders: Vec<FolderRecord>,
    /// Rows that could not be built, and why. An older build of such a row may be published.
    pub missing: Vec<Missing>,
}

/// A release for a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The release line, such as `25.12`, or `stand-in`.
    pub line: String,
    /// The target, such as `x86/64`.
    pub target: String,
    /// The release, such as `25.12.5`.
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
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// The kernel of this release.
    pub kernel: Kernel,
    /// A digest of all inputs of its packages.
    pub inputs: String,
}

/// A folder that a router's feed list names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRecord {
    /// The release line.
    pub line: String,
    /// The target, such as `x86/64`.
    pub target: String,
    /// The kernel, in the form that addresses use.
    pub kernel: Kernel,
    /// Version of the package `kernel`, `6.12.94~HASH-r1`.
    pub kernel_version: String,
    /// Architecture of the packages.
    pub architecture: String,
    /// The package managers that it has an index for.
    pub managers: Vec<String>,
}

impl FolderRecord {
    /// Path of the folder in the tree.
    pub fn place(&self) -> String {
        super::place(&self.line, &self.target, &self.kernel)
    }
}

/// A row that could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// Id of the failure, such as `SDK005`.
    pub id: String,
    /// The failure's first sentence.
    pub what: String,
}

/// `build.json`: where the packages of a folder come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Version of this file's format.
    pub version: u32,
    /// The row that they were built for.
    #[serde(flatten)]
    pub row: Row,
    /// The kernel that they were built for.
    pub kernel: Kernel,
    /// Version of the package `kernel`, `6.12.94~HASH-r1`.
    pub kernel_version: String,
    /// Architecture of the packages.
    pub architecture: String,
    /// The package managers that the folder has packages for.
    pub managers: Vec<String>,
    /// Version of the program that built them.
    pub tool: String,
    /// The commit that it was built from, if known.
    pub commit: Option<String>,
    /// The sources and archives that they were built from.
    pub materials: Vec<Material>,
    /// The crates that are linked into the programs.
    pub crates: Vec<Crate>,
    /// What scenarios proved on these very files.
    pub verdicts: Vec<Verdict>,
}

/// An input of the packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Material {
    /// Its URI, or its name if it has none.
    pub uri: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// A crate that is linked into a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its archive, for crates from the registry.
    pub sha256: Option<String>,
}

/// The result of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the scenario.
    pub scenario: String,
    /// The package manager that it ran with.
    pub manager: String,
    /// The word of the verdict, such as `pass`.
    pub verdict: String,
}
