//! Rows that are built on one machine and published by another, which alone has the keys.

use camino::{Utf8Path, Utf8PathBuf};
use feeds::dist::{Crate, Made, Material, Missing, Outcome, Published, Row};
use formats::lint::Options;
use host::aside::AsideFolder;
use host::files;
use model::{Arch, Digest, Event, Exit, Failure, Problem, Result};
use serde::{Deserialize, Serialize};

use super::rows;
use crate::Outcome as Done;
use crate::cli::dist::RowFlags;
use crate::pipeline::row_inputs;
use crate::{Ctx, lint};

/// The file that describes the packages beside it.
const FILE: &str = "row.json";

/// Content of `row.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    row: Row,
    inputs: String,
    kernel_version: String,
    architecture: String,
    materials: Vec<Material>,
    crates: Vec<Crate>,
    /// File names with digests.
    files: Vec<(String, String)>,
}

/// The folder of a row.
fn place(folder: &Utf8Path, row: &Row) -> Utf8PathBuf {
    folder.join(format!("{}-{}-{}", row.line, row.target, row.release).replace('/', "-"))
}

/// Builds the requested rows.
///
/// # Errors
/// Whatever prevents the first of them from being built.
pub(super) fn save(ctx: &Ctx, flags: &RowFlags) -> Result<Done> {
    let mut lines = Vec::new();
    for (row, job) in rows::jobs(ctx, flags)? {
        let made = rows::made(ctx, &row, &job, row_inputs(ctx, &job)?)?;
        files::create_folder(&ctx.out)?;
        let target = place(&ctx.out, &row);
        let folder = AsideFolder::begin(&target)?;
        let mut saved = Vec::new();
        for file in &made.files {
            let (name, bytes) = (file.file_name().unwrap_or_default(), files::read(file)?);
            saved.push((name.to_owned(), Digest::of(&bytes).to_string()));
            files::write(&folder.place.join(name), bytes)?;
        }
        let saved = Saved {
            row: made.row,
            inputs: made.inputs,
            kernel_version: made.kernel_version,
            architecture: made.architecture.0,
            materials: made.materials,
            crates: made.crates,
            files: saved,
        };
        files::write(&folder.place.join(FILE), format!("{:#}\n", serde_json::json!(saved)))?;
        folder.keep()?;
        lines.push(target.into_string());
    }
    Ok(Done::done(lines.join("\n")))
}

/// Copies what was built for a row below `into`; a row without results is missing. Packages that are already published
/// were linted then.
///
/// # Errors
/// Only failures of this machine.
pub(super) fn load(
    ctx: &Ctx,
    folder: &Utf8Path,
    row: &Row,
    published: Option<&Published>,
    into: &Utf8Path,
) -> Result<Outcome> {
    match read(ctx, &place(folder, row), row, published, &place(into, row)) {
        Ok(outcome) => Ok(outcome),
        Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
        Err(failure) => {
            ctx.events.emit(Event::Finding(failure.finding().clone()));
            let what = failure.finding().what.clone();
            Ok(Outcome::Missing(Missing { row: row.clone(), id: failure.id().to_owned(), what }))
        }
    }
}

fn read(ctx: &Ctx, folder: &Utf8Path, row: &Row, published: Option<&Published>, into: &Utf8Path) -> Result<Outcome> {
    let wrong = |why: String| {
        Failure::of(Problem {
            exit: Exit::Failed,
            id: "DIST011",
            what: format!("nothing usable was built for {row}"),
            why,
            fix: "check the job that had to build it with `cargo xtask dist row`, and pass its folder on completely",
        })
        .at(folder)
    };
    let bytes = std::fs::read(folder.join(FILE)).map_err(|error| wrong(format!("{FILE}: {error}")))?;
    let saved: Saved = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("{FILE}: {error}")))?;
    if saved.row != *row {
        return Err(wrong(format!("{FILE} is about {}", saved.row)));
    }
    if published.is_some_and(|tree| tree.has(row, &saved.inputs, &saved.files)) {
        rows::told_unchanged(ctx, row, &saved.kernel_version);
        return Ok(Outcome::Unchanged(row.clone()));
    }
    let mut paths = Vec::new();
    // A tree hard-links its files, so these must be copies.
    files::create_folder(into)?;
    for (name, digest) in &saved.files {
        let (path, copy) = (folder.join(name), into.join(name));
        let is_it = |bytes: &Vec<u8>| path.file_name() == Some(name) && Digest::of(bytes).to_string() == *digest;
        let bytes = std::fs::read(&path).ok().filter(is_it);
        let bytes =
            bytes.ok_or_else(|| wrong(format!("{name} is missing, or differs from the file that was built")))?;
        files::write(&copy, bytes)?;
        paths.push(copy);
    }
    // Only the machine that built a release's kmods knows which rules they cannot keep.
    let counts = lint::check(ctx, &paths, &Options::default(), &[])?;
    if counts.exit() != Exit::Done && row.line == crate::pipeline::STAND_IN {
        return Err(wrong(format!("the packages break rules: {counts}")));
    }
    Ok(Outcome::Made(Box::new(Made {
        row: saved.row,
        inputs: saved.inputs,
        kernel_version: saved.kernel_version,
        architecture: Arch(saved.architecture),
        files: paths,
        materials: saved.materials,
        crates: saved.crates,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn what_another_machine_made_is_taken_only_as_it_was_made() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let row = Row { line: "stand-in".into(), target: "x86/64".into(), release: "6.12".into() };
        let folder = place(root, &row);
        assert_eq!(folder, root.join("stand-in-x86-64-6.12"));
        let id = || match load(&ctx, root, &row, None, &root.join("copy")).unwrap() {
            Outcome::Missing(missing) => missing.id,
            Outcome::Made(made) => format!("{} files", made.files.len()),
            Outcome::Unchanged(_) => panic!(),
        };
        assert_eq!(id(), "DIST011", "nothing is there");
        std::fs::create_dir(&folder).unwrap();
        let save = |row: &Row, files: Vec<(String, String)>| {
            let saved = Saved {
                row: row.clone(),
                inputs: "i".into(),
                kernel_version: "6.12.1~aa-r1".into(),
                architecture: "x86_64".into(),
                materials: Vec::new(),
                crates: Vec::new(),
                files,
            };
            std::fs::write(folder.join(FILE), serde_json::json!(saved).to_string()).unwrap();
        };
        save(&row, Vec::new());
        assert_eq!(id(), "0 files");
        save(&Row { release: "6.1".into(), ..row.clone() }, Vec::new());
        assert_eq!(id(), "DIST011", "of another row");
        std::fs::write(folder.join("a.ipk"), "no package").unwrap();
        for (name, digest) in [("a.ipk", Digest::of("other")), ("b.ipk", Digest::of("")), ("../x", Digest::of(""))] {
            save(&row, vec![(name.into(), digest.to_string())]);
            assert_eq!(id(), "DIST011", "{name}");
        }
        save(&row, vec![("a.ipk".into(), Digest::of("no package").to_string())]);
        assert_eq!(id(), "DIST011", "it breaks rules");
    }
}
