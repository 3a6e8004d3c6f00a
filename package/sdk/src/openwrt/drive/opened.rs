//! Opens a package that the SDK built.

use std::fs::File;
use std::io::BufReader;

use camino::{Utf8Path, Utf8PathBuf};
use formats::opened::Opened;
use formats::{Format, Limits};
use model::{Exit, Failure, Problem, Result};

use crate::built::BuiltPackage;

/// Reads a whole package. The format is given, because a cache may have changed the file name.
///
/// # Errors
/// `SDK060` it is damaged, or not a package.
pub(super) fn read(file: &Utf8Path, format: Format) -> Result<Opened> {
    let reader = File::open(file).map_err(|error| Failure::io("read the package", file, &error))?;
    Opened::read(file.as_str(), format, BufReader::new(reader), &Limits::default()).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Failed,
            id: "SDK060",
            what: "a package that the SDK made cannot be read",
            why: format!("{error} ({})", error.id()),
            fix: "run the same command again, which starts with a new tree of the SDK; if it happens again, report it",
        })
        .at(file)
    })
}

/// The record of a package at its new path, for the pipeline.
pub(super) fn built(package: &Opened, file: Utf8PathBuf, note: Option<String>) -> BuiltPackage {
    BuiltPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        arch: package.architecture.clone(),
        format: package.format,
        file,
        sha256: package.file.sha256,
        installed_size: package.installed_size.unwrap_or_default(),
        note,
    }
}
