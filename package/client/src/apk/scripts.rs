//! When apk's scripts run, with which arguments, and which packages are triggered.
//!
//! A script gets its package's version, and in an upgrade also the old one; a trigger script gets the changed
//! directories. `APK_SCRIPT` holds the script's name, as in apk.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use formats::apk::Script as Kind;
use tempfile::TempDir;

use super::database::Database;
use super::installed::Installed;
use crate::error::{Error, Result};
use crate::pattern;
use crate::root::Root;
use crate::script::{self, Script};

/// Runs a script of a package from a scratch directory; does nothing if the package has no such script.
pub(super) fn run(root: &Root, scratch: &TempDir, package: &Installed, kind: Kind, words: &[&str]) -> Result<()> {
    let Some(text) = package.scripts.get(&kind) else { return Ok(()) };
    let path = Utf8PathBuf::from_path_buf(scratch.path().join(kind.name()))
        .map_err(|path| Error::io("use", path.to_string_lossy().as_ref())(io::ErrorKind::InvalidFilename.into()))?;
    let write = || {
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
    };
    write().map_err(Error::io("write", &path))?;
    let script = Script {
        package: &package.info.name,
        name: kind.name(),
        path: &path,
        words,
        environment: vec![("APK_SCRIPT", kind.name()), ("IPKG_INSTROOT", script::outside(root))],
    };
    script.run()
}

/// Packages whose trigger watches one of the directories, each with the directories that it watches.
pub(super) fn triggered(database: &Database, touched: &BTreeSet<Utf8PathBuf>) -> Vec<(Installed, Vec<Utf8PathBuf>)> {
    let watching = |package: &Installed| -> Vec<Utf8PathBuf> {
        let watched = |folder: &&Utf8PathBuf| package.triggers.iter().any(|pattern| matches(pattern, folder));
        touched.iter().filter(watched).cloned().collect()
    };
    let packages = database.0.values().filter(|package| package.is_complete());
    packages.map(|package| (package.clone(), watching(package))).filter(|(_, folders)| !folders.is_empty()).collect()
}

/// Whether a directory matches a pattern, in which `*` stands for any part of one path component.
fn matches(pattern: &str, folder: &Utf8Path) -> bool {
    let (pattern, folder) = (pattern.trim_start_matches('+').split('/'), folder.as_str().split('/'));
    let (patterns, names): (Vec<_>, Vec<_>) = (pattern.collect(), folder.collect());
    patterns.len() == names.len() && patterns.iter().zip(names).all(|(pattern, name)| pattern::matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_part_of_one_name() {
        for (pattern, folder, expected) in [
            ("/etc", "/etc", true),
            ("/etc", "/etc/config", false),
            ("/lib/modules/*", "/lib/modules/6.12", true),
            ("/lib/modules/*", "/lib/modules/6.12/net", false),
            ("+/lib/*s/6*1*2", "/lib/modules/6.1.2", true),
            ("/lib/*s/6*1*2", "/lib/modules/6.1.3", false),
            ("/a*a", "/a", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, folder.into()), expected, "{pattern} {folder}");
        }
    }
}
