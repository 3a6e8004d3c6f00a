//! The order in which a tree is uploaded, so that a router never sees an index whose files are not there yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use camino::Utf8Path;
use formats::tar::Writer;
use formats::{Content, Entry};
use model::{Exit, Failure, Result};

use super::sums;
use crate::explain;

/// All files of a tree, in the steps in which they must be uploaded: packages, then indexes with their signatures, then
/// the records, then the pages. The same run must not remove anything.
pub fn order(tree: &Utf8Path) -> Result<Vec<Vec<String>>> {
    let mut steps: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    for path in sums::walk(tree)? {
        steps.entry(rank(&path)).or_default().push(path);
    }
    Ok(steps.into_values().collect())
}

fn rank(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "ipk" | "apk" => 0,
        _ if path.starts_with("keys/") => 1,
        _ if name.starts_with("Packages") && name != super::sbom::NAME || name == crate::apk::INDEX => 2,
        "html" => 5,
        _ if name.starts_with(sums::NAME) && !path.contains('/') => 4,
        _ => 3,
    }
}

/// Writes the tree as one tar archive, which page hosts take: the same bytes for the same tree.
///
/// # Errors
/// When a file cannot be read or written.
pub fn tar(tree: &Utf8Path, out: &Utf8Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("write the archive", out, &error);
    let refused = |error: formats::Error| explain(Exit::Bug, out, &error);
    let mut writer = Writer::new(BufWriter::new(File::create(out).map_err(failed)?), 0);
    for path in sums::walk(tree)? {
        let bytes = host::files::read(&tree.join(&path))?;
        writer.entry(&Entry::file(path, 0o644, Content::from(bytes))).map_err(refused)?;
    }
    let (mut file, _length) = writer.finish().map_err(refused)?;
    file.flush().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_after_its_packages_and_pages_last() {
        let guard = tempfile::tempdir().unwrap();
        let tree = Utf8Path::from_path(guard.path()).unwrap();
        let wanted = [
            "25.12/x86/64/kmods/6-1-a/kmod-a-1.apk",
            "keys/apk/a.pem",
            "25.12/x86/64/kmods/6-1-a/packages.adb",
            "25.12/x86/64/kmods/6-1-a/Packages.bom.cdx.json",
            "25.12/x86/64/kmods/6-1-a/build.json",
            "feed.json",
            "sha256sums",
            "sha256sums.sig",
            "25.12/x86/64/index.html",
            "index.html",
        ];
        for path in wanted.iter().rev() {
            host::aside::write(&tree.join(path), path).unwrap();
        }
        let steps = order(tree).unwrap();
        assert_eq!((steps.len(), steps.concat()), (6, wanted.map(str::to_owned).to_vec()));
    }
}
