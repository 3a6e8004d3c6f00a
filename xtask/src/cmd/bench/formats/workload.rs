//! Generated packages: the same bytes in every run, with a mix of content as in real packages.

use std::fs::File;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Package};
use model::{Cancel, Failure, Result};

use super::content::{Random, noise, program, text};

/// Number of packages, and their total bytes, in the set that is written and read completely.
pub(super) const PACKAGES: usize = 200;
pub(super) const BYTES: usize = 60_000_000;
/// Number of packages in the set that is only listed, and bytes of each.
pub(super) const TINY: (usize, usize) = (5_000, 600);
/// Size of the large package in bytes.
pub(super) const LARGE: u64 = 200_000_000;

/// A set of packages whose files are in folders, so that all writers read the same.
pub(super) struct Workload {
    /// Plans whose files are read from `trees`.
    pub(super) plans: Vec<Package>,
    /// Each package's root folder, in the order of the plans.
    pub(super) trees: Vec<Utf8PathBuf>,
    /// Bytes of all files.
    pub(super) bytes: u64,
}

/// Makes `count` packages below `folder`, with `bytes` bytes of files in total.
pub(super) fn generate(folder: &Utf8Path, count: usize, bytes: usize, cancel: &Cancel) -> Result<Workload> {
    let mut random = Random(1);
    let mut workload = Workload { plans: Vec::new(), trees: Vec::new(), bytes: 0 };
    // Few packages are large: sizes grow with the third power.
    let weight = |number: usize| (number + 1).pow(3);
    let weights: usize = (0..count).map(weight).sum();
    for number in 0..count {
        cancel.check()?;
        let tree = folder.join(format!("{number:05}"));
        let size = (bytes as u128 * weight(number) as u128 / weights as u128).try_into().unwrap_or(usize::MAX);
        let name = format!("sample-{number:05}");
        let files = [
            (format!("usr/share/{name}/messages"), 0o644, text(size * 25 / 100, &mut random)),
            (format!("usr/lib/lib{name}.so"), 0o755, program(size * 57 / 100, &mut random)),
            (format!("usr/share/{name}/firmware.bin"), 0o644, noise(size * 18 / 100, &mut random)),
        ];
        let mut entries = Vec::new();
        for (path, mode, content) in files {
            let target = tree.join(&path);
            let length = content.len() as u64;
            put(&target, mode, &content)?;
            let open = Arc::new(move || Ok(Box::new(File::open(&target)?) as Box<dyn std::io::Read>));
            entries.push(Entry::file(path, mode, Content::Source { length, open }));
            workload.bytes += length;
        }
        workload.plans.push(Package {
            name,
            version: "1.0-r1".into(),
            architecture: "x86_64".into(),
            description: format!("Generated package number {number}"),
            license: "MIT".into(),
            section: "utils".into(),
            source_date_epoch: 1_700_000_000,
            files: entries,
            ..Package::default()
        });
        workload.trees.push(tree);
    }
    Ok(workload)
}

fn put(path: &Utf8Path, mode: u32, content: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("write the sample", path, &error);
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    std::fs::write(path, content).map_err(failed)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_made_every_time_and_their_sizes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let make = |name: &str| {
            let workload = generate(&root.join(name), 5, 200_000, &Cancel::default()).unwrap();
            let last = &workload.plans[4];
            (workload.bytes, formats::ipk::to_vec(last).unwrap())
        };
        let (bytes, ipk) = make("one");
        assert_eq!((bytes, ipk.clone()), make("two"));
        assert!(bytes > 199_900 && bytes <= 200_000, "{bytes}");
        // The sample is neither all noise nor all zeros.
        assert!((30_000..90_000).contains(&ipk.len()), "{}", ipk.len());
    }
}
