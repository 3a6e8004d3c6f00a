//! Verifies a tree as the routers of every row would.

use camino::Utf8Path;
use formats::Format;
use host::files;
use model::{Arch, Cancel, Exit, Failure, Problem, Result};

use super::records::FolderRecord;
use super::sandbox::{self, Sandbox, System};
use super::sums::{self, Sums};
use super::tree::Published;
use crate::trust::Trust;
use crate::verify::verify_folder;

/// Looks at a tree that was opened: each folder's index with the keys that the tree gives to routers, and every package
/// installed from it; lists of digests; that nothing is there which nobody signed; `subscribe.sh` for each row. `only`
/// names folders; without one, all.
///
/// # Errors
/// `DIST004` for what does not fit together, and whatever a router would refuse.
pub fn verify(published: &Published, only: Option<&[String]>, cancel: &Cancel) -> Result<Vec<String>> {
    let root = &published.root;
    // A relative path would be another one in the sandbox.
    let absolute = root.canonicalize_utf8().map_err(|error| Failure::io("find the tree", root, &error))?;
    let unsigned = sums::walk(root)?
        .into_iter()
        .find(|path| !published.sums.0.contains_key(path) && !matches!(path.as_str(), sums::NAME | sums::SIGNATURE));
    if let Some(path) = unsigned {
        return Err(wrong(&root.join(path), "the signed list does not have it, so anybody may have put it there"));
    }
    let trust = published.keys.trust(root, true).map_err(|why| wrong(&root.join(super::keys::LIST), &why))?;
    for row in &published.feed.rows {
        let place = super::place(&row.row.line, &row.row.target, &row.kernel);
        if !published.feed.folders.iter().any(|folder| folder.place() == place) {
            return Err(wrong(&root.join(place), &format!("{} leads there, and it is not there", row.row)));
        }
    }
    let mut said = Vec::new();
    for folder in &published.feed.folders {
        cancel.check()?;
        if only.is_some_and(|only| !only.contains(&folder.place())) {
            continue;
        }
        said.push(verify_one(published, folder, &absolute, &trust, cancel)?);
    }
    Ok(said)
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
        return Err(wrong(&place.join(sums::NAME), "it does not list the files beside it"));
    }
    let mut count = 0;
    for format in Format::ALL.into_iter().filter(|format| folder.managers.iter().any(|name| name == format.manager())) {
        let architecture = Arch(folder.architecture.clone());
        count += verify_folder(&place, format, &architecture, &folder.kernel_version, trust)?.len();
        subscribes(published, folder, format.manager(), root, cancel)?;
    }
    Ok(format!("{} {count} packages, {}", folder.place(), folder.managers.join(" and ")))
}

/// Runs the script as a router with this kernel would, and looks at the line that it leaves.
fn subscribes(
    published: &Published,
    folder: &FolderRecord,
    manager: &str,
    root: &Utf8Path,
    cancel: &Cancel,
) -> Result<()> {
    let version = folder.kernel.as_str().split('-').next().unwrap_or_default();
    let release = release_of(published, folder);
    let system = System {
        release: &release,
        target: &folder.target,
        manager,
        kernel_version: &folder.kernel_version,
        running: version,
    };
    let url = &published.feed.url;
    let sandbox = Sandbox::new(root, url, &system)?;
    let script = root.join("subscribe.sh");
    let output = sandbox.run(&script, cancel)?;
    let line = sandbox.text(sandbox::list(manager));
    if !output.success || !line.contains(&format!("{url}/{}", folder.place())) {
        let why = format!("for {} with {manager} it said: {}", folder.place(), output.last_words());
        return Err(wrong(&script, &why));
    }
    Ok(())
}

/// A release whose line is that of the folder.
fn release_of(published: &Published, folder: &FolderRecord) -> String {
    if folder.line == "main" {
        return "SNAPSHOT".into();
    }
    let of_line = published.feed.rows.iter().find(|row| row.row.line == folder.line);
    let is_release = |release: &&str| release.starts_with(&format!("{}.", folder.line));
    let release = of_line.map(|row| row.row.release.as_str()).filter(is_release);
    release.map_or_else(|| folder.line.clone(), str::to_owned)
}

fn wrong(place: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "DIST004",
        what: format!("{place} is not as the tree says"),
        why,
        fix: "make the tree anew with `cargo xtask dist`, and publish it whole",
    })
    .at(place)
}
