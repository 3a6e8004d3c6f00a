//! Kernel modules: names, files and metadata.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Exit, Failure, Problem, Result};

use super::unpack::decompress;

/// A module's file and its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Name with `_` for `-`, such as `nf_conntrack`.
    pub name: String,
    /// Name of the uncompressed file, such as `crc32c-cryptoapi.ko`.
    pub file_name: String,
    /// The ELF file, decompressed, with its signature if it has one.
    pub bytes: Vec<u8>,
    /// The kernel that it was built for: `RELEASE FLAGS…`.
    pub vermagic: String,
    /// Modules without which it cannot be loaded.
    pub depends: Vec<String>,
    /// Modules or aliases that should be loaded before it (`softdep: pre`).
    pub before: Vec<String>,
}

impl Module {
    /// Reads a module file, compressed or not.
    ///
    /// # Errors
    /// `KRN005` when it is damaged.
    pub(crate) fn read(path: &Utf8Path) -> Result<Self> {
        let packed = files::read(path)?;
        let bytes = match decompress(&packed) {
            Some(unpacked) => unpacked.map_err(|why| damaged(path, why))?,
            None => packed,
        };
        let info = formats::modinfo::ModuleInfo::read(&bytes).map_err(|error| damaged(path, error.to_string()))?;
        let file_name = path.file_name().unwrap_or_default();
        let stem = file_name.split(".ko").next().unwrap_or_default();
        Ok(Module {
            name: normal(stem),
            file_name: format!("{stem}.ko"),
            vermagic: info.vermagic,
            depends: info.depends,
            before: info.softdep.iter().flat_map(|line| wanted_before(line)).collect(),
            bytes,
        })
    }

    /// The release of the kernel that it was built for.
    pub fn kernel_release(&self) -> &str {
        self.vermagic.split(' ').next().unwrap_or_default()
    }
}

fn damaged(path: &Utf8Path, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "KRN005",
        what: "a kernel module's file is damaged",
        why,
        fix: "check the disk, then run `cargo xtask clean` and try again",
    })
    .at(path)
}

/// The `pre:` part of a softdep line, `pre: a b post: c`.
fn wanted_before(softdep: &str) -> Vec<String> {
    let mut before = false;
    let mut names = Vec::new();
    for word in softdep.split_whitespace() {
        match word {
            "pre:" => before = true,
            "post:" => before = false,
            name if before => names.push(normal(name)),
            _ => {}
        }
    }
    names
}

/// The normalised name of a module: the kernel treats `-` and `_` as the same.
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Module name of a path: `kernel/net/netfilter/nf-x.ko.xz` → `nf_x`.
pub(crate) fn name_of_path(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (stem, rest) = file.split_at_checked(file.find(".ko")?)?;
    matches!(rest, ".ko" | ".ko.xz" | ".ko.zst" | ".ko.gz").then(|| normal(stem))
}

/// Collects the module files below a folder, by module name.
pub(super) fn index(folder: &Utf8Path, modules: &mut BTreeMap<String, Utf8PathBuf>) -> Result<()> {
    let failed = |error| Failure::io("list the kernel's modules", folder, &error);
    for entry in folder.read_dir_utf8().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Links are not followed: one could lead anywhere, or make a loop.
        if entry.file_type().map_err(failed)?.is_dir() {
            index(entry.path(), modules)?;
        } else if let Some(name) = name_of_path(entry.file_name()) {
            modules.insert(name, entry.into_path());
        }
    }
    Ok(())
}

/// The text of a `modules.dep` for modules in one folder: `x.ko: y.ko z.ko`, as depmod writes it.
pub(super) fn dependency_list(modules: &[Module]) -> String {
    let mut lines = BTreeSet::new();
    for module in modules {
        let mut needed = Vec::new();
        collect(module, modules, &mut needed);
        lines.insert(format!(
            "{}:{}\n",
            module.file_name,
            needed.iter().map(|name| format!(" {name}")).collect::<String>()
        ));
    }
    lines.into_iter().collect()
}

/// Everything that a module needs, nearest first, as modprobe expects it.
fn collect(module: &Module, modules: &[Module], needed: &mut Vec<String>) {
    for name in &module.depends {
        let found = modules.iter().find(|other| other.name == normal(name));
        if let Some(other) = found.filter(|other| !needed.contains(&other.file_name)) {
            needed.push(other.file_name.clone());
            collect(other, modules, needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_paths() {
        for (path, name) in [
            ("kernel/net/nf-x.ko.xz", Some("nf_x")),
            ("a.ko", Some("a")),
            ("a.ko.zst", Some("a")),
            ("kernel/net/Makefile", None),
            ("a.ko.debug", None),
            ("", None),
        ] {
            assert_eq!(name_of_path(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn only_what_comes_before_is_taken_from_a_softdep() {
        assert_eq!(wanted_before("pre: a b-c post: d pre: e"), ["a", "b_c", "e"]);
        assert_eq!(wanted_before("post: d"), Vec::<String>::new());
        assert_eq!(wanted_before("d"), Vec::<String>::new());
    }
}
