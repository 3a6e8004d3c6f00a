//! What a release offers for a target, as verified facts.

use std::fmt;

use camino::Utf8PathBuf;
use formats::Format;
use formats::usign::Fingerprint;
use model::{Arch, Digest, Exit, Failure, KernelId, Problem, Result, Target};

/// Name of the development snapshot.
const MAIN: &str = "SNAPSHOT";

/// A release of OpenWrt: `24.10.8`, a branch's snapshot `24.10-SNAPSHOT`, or the main `SNAPSHOT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release(pub String);

impl Release {
    /// Whether the files under this name change.
    pub fn is_snapshot(&self) -> bool {
        self.0.ends_with(MAIN)
    }

    /// Its folder below the mirror's root.
    pub fn folder(&self) -> Utf8PathBuf {
        if self.0 == MAIN { "snapshots".into() } else { Utf8PathBuf::from("releases").join(&self.0) }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `sha256sums`, the signed list of everything else.
    List,
    /// The SDK's archive.
    Sdk,
    /// The kernel that QEMU loads.
    Kernel,
    /// The root file system as a disk, compressed with gzip.
    Rootfs,
    /// A kernel with a root file system inside, where one is published.
    Initramfs,
    /// A disk with boot loader, kernel and root file system, compressed with gzip.
    Combined,
    /// A published package or an index of packages; releases are not locked to packages.
    Package,
    /// A published package of apk's, whose digest in an index is that of its metadata.
    ApkPackage,
}

impl Role {
    /// The roles of files to which a release is locked, sorted.
    pub const ALL: [Role; 6] = [Role::List, Role::Sdk, Role::Kernel, Role::Rootfs, Role::Initramfs, Role::Combined];

    /// The word in the lock and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::List => "list",
            Role::Sdk => "sdk",
            Role::Kernel => "kernel",
            Role::Rootfs => "rootfs",
            Role::Initramfs => "initramfs",
            Role::Combined => "combined",
            Role::Package | Role::ApkPackage => "package",
        }
    }
}

/// A file that a mirror holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What the file is for.
    pub role: Role,
    /// Path below the mirror's root.
    pub path: Utf8PathBuf,
    /// SHA-256 from the signed list, or from a trusted index.
    pub sha256: Digest,
    /// Size in bytes, if the mirror or the metadata gives it.
    pub size: Option<u64>,
}

/// What a release offers for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The release.
    pub release: Release,
    /// The target as the user names it, such as `armsr/armv8`.
    pub target: Target,
    /// The target as the release names it, such as `armvirt/64`.
    pub published: Target,
    /// Package architecture.
    pub arch: Arch,
    /// Package format.
    pub format: Format,
    /// The kernel of its kmods; `None` when the release does not say.
    pub kernel: Option<KernelId>,
    /// The keys whose signature of the list was verified.
    pub signed_by: Vec<Fingerprint>,
    /// The files, one for each role that the release has, sorted by role.
    pub artifacts: Vec<Artifact>,
}

impl Resolved {
    /// The file for a role.
    pub fn artifact(&self, role: Role) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.role == role)
    }

    /// The file for a required role.
    ///
    /// # Errors
    /// `REL007` when the release has none.
    pub fn require(&self, role: Role) -> Result<&Artifact> {
        self.artifact(role).ok_or_else(|| {
            let there: Vec<&str> = self.artifacts.iter().map(|artifact| artifact.role.name()).collect();
            Failure::of(Problem {
                exit: Exit::Upstream,
                id: "REL007",
                what: format!("{} publishes no {} for {}", self.release, role.name(), self.published),
                why: format!("the signed list has only: {}", there.join(", ")),
                fix: "use another release or target; if the file has another name, add its suffix to feeds/matrix.yaml",
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_snapshots_lie_in_their_own_folders() {
        for (name, folder, moves) in [
            ("25.12.5", "releases/25.12.5", false),
            ("24.10-SNAPSHOT", "releases/24.10-SNAPSHOT", true),
            ("SNAPSHOT", "snapshots", true),
        ] {
            let release = Release(name.into());
            assert_eq!((release.folder().as_str(), release.is_snapshot()), (folder, moves));
        }
    }
}
