//! The folder of one kernel: its packages, the index, and the files that describe them.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::files;
use model::{Arch, Digest, Result};

use super::records::{Build, FolderRecord};
use super::sums::{self, Sums};
use super::{html, provenance, sbom};
use crate::entry::About;
use crate::keys::Keys;
use crate::layout::Kernel;
use crate::{apk, merge, opkg};

/// The record of where the packages come from.
pub(crate) const BUILD: &str = "build.json";

/// The packages of a folder and what is known about them.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) build: Build,
    /// Package files under their final names.
    pub(crate) files: Vec<Utf8PathBuf>,
}

impl Content {
    pub(crate) fn record(&self) -> FolderRecord {
        let Build { row, kernel, kernel_version, architecture, managers, .. } = &self.build;
        FolderRecord {
            line: row.line.clone(),
            target: row.target.clone(),
            kernel: kernel.clone(),
            kernel_version: kernel_version.clone(),
            architecture: architecture.clone(),
            managers: managers.clone(),
        }
    }

    /// The formats of the files.
    pub(crate) fn formats(files: &[Utf8PathBuf]) -> Vec<Format> {
        let has = |format: &Format| files.iter().any(|file| Format::of_file_name(file.as_str()) == Some(*format));
        Format::ALL.into_iter().filter(has).collect()
    }
}

/// Fills a kernel's folder of the tree.
///
/// # Errors
/// `FEED…` for packages that do not belong there.
pub(crate) fn write(
    tree: &Utf8Path,
    content: &Content,
    keyrings: &BTreeMap<Format, Utf8PathBuf>,
    keys: &Keys,
    epoch: u64,
    feed: (&str, &str),
) -> Result<()> {
    let build = &content.build;
    let place = tree.join(content.record().place());
    let (architecture, kernel) = (Arch(build.architecture.clone()), Kernel::of_package(&build.kernel_version));
    let mut packages: Vec<(About, Digest)> = Vec::new();
    let mut indexes: Vec<(String, Digest)> = Vec::new();
    for format in Content::formats(&content.files) {
        let of_format = |file: &&Utf8PathBuf| Format::of_file_name(file.as_str()) == Some(format);
        let files: Vec<Utf8PathBuf> =
            content.files.iter().filter(of_format).chain(keyrings.get(&format)).cloned().collect();
        for about in merge::fill(format, &files, &architecture, Some(&kernel), keys, &place)? {
            let digest = sums::digest(&place.join(&about.file))?;
            packages.push((about, digest));
        }
        let index = match format {
            Format::Ipk => opkg::INDEX,
            Format::Apk => apk::INDEX,
        };
        indexes.push((index.to_owned(), sums::digest(&place.join(index))?));
    }
    let of_indexes = Digest::of(indexes.iter().map(|(_, digest)| digest.to_string()).collect::<String>());
    let subjects: Vec<(String, Digest)> =
        packages.iter().map(|(about, digest)| (about.file.clone(), *digest)).chain(indexes).collect();
    let write = |name: &str, text: String| files::write(&place.join(name), text);
    write(BUILD, json(build))?;
    write(sbom::NAME, sbom::text(build, &packages, of_indexes, epoch))?;
    write(provenance::NAME, provenance::text(build, &subjects))?;
    write("index.html", html::folder(build, &packages, feed))?;
    write(sums::NAME, Sums::of(&place)?.text())
}

/// Indented JSON that ends with a newline.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    format!("{:#}\n", serde_json::json!(value))
}
