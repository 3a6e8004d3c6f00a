//! An unpacked SDK and the places in it that the driver reads or writes.

use std::time::SystemTime;

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result};

use super::unpack;
use crate::program::SdkLinker;

/// An SDK's tree.
#[derive(Debug)]
pub struct Tree {
    folder: Utf8PathBuf,
    root: Utf8PathBuf,
}

impl Tree {
    /// Opens the tree that [`unpack::unpack`] made in `folder`.
    ///
    /// # Errors
    /// `SDK020` when there is none.
    pub fn open(folder: &Utf8Path) -> Result<Self> {
        let root = folder.join(unpack::TREE);
        if !root.join("include/toplevel.mk").is_file() {
            return Err(unexpected(&root, "it has no `include/toplevel.mk`"));
        }
        Ok(Tree { folder: folder.to_owned(), root })
    }

    /// The tree's root; OpenWrt names it TOPDIR.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The folder around the tree, for files that must not be in it.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// A home directory without the user's settings.
    pub(super) fn home(&self) -> Utf8PathBuf {
        self.folder.join("home")
    }

    /// A path below the root.
    pub(super) fn path(&self, below: &str) -> Utf8PathBuf {
        self.root.join(below)
    }

    /// The folder of the kernel's build, `build_dir/target-*/linux-BOARD_SUBTARGET/linux-VERSION`.
    pub(super) fn kernel_build(&self) -> Result<Utf8PathBuf> {
        let mut found = vec![self.path("build_dir")];
        for prefix in ["target-", "linux-", "linux-"] {
            found = found.iter().flat_map(|folder| folders_beginning(folder, prefix)).collect();
        }
        found.retain(|folder| folder.join(".config").is_file());
        match &found[..] {
            [one] => Ok(one.clone()),
            [] => Err(unexpected(&self.root, "no kernel was built in it")),
            several => Err(unexpected(&self.root, &format!("{} kernels were built in it", several.len()))),
        }
    }

    /// The C compiler for the target, `staging_dir/toolchain-*/bin/ARCH-openwrt-linux-musl*-gcc`; none where its C
    /// library is another, which no program of ours is made for.
    pub fn c_compiler(&self, digest: String) -> Option<SdkLinker> {
        let staging = self.path("staging_dir");
        let is_gcc = |name: &str| name.contains("-openwrt-linux-musl") && name.ends_with("-gcc");
        let toolchains = folders_beginning(&staging, "toolchain-");
        let entries = toolchains.into_iter().flat_map(|folder| folder.join("bin").read_dir_utf8()).flatten().flatten();
        let mut programs: Vec<_> =
            entries.filter(|entry| is_gcc(entry.file_name())).map(|entry| entry.into_path()).collect();
        programs.sort();
        Some(SdkLinker { program: programs.into_iter().next()?, staging, digest })
    }

    /// The folders in which the build puts packages of the target and of feeds.
    pub(super) fn package_folders(&self) -> Vec<Utf8PathBuf> {
        let below = |folder: &str, depth: usize| {
            let mut found = vec![self.path(folder)];
            for _ in 0..depth {
                found = found.iter().flat_map(|folder| folders_beginning(folder, "")).collect();
            }
            found
        };
        // bin/targets/BOARD/SUBTARGET/packages and bin/packages/ARCH/FEED
        [below("bin/targets", 3), below("bin/packages", 2)].concat()
    }

    /// Removes the packages that were written since the given time.
    pub(super) fn remove_packages_since(&self, time: SystemTime) -> Result<()> {
        let entries = self.package_folders().into_iter().flat_map(|folder| folder.read_dir_utf8()).flatten().flatten();
        let is_newer = |entry: &Utf8DirEntry| {
            let changed = entry.metadata().and_then(|meta| meta.modified());
            entry.path().is_file() && changed.is_ok_and(|changed| changed >= time)
        };
        entries.filter(is_newer).try_for_each(|entry| {
            let path = entry.path();
            std::fs::remove_file(path).map_err(|error| Failure::io("remove a package of a failed call", path, &error))
        })
    }
}

fn folders_beginning(folder: &Utf8Path, prefix: &str) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().starts_with(prefix) && entry.path().is_dir())
        .map(|entry| entry.into_path())
        .collect();
    found.sort();
    found
}

/// The failure for a tree that differs from those of OpenWrt's `target/sdk/Makefile`.
pub(super) fn unexpected(place: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK020",
        what: "the SDK is not understood",
        why,
        fix: "if somebody changed its tree, remove it with `cargo xtask clean sdk`; otherwise this release is not \
              supported: report it",
    })
    .at(place)
}
