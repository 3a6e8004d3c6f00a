//! One digest for all packages of a folder; it ties reports of scenarios to these very files.

use camino::Utf8PathBuf;
use formats::Package;
use model::{Digest, Result};

use super::sums;

/// The digest of package files, independent of their order. The package `kernel` is left out, as feeds leave it out.
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

/// Whether a file is the package `kernel`, which belongs to an image and not to a feed.
pub(crate) fn is_of_image(file: &Utf8PathBuf) -> bool {
    is_kernel(file.file_name().unwrap_or_default())
}

/// As [`is_of_image`], for a file name.
pub(crate) fn is_kernel(name: &str) -> bool {
    name.strip_prefix(Package::KERNEL).is_some_and(|rest| rest.starts_with(['_', '-']))
}
