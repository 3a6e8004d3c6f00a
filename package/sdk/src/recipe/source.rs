//! The source of modules that are none of the kernel's own: a folder with a Kbuild file.

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
    /// The folder with a `Kbuild` or `Makefile`; in a file relative to the recipe, here as it is opened.
    pub path: Utf8PathBuf,
    /// Variables for `make`, such as `CONFIG_X: m`.
    #[serde(default)]
    pub make: BTreeMap<String, String>,
    /// OpenWrt's Makefile of the package, beside the recipe like the folder, where the one that is written for an SDK
    /// will not do; the source lies in `src` beside it there.
    pub openwrt_makefile: Option<Utf8PathBuf>,
    /// Version of the source. That of the package begins with the kernel's, as OpenWrt has it.
    #[serde(default = "first_version")]
    pub version: String,
    /// Raised when the packaging changes and the source does not.
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

/// What Kbuild reads in a folder, the first that is there.
const KBUILD_FILES: [&str; 2] = ["Kbuild", "Makefile"];

/// What Kbuild leaves in a folder: a module that is there before the build would be taken for its result.
const MADE: [&str; 7] = [".o", ".ko", ".mod", ".mod.c", ".cmd", "Module.symvers", "modules.order"];

impl Source {
    /// With its paths as they are opened, from the folder of its recipe.
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
            Some(format!("there is no file {file}"))
        } else if !self.path.is_dir() {
            Some(format!("there is no folder {}", self.path))
        } else if !KBUILD_FILES.iter().any(|file| self.path.join(file).is_file()) {
            Some(format!("{} holds neither `Kbuild` nor `Makefile`", self.path))
        } else if let Some((bad, _)) =
            self.make.iter().find(|(key, value)| !name(key) || value.contains(char::is_control))
        {
            Some(format!("`{bad}` is no variable of make with a text of one line"))
        } else if self.version.is_empty() || !self.version.chars().all(version) {
            Some(format!("`{}` is no version: digits, letters, `.` and `_` only", self.version))
        } else {
            None
        }
    }

    /// Its files by their paths below the folder, sorted, without what Kbuild makes there and without hidden ones.
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

    /// Copies its files into a folder; links become what they lead to.
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

    /// Digest of names, contents and executable bits, of the SDK's Makefile too: what a build of it depends on.
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
