//! What any feed in the SDK consists of: a folder of files that is copied into the tree, an index that the SDK's scan
//! makes, and links of its packages.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use host::{aside, files};
use model::{Exit, Failure, Problem, Result};

use super::make::Maker;
use super::tree::Tree;

/// A file in a feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// Makes a folder contain exactly these files. Correct files are not touched, because the SDK rebuilds packages older
/// than their files; for the same reason a file with another mode is written anew.
pub(super) fn put(folder: &Utf8Path, items: &BTreeMap<Utf8PathBuf, Item>) -> Result<()> {
    files::create_folder(folder)?;
    remove_others(folder, folder, items)?;
    for (path, item) in items {
        let place = folder.join(path);
        let has_mode = |meta: std::fs::Metadata| meta.permissions().mode() & 0o7777 == item.mode;
        if std::fs::metadata(&place).is_ok_and(has_mode) && std::fs::read(&place).is_ok_and(|known| known == item.bytes)
        {
            continue;
        }
        files::create_folder(place.parent().unwrap_or(folder))?;
        aside::write(&place, &item.bytes)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(item.mode))
            .map_err(|error| Failure::io("set the file's mode", &place, &error))?;
    }
    Ok(())
}

fn remove_others(root: &Utf8Path, folder: &Utf8Path, items: &BTreeMap<Utf8PathBuf, Item>) -> Result<()> {
    let io = |error: std::io::Error| Failure::io("tidy the feed's folder", folder, &error);
    for entry in folder.read_dir_utf8().map_err(io)? {
        let entry = entry.map_err(io)?;
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        if entry.file_type().map_err(io)?.is_dir() {
            let is_folder = |path: &Utf8PathBuf| path.starts_with(&below) && *path != below;
            if items.keys().any(is_folder) {
                remove_others(root, entry.path(), items)?;
            } else {
                std::fs::remove_dir_all(entry.path()).map_err(io)?;
            }
        } else if !items.contains_key(&below) {
            std::fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// Removes links of packages that no longer exist; nothing else would remove them.
pub(super) fn remove_dangling(folder: &Utf8Path) -> Result<()> {
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        if !entry.path().exists() {
            std::fs::remove_file(entry.path())
                .map_err(|error| Failure::io("remove a dangling link", entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Checks that a package of a feed is linked, because `scripts/feeds` does not report it.
pub(super) fn check_link(tree: &Tree, feed: &str, package: &str) -> Result<()> {
    let link = tree.path("package/feeds").join(feed).join(package);
    if link.join("Makefile").is_file() {
        return Ok(());
    }
    Err(Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK051",
        what: format!("the SDK did not link {package} from the feed {feed}"),
        why: "`scripts/feeds install` printed nothing, or only a warning, but its link does not exist",
        fix: "run the same command again with -v; if the SDK or another feed has a package of this name, rename this one",
    })
    .at(link))
}

/// The failure of a Makefile with an error: the scan exits with 0 and leaves it out of the index; the reason is in a
/// log.
pub(super) fn not_indexed(dump: &Utf8Path, package: &str, fix: String) -> Failure {
    let reason = std::fs::read_to_string(dump).unwrap_or_default();
    let lines: Vec<&str> = reason.lines().filter(|line| !line.trim().is_empty()).collect();
    let why = match &lines[lines.len().saturating_sub(10)..] {
        [] => "its scan left no message".to_owned(),
        last => format!("its scan says:\n{}", last.join("\n")),
    };
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK050",
        what: format!("the SDK does not understand the Makefile of {package}"),
        why,
        fix,
    })
}

/// Runs a program of the SDK that must succeed.
pub(super) fn call(maker: &Maker<'_>, words: &[&str]) -> Result<()> {
    let called = maker.call(words)?;
    if called.success {
        return Ok(());
    }
    Err(called.failure(format!("the SDK's `{}` failed", words.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(paths: &[(&str, &str)]) -> BTreeMap<Utf8PathBuf, Item> {
        let item = |text: &str| Item { bytes: text.into(), mode: 0o755 };
        paths.iter().map(|(path, text)| (Utf8PathBuf::from(path), item(text))).collect()
    }

    #[test]
    fn the_folder_holds_what_is_asked_for_and_what_is_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        put(&root, &items(&[("a/Makefile", "one"), ("a/bin/x/a", "two"), ("b/Makefile", "three")])).unwrap();
        let mode = std::fs::metadata(root.join("a/bin/x/a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        let time = |path: &str| std::fs::metadata(root.join(path)).unwrap().modified().unwrap();
        let before = time("a/Makefile");
        std::fs::write(root.join("a/stray"), "").unwrap();
        put(&root, &items(&[("a/Makefile", "one"), ("a/bin/y/a", "four")])).unwrap();
        assert_eq!(time("a/Makefile"), before);
        assert!(!root.join("a/stray").exists() && !root.join("b").exists() && !root.join("a/bin/x").exists());
        assert_eq!(std::fs::read_to_string(root.join("a/bin/y/a")).unwrap(), "four");
    }

    #[test]
    fn a_mode_that_changed_makes_the_file_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        let with = |mode: u32| [("a/run".into(), Item { bytes: "one".into(), mode })].into();
        put(&root, &with(0o644)).unwrap();
        let file = root.join("a/run");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        put(&root, &with(0o755)).unwrap();
        let meta = std::fs::metadata(&file).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
        assert!(meta.modified().unwrap() > long_ago, "make must see it");
    }

    #[test]
    fn a_folder_becomes_a_file_and_a_file_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("feed");
        for paths in [["a/x/y", "a/z"], ["a/x", "a/z/y"], ["a/x/y", "a/z"]] {
            put(&root, &items(&paths.map(|path| (path, path)))).unwrap();
            for path in paths {
                assert_eq!(std::fs::read_to_string(root.join(path)).unwrap(), path);
            }
        }
    }

    #[test]
    fn dangling_links_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("gone")).unwrap();
        std::os::unix::fs::symlink("..", root.join("there")).unwrap();
        remove_dangling(root).unwrap();
        assert!(!root.join("gone").is_symlink() && root.join("there").is_symlink());
        remove_dangling(&root.join("none")).unwrap();
    }
}
