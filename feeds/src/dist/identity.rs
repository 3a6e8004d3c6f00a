//! One digest for the packages of a folder: by it, reports of scenarios are known to be about these very files.

use camino::Utf8PathBuf;
use formats::Package;
use model::{Digest, Result};

use super::sums;

/// The digest of package files, whatever their order; the package `kernel`, which is no part of a feed, is passed over.
///
/// # Errors
/// When a file cannot be read.
pub fn identity(files: &[Utf8PathBuf]) -> Result<String> {
    let mut lines = Vec::new();
    for file in files.iter().filter(|file| !is_of_image(file)) {
        lines.push(format!("{} *{}\n", sums::digest(file)?, file.file_name().unwrap_or_default()));
    }
    lines.sort();
    Ok(Digest::of(lines.concat()).to_string())
}

/// Whether a file is the package `kernel`, which belongs to an image.
pub(crate) fn is_of_image(file: &Utf8PathBuf) -> bool {
    let name = file.file_name().unwrap_or_default();
    name.strip_prefix(Package::KERNEL).is_some_and(|rest| rest.starts_with(['_', '-']))
}
