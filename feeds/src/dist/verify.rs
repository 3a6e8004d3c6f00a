//! Verifies a tree as the routers of each row would.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use camino::Utf8Path;
use formats::Format;
use host::files;
use model::{Arch, Cancel, Exit, Failure, Problem, Result, parallel};

use super::records::{FolderRecord, RowRecord};
use super::sandbox::{self, Sandbox, System};
use super::sums::{self, Sums};
use super::tree::Published;
use crate::trust::Trust;
use crate::verify::verify_folder;

/// How many folders are verified at once: most of the time goes into waiting for the disk and for other programs.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// Verifies an opened tree: each folder's index with the keys that the tree gives to routers, and every package
/// installed from it; the lists of digests; that there is no unsigned file; and `subscribe.sh` for each row. `only`
/// limits this to some folders.
///
/// # Errors
/// `DIST004` for contradictions within the tree, and whatever a router would refuse.
pub fn verify(published: &Published, only: Option<&[String]>, cancel: &Cancel) -> Result<Vec<String>> {
    let root = &published.root;
    // The sandbox's programs run in another folder, so the path must be absolute.
    let absolute = root.canonicalize_utf8().map_err(|error| Failure::io("find the tree", root, &error))?;
    let unsigned = sums::walk(root)?
        .into_iter()
        .find(|path| !published.sums.0.contains_key(path) && !matches!(path.as_str(), sums::NAME | sums::SIGNATURE));
    if let Some(path) = unsigned {
        return Err(wrong(&root.join(path), "the signed list does not name it, so anybody may have put it there"));
    }
    let trust = published.keys.trust(root, true).map_err(|why| wrong(&root.join(super::keys::LIST), &why))?;
    for row in &published.feed.rows {
        let place = super::place(&row.row.line, &row.row.target, &row.kernel);
        if !published.feed.folders.iter().any(|folder| folder.place() == place) {
            return Err(wrong(&root.join(place), &format!("{} links to it, but it does not exist", row.row)));
        }
    }
    let wanted = |folder: &&FolderRecord| only.is_none_or(|only| only.contains(&folder.place()));
    let folders: Vec<&FolderRecord> = published.feed.folders.iter().filter(wanted).collect();
    parallel(&folders, AT_ONCE, |folder| {
        cancel.check()?;
        verify_one(published, folder, &absolute, &trust, cancel)
    })
}

fn verify_one(
    published: &Published,
    folder: &FolderRecord,
    root: &Utf8Path,
    trust: &Trust,
    cancel: &Cancel,
) -> Result<String> {
    let place = root.join(folder.place());
    let list = files::read_text(&place.join(sums::NAME))?;
    if Sums::of(&place)?.text() != list {
        return Err(wrong(&place.join(sums::NAME), "it does not match the files beside it"));
    }
    let mut count = 0;
    for format in Format::ALL.into_iter().filter(|format| folder.managers.iter().any(|name| name == format.manager())) {
        let architecture = Arch(folder.architecture.clone());
        count += verify_folder(&place, format, &architecture, &folder.kernel_version, &[], trust)?.len();
        for release in releases_of(published, folder) {
            subscribes(published, folder, &release, format.manager(), root, cancel)?;
        }
    }
    Ok(format!("{} {count} packages, {}", folder.place(), folder.managers.join(" and ")))
}

/// Runs the script as a router with this kernel would, and checks the line that it writes.
fn subscribes(
    published: &Published,
    folder: &FolderRecord,
    release: &str,
    manager: &str,
    root: &Utf8Path,
    cancel: &Cancel,
) -> Result<()> {
    let version = folder.kernel.as_str().split('-').next().unwrap_or_default();
    let system =
        System { release, target: &folder.target, manager, kernel_version: &folder.kernel_version, running: version };
    let url = &published.feed.url;
    let sandbox = Sandbox::new(root, url, &system)?;
    let script = root.join("subscribe.sh");
    let output = sandbox.run(&script, cancel)?;
    let line = sandbox.text(sandbox::list(manager));
    if !output.success || !line.contains(&format!("{url}/{}", folder.place())) {
        let why = format!("for {} with {manager} it printed: {}", folder.place(), output.last_words());
        return Err(wrong(&script, &why));
    }
    Ok(())
}

/// The names of a kernel's releases on its routers: one for each row; without a row, a release of the line.
fn releases_of(published: &Published, folder: &FolderRecord) -> BTreeSet<String> {
    // Rows of the stand-in are named after their kernels, but its routers report the line as their release.
    let called = |record: &RowRecord| match record.row.release.starts_with(&format!("{}.", folder.line)) {
        true => record.row.release.clone(),
        false if record.row.release.ends_with("SNAPSHOT") => record.row.release.clone(),
        false => folder.line.clone(),
    };
    let of_line = || published.feed.rows.iter().filter(|record| record.row.line == folder.line);
    let of_folder = of_line().filter(|record| record.row.target == folder.target && record.kernel == folder.kernel);
    let found: BTreeSet<String> = of_folder.map(called).collect();
    match (found.is_empty(), folder.line.as_str()) {
        (false, _) => found,
        (true, "main") => ["SNAPSHOT".to_owned()].into(),
        (true, line) => [of_line().next().map_or_else(|| line.to_owned(), called)].into(),
    }
}

fn wrong(place: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "DIST004",
        what: format!("{place} does not fit the rest of the tree"),
        why,
        fix: "build the tree again with `cargo xtask dist`, and publish all of it",
    })
    .at(place)
}
