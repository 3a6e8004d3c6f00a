//! The source of modules that are not the kernel's own: a folder with a Kbuild file.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Digest, Failure, Result};
use serde::Deserialize;

/// Where modules are compiled from, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// The folder with a `Kbuild` or `Makefile`; relative to the recipe in its file, resolved after loading.
    pub path: Utf8PathBuf,
    /// Variables for `make`, such as `CONFIG_X: m`.
    #[serde(default)]
    pub make: BTreeMap<String, String>,
    /// The package's OpenWrt Makefile, relative to the recipe, if the generated one is not enough; it finds the source
    /// in `src` beside it.
    pub openwrt_makefile: Option<Utf8PathBuf>,
    /// Version of the source. As in OpenWrt, the package's version starts with the kernel's.
    #[serde(default = "first_version")]
    pub version: String,
    /// Raised when only the packaging changes.
    #[serde(default = "first_release")]
    pub release: u32,
    /// SPDX expression.
    #[serde(default = "license_of_kernels")]
    pub license: String,
}

fn first_version() -> String {
    "1".into()
}

fn first_release() -> u32 {
    1
}

fn license_of_kernels() -> String {
    crate::kmod::LICENSE.into()
}

/// Kbuild's files; it reads the first that exists.
const KBUILD_FILES: [&str; 2] = ["Kbuild", "Makefile"];

/// Files that Kbuild creates in a folder: a module that existed before the build would be mistaken for its result.
const MADE: [&str; 7] = [".o", ".ko", ".mod", ".mod.c", ".cmd", "Module.symvers", "modules.order"];

impl Source {
    /// Resolves its paths relative to the recipe's folder.
    pub(super) fn beside(&mut self, folder: &Utf8Path) {
        self.path = folder.join(&self.path);
        self.openwrt_makefile = self.openwrt_makefile.take().map(|file| folder.join(file));
    }

    /// What is wrong with it, as the end of a sentence.
    pub(super) fn wrong(&self) -> Option<String> {
        let name = |text: &str| {
            let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
            !text.is_empty() && text.chars().all(plain)
        };
        let version = |character: char| character.is_ascii_alphanumeric() || "._".contains(character);
        if let Some(file) = self.openwrt_makefile.as_ref().filter(|file| !file.is_file()) {
            Some(format!("the file {file} does not exist"))
        } else if !self.path.is_dir() {
            Some(format!("the folder {} does not exist", self.path))
        } else if !KBUILD_FILES.iter().any(|file| self.path.join(file).is_file()) {
            Some(format!("{} has neither `Kbuild` nor `Makefile`", self.path))
        } else if let Some((bad, _)) =
            self.make.iter().find(|(key, value)| !name(key) || value.contains(char::is_control))
        {
            Some(format!("`{bad}` is not a variable of make with a one-line value"))
        } else if self.version.is_empty() || !self.version.chars().all(version) {
            Some(format!("`{}` is not a version: only digits, letters, `.` and `_`", self.version))
        } else {
            None
        }
    }

    /// Its files by path below the folder, sorted, without hidden files and what Kbuild creates.
    ///
    /// # Errors
    /// `IO…` when it cannot be listed.
    pub fn files(&self) -> Result<Vec<Utf8PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for path in files::entries(&folder)? {
                let name = path.file_name().unwrap_or_default();
                if name.starts_with('.') || MADE.iter().any(|end| name.ends_with(end)) {
                    continue;
                }
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if let Ok(below) = path.strip_prefix(&self.path) {
                    found.push(below.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Copies its files into a folder; links are copied as their targets.
    ///
    /// # Errors
    /// `IO…` when one cannot be read or written.
    pub fn copy(&self, to: &Utf8Path) -> Result<()> {
        for file in self.files()? {
            let (from, to) = (self.path.join(&file), to.join(&file));
            files::create_folder(to.parent().unwrap_or(&to))?;
            std::fs::copy(&from, &to).map_err(|error| Failure::io("copy the source", &from, &error))?;
        }
        Ok(())
    }

    /// Digest of names, contents and executable bits, including the SDK's Makefile: everything that affects a build.
    ///
    /// # Errors
    /// `IO…` when a file cannot be read.
    pub fn digest(&self) -> Result<Digest> {
        let mut list = String::new();
        for file in self.files()? {
            let path = self.path.join(&file);
            let content = Digest::of(files::read(&path)?);
            let meta = std::fs::metadata(&path).map_err(|error| Failure::io("read the source", &path, &error))?;
            let mode = if meta.permissions().mode() & 0o111 == 0 { "file" } else { "program" };
            list.push_str(&format!("{content} {mode} {file}\n"));
        }
        if let Some(file) = &self.openwrt_makefile {
            list.push_str(&format!("{} makefile\n", Digest::of(files::read(file)?)));
        }
        Ok(Digest::of(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Utf8Path) -> Source {
        Source {
            path: folder.to_owned(),
            make: BTreeMap::new(),
            openwrt_makefile: None,
            version: "1".into(),
            release: 1,
            license: "GPL-2.0".into(),
        }
    }

    #[test]
    fn what_kbuild_made_in_the_folder_is_no_source() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (from, to) = (root.join("from"), root.join("to"));
        files::create_folder(&from.join("sub/.git")).unwrap();
        for name in [
            "Kbuild",
            "x.c",
            "x.o",
            "x.ko",
            "x.mod",
            "x.mod.c",
            ".x.o.cmd",
            "x.o.cmd",
            "sub/x.h",
            "sub/.git/config",
            "Module.symvers",
            "modules.order",
            "firmware.o_shipped",
        ] {
            files::write(&from.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("x.c", from.join("link.c")).unwrap();
        let source = source(&from);
        assert_eq!(source.files().unwrap(), ["Kbuild", "firmware.o_shipped", "link.c", "sub/x.h", "x.c"]);
        source.copy(&to).unwrap();
        assert_eq!(files::read_text(&to.join("sub/x.h")).unwrap(), "sub/x.h");
        assert_eq!(files::read_text(&to.join("link.c")).unwrap(), "x.c");
        assert!(!to.join("link.c").is_symlink() && !to.join("x.ko").exists());
    }

    #[test]
    fn the_digest_is_of_names_contents_and_modes() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        files::write(&root.join("Kbuild"), "obj-m := x.o\n").unwrap();
        files::write(&root.join("x.c"), "1").unwrap();
        let source = source(root);
        let mut seen = vec![source.digest().unwrap()];
        let changes: [&dyn Fn(); 3] = [
            &|| files::write(&root.join("x.c"), "2").unwrap(),
            &|| std::fs::rename(root.join("x.c"), root.join("y.c")).unwrap(),
            &|| std::fs::set_permissions(root.join("y.c"), std::fs::Permissions::from_mode(0o755)).unwrap(),
        ];
        for change in changes {
            change();
            let now = source.digest().unwrap();
            assert!(!seen.contains(&now));
            seen.push(now);
        }
        files::write(&root.join("x.o"), "made").unwrap();
        assert_eq!(Some(&source.digest().unwrap()), seen.last());
    }
}
