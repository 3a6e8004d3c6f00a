//! `Config-build.in`, the builder's configuration as Kconfig: its entries have no prompt, so no `.config` can change
//! them.
//!
//! It selects over a thousand kmods, and packing all of them takes minutes. Without their entries they are not
//! selected, so the entries of unwanted kmods are removed; the original is kept beside the tree.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use host::{aside, files};
use model::Result;

use super::tree::Tree;

/// Path of the file in the tree.
const FILE: &str = "Config-build.in";

/// The beginning of the names of kmod entries.
const KMOD: &str = "PACKAGE_kmod-";

/// The original text, whatever was removed since.
pub(super) fn pristine(tree: &Tree) -> Result<String> {
    let kept = kept(tree);
    files::read_text(&if kept.is_file() { kept } else { tree.path(FILE) })
}

/// Removes the entries of all kmods that are not in `wanted`.
pub(super) fn prune(tree: &Tree, wanted: &BTreeSet<String>) -> Result<()> {
    let original = pristine(tree)?;
    if !kept(tree).is_file() {
        aside::write(&kept(tree), original.as_bytes())?;
    }
    let pruned = without_others(&original, wanted);
    let file = tree.path(FILE);
    if files::read_text(&file)? == pruned { Ok(()) } else { aside::write(&file, pruned.as_bytes()) }
}

fn kept(tree: &Tree) -> Utf8PathBuf {
    tree.folder().join(format!("{FILE}.original"))
}

/// The kmods that the builder selected.
pub(super) fn kmods(text: &str) -> BTreeSet<&str> {
    let entries = text.lines().filter_map(|line| line.strip_prefix("config PACKAGE_"));
    entries.filter(|name| name.starts_with("kmod-")).collect()
}

/// The default value of an entry, as written.
pub(super) fn default_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().skip_while(|line| line.strip_prefix("config ") != Some(name)).skip(1);
    lines.by_ref().take_while(|line| !line.starts_with("config ")).find_map(|line| line.trim().strip_prefix("default "))
}

/// The text without the entries of unwanted kmods.
fn without_others(text: &str, wanted: &BTreeSet<String>) -> String {
    let mut kept = true;
    let lines = text.split_inclusive('\n').filter(|line| {
        if let Some(name) = line.trim_end().strip_prefix("config ") {
            kept = name.strip_prefix(KMOD).is_none_or(|short| wanted.contains(&format!("kmod-{short}")));
        }
        kept
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "config TARGET_BOARD\n\tstring\n\tdefault \"x86\"\n\nconfig PACKAGE_kmod-a\n\tbool\n\tdefault y\n\nconfig PACKAGE_kmod-ab\n\ttristate\n\tdefault m\n\nconfig PACKAGE_libc\n\tbool\n\tdefault y\n\n";

    #[test]
    fn only_kmods_that_are_not_wanted_are_left_out() {
        let wanted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(without_others(TEXT, &wanted(&["kmod-a", "kmod-ab"])), TEXT);
        let pruned = without_others(TEXT, &wanted(&["kmod-ab"]));
        assert_eq!(kmods(&pruned), BTreeSet::from(["kmod-ab"]));
        assert_eq!(pruned, TEXT.replace("config PACKAGE_kmod-a\n\tbool\n\tdefault y\n\n", ""));
        assert_eq!(without_others(TEXT, &wanted(&[])).matches("config ").count(), 2);
    }

    #[test]
    fn a_default_belongs_to_its_own_entry() {
        assert_eq!(default_of(TEXT, "TARGET_BOARD"), Some("\"x86\""));
        assert_eq!(default_of(TEXT, "PACKAGE_kmod-a"), Some("y"));
        assert_eq!(default_of("config A\n\tbool\nconfig B\n\tdefault y\n", "A"), None);
        assert_eq!(default_of(TEXT, "USE_APK"), None);
    }
}
