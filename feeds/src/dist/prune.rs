//! Which folders of a tree may be removed. They are removed only on request, after they were listed.

use std::collections::BTreeMap;

use formats::version::opkg::compare;

use super::records::{Feed, FolderRecord};

/// A folder that may go, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// Path of the folder in the tree.
    pub place: String,
    /// Why no router needs it.
    pub why: &'static str,
}

/// Folders of lines for which `is_live` is false; and with `keep`, for each target, the kernels that no release has and
/// that are not among the newest `keep`.
pub fn prunable(feed: &Feed, is_live: impl Fn(&str) -> bool, keep: Option<usize>) -> Vec<Prunable> {
    let mut found = Vec::new();
    let mut targets: BTreeMap<(&str, &str), Vec<&FolderRecord>> = BTreeMap::new();
    for folder in &feed.folders {
        match is_live(&folder.line) {
            true => targets.entry((&folder.line, &folder.target)).or_default().push(folder),
            false => found.push(Prunable { place: folder.place(), why: "its line is no longer built" }),
        }
    }
    let Some(keep) = keep else { return found };
    for folders in targets.values_mut() {
        folders.sort_by(|one, other| compare(other.kernel.as_str(), one.kernel.as_str()));
        for folder in folders.iter().skip(keep) {
            let is_current = feed.rows.iter().any(|row| {
                row.row.line == folder.line && row.row.target == folder.target && row.kernel == folder.kernel
            });
            if !is_current {
                found.push(Prunable {
                    place: folder.place(),
                    why: "no release has this kernel, and newer ones are kept",
                });
            }
        }
    }
    found.sort_by(|one, other| one.place.cmp(&other.place));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::records::{Row, RowRecord};
    use crate::layout::Kernel;

    #[test]
    fn kernels_of_a_live_line_stay_unless_asked_for() {
        let folder = |line: &str, kernel: &str| FolderRecord {
            line: line.into(),
            target: "x86/64".into(),
            kernel: Kernel::of_folder(kernel),
            kernel_version: String::new(),
            architecture: "x86_64".into(),
            managers: vec!["apk".into()],
        };
        let folders =
            ["6.12.9-1-a", "6.12.10-1-b", "6.12.94-1-c", "6.12.100-1-d"].map(|kernel| folder("25.12", kernel));
        let row = |release: &str, kernel: &str| RowRecord {
            row: Row { line: "25.12".into(), target: "x86/64".into(), release: release.into() },
            kernel: Kernel::of_folder(kernel),
            inputs: String::new(),
        };
        let feed = Feed {
            rows: vec![row("25.12.0", "6.12.9-1-a"), row("25.12.5", "6.12.100-1-d")],
            folders: [&folders[..], &[folder("21.02", "5.4.1-1-e")]].concat(),
            ..Feed::default()
        };
        let places = |keep| -> Vec<String> {
            prunable(&feed, |line| line == "25.12", keep).into_iter().map(|found| found.place).collect()
        };
        assert_eq!(places(None), ["21.02/x86/64/kmods/5.4.1-1-e"]);
        assert_eq!(places(Some(2)), ["21.02/x86/64/kmods/5.4.1-1-e", "25.12/x86/64/kmods/6.12.10-1-b"]);
        assert_eq!(places(Some(4)).len(), 1);
    }
}
