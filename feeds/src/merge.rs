//! A new feed on top of a published one, with the modules of older kernels kept.
//!
//! ```text
//! opkg/                     the packages of the new feed
//! opkg/kmods/KERNEL/        the kmods of one kernel, new or older, with an index of their own
//! apk/  apk/kmods/KERNEL/   likewise
//! ```
//!
//! A router that still runs an older kernel keeps finding its modules below `kmods`, as on OpenWrt's own site; the
//! folders are named as there. Nothing is kept that no trusted key vouches for. Every index is signed anew, so a
//! rotation of keys reaches the older folders too.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Exit, Failure, Problem, Result};

use crate::keys::Keys;
use crate::published::{self, Item, Trust};
use crate::{apk, folder, folders, opkg};

/// Folder of the kmods, below that of the manager.
const KMODS: &str = "kmods";

/// A folder of kmods in the merged feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmods {
    /// For which manager.
    pub format: Format,
    /// Name of the folder: kernel version, release and hash.
    pub kernel: String,
    /// How many there are.
    pub packages: usize,
    /// Whether they are those of the published feed.
    pub kept: bool,
}

/// Makes the feed in the folder `out`, which is empty; the others are only read.
///
/// # Errors
/// `FEED008` when no trusted key has signed an index, `FEED009` when the new feed has no index; what is wrong with a package.
pub fn merge(published: &Utf8Path, new: &Utf8Path, trust: &Trust, keys: &Keys, out: &Utf8Path) -> Result<Vec<Kmods>> {
    let mut merged = Vec::new();
    for (format, part) in folders(new) {
        let items = published::open(&part, format, trust)?;
        let architecture = architecture(&items);
        let target = folder(out, format);
        fill(format, items.iter(), &architecture, keys, &target)?;

        let mut kernels = BTreeMap::new();
        for (kept, items) in [(true, older(&folder(published, format), format, trust)?), (false, items)] {
            // The new ones take the whole place of older ones for the same kernel.
            let mut groups: BTreeMap<String, Vec<Item>> = BTreeMap::new();
            for item in items {
                let Some(kernel) = &item.kernel else { continue };
                groups.entry(folder_name(kernel)).or_default().push(item);
            }
            kernels.extend(groups.into_iter().map(|(kernel, items)| (kernel, (kept, items))));
        }
        for (kernel, (kept, items)) in kernels {
            fill(format, items.iter(), &architecture, keys, &target.join(KMODS).join(&kernel))?;
            merged.push(Kmods { format, kernel, packages: items.len(), kept });
        }
    }
    match merged.is_empty() && folders(new).next().is_none() {
        false => Ok(merged),
        true => Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "FEED009",
            what: format!("{new} is no feed"),
            why: "the feed to publish has a folder `opkg` or `apk` with an index in it",
            fix: "name the folder that `cargo xtask feed` prints",
        })
        .at(new)),
    }
}

/// What was published: the kmods below `kmods`, and over them those of the feed itself.
fn older(folder: &Utf8Path, format: Format, trust: &Trust) -> Result<Vec<Item>> {
    let mut kernels: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    let kmods = folder.join(KMODS);
    let mut places = Vec::new();
    if kmods.is_dir() {
        let io = |error: std::io::Error| Failure::io("look into the published feed", &kmods, &error);
        for entry in kmods.read_dir_utf8().map_err(io)? {
            places.push(entry.map_err(io)?.into_path());
        }
        places.sort();
    }
    if folder.is_dir() {
        places.push(folder.to_owned());
    }
    for place in places {
        let mut groups: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for item in published::open(&place, format, trust)? {
            if let Some(kernel) = item.kernel.clone() {
                groups.entry(kernel).or_default().push(item);
            }
        }
        kernels.extend(groups);
    }
    Ok(kernels.into_values().flatten().collect())
}

fn fill<'a>(
    format: Format,
    items: impl Iterator<Item = &'a Item>,
    architecture: &Arch,
    keys: &Keys,
    out: &Utf8Path,
) -> Result<()> {
    std::fs::create_dir_all(out).map_err(|error| Failure::io("make a folder of the feed", out, &error))?;
    let files: Vec<&Utf8Path> = items.map(|item| item.file.as_path()).collect();
    match format {
        Format::Ipk => opkg::fill(&files, architecture, &keys.opkg, out).map(drop),
        Format::Apk => apk::fill(&files, architecture, &keys.apk, out).map(drop),
    }
}

/// That of the packages which are not for every router.
fn architecture(items: &[Item]) -> Arch {
    Arch(items.iter().find_map(|item| item.architecture.clone()).unwrap_or_else(|| "all".into()))
}

/// `6.12.94~HASH-r1` as OpenWrt names the folder: `6.12.94-1-HASH`.
fn folder_name(kernel: &str) -> String {
    let parts = kernel.split_once('~').and_then(|(version, rest)| Some((version, rest.rsplit_once("-r")?)));
    match parts {
        Some((version, (hash, release))) => format!("{version}-{release}-{hash}"),
        None => kernel.to_owned(),
    }
}

/// Where the kmods of a kernel are, seen from the feed.
pub fn kmods_folder(format: Format, kernel: &str) -> Utf8PathBuf {
    folder(Utf8Path::new(""), format).join(KMODS).join(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{keys, snapshot};
    use formats::depend::Dependency;
    use formats::{Content, Package};
    use tempfile::TempDir;

    /// A signed feed with a kmod for a kernel and a tool for any.
    fn feed(hash: &str, version: &str, keys: &Keys) -> (TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        let plan = |name: &str, depends| Package {
            name: name.into(),
            version: version.into(),
            architecture: "x86_64".into(),
            description: name.into(),
            depends,
            files: vec![formats::Entry::file(format!("lib/{name}"), 0o644, Content::from(hash))],
            ..Package::default()
        };
        let kernel = Dependency::exactly("kernel", format!("6.12.1~{hash}-r1"));
        let plans = [plan("kmod-a", vec![kernel]), plan("tool", Vec::new())];
        let put = |(format, plan): (Format, &Package)| {
            let path = root.join(plan.file_name(format));
            plan.write(format, std::fs::File::create(&path).unwrap()).unwrap();
            path
        };
        let files: Vec<_> =
            Format::ALL.into_iter().flat_map(|format| plans.iter().map(move |plan| (format, plan))).map(put).collect();
        let out = root.join("feed");
        std::fs::create_dir(&out).unwrap();
        crate::assemble(&files, &Arch("x86_64".into()), keys, &out).unwrap();
        (guard, out)
    }

    fn out(guard: &TempDir, name: &str) -> Utf8PathBuf {
        let out = Utf8Path::from_path(guard.path()).unwrap().join(name);
        std::fs::create_dir(&out).unwrap();
        out
    }

    #[test]
    fn older_kernels_keep_their_modules() {
        let keys = keys(7);
        let trust = Trust::of(&keys);
        let ((a, first), (_b, second)) = (feed("aa", "6.12.1-r1", &keys), feed("bb", "6.12.1-r2", &keys));
        let once = out(&a, "once");
        let kmods = merge(&first, &second, &trust, &keys, &once).unwrap();
        let shown: Vec<_> = kmods.iter().map(|kmods| (kmods.kernel.as_str(), kmods.packages, kmods.kept)).collect();
        assert_eq!(shown, [("6.12.1-1-aa", 1, true), ("6.12.1-1-bb", 1, false)].repeat(2));
        for (format, file) in [(Format::Ipk, "kmod-a_6.12.1-r1_x86_64.ipk"), (Format::Apk, "kmod-a-6.12.1-r1.apk")] {
            let folder = once.join(kmods_folder(format, "6.12.1-1-aa"));
            let items = published::open(&folder, format, &trust).unwrap();
            assert_eq!(items.iter().map(|item| item.file.clone()).collect::<Vec<_>>(), [folder.join(file)]);
        }
        assert_eq!(
            crate::diff(&second.join("opkg"), &once.join("opkg/Packages")).unwrap()[0].changes,
            Default::default()
        );

        // A third kernel, and the same one again: what is below `kmods` stays, and nothing else.
        let (_c, third) = feed("cc", "6.12.1-r3", &keys);
        let twice = out(&a, "twice");
        assert_eq!(merge(&once, &third, &trust, &keys, &twice).unwrap().len(), 6);
        let again = out(&a, "again");
        let kmods = merge(&twice, &third, &trust, &keys, &again).unwrap();
        assert_eq!(kmods.iter().filter(|kmods| kmods.kept).count(), 4);
        assert!(snapshot(&again) == snapshot(&twice), "the same input gives the same bytes");
        assert!(!again.join("opkg/tool_6.12.1-r1_x86_64.ipk").exists());
        // The first feed of all has nothing to keep.
        assert_eq!(merge(&out(&a, "none"), &third, &trust, &keys, &out(&a, "first")).unwrap().len(), 2);
    }

    #[test]
    fn only_what_a_trusted_key_vouches_for_is_signed_again() {
        let (old, new) = (keys(7), keys(8));
        let ((a, first), (_b, second)) = (feed("aa", "6.12.1-r1", &old), feed("bb", "6.12.1-r2", &new));
        let mut trust = Trust::of(&new);
        let refused = |published: &Utf8Path, trust: &Trust, name: &str| {
            merge(published, &second, trust, &new, &out(&a, name)).unwrap_err().id()
        };
        assert_eq!(refused(&first, &trust, "1"), "FEED008");
        trust.usign.push(old.opkg.current.public());
        assert_eq!(refused(&first, &trust, "2"), "FEED008", "apk's index is not by that key");
        trust.ec.push(old.apk.current.public());
        let merged = out(&a, "3");
        merge(&first, &second, &trust, &new, &merged).unwrap();
        for format in Format::ALL {
            let folder = merged.join(kmods_folder(format, "6.12.1-1-aa"));
            assert_eq!(published::open(&folder, format, &Trust::of(&new)).unwrap().len(), 1, "signed by today's key");
        }
        // A file that is not the one that was signed.
        let swap = |from: &str, to: &str| std::fs::copy(second.join(from), first.join(to)).unwrap();
        swap("apk/kmod-a-6.12.1-r2.apk", "apk/kmod-a-6.12.1-r1.apk");
        assert_eq!(refused(&first, &trust, "4"), "IDX004");
        swap("opkg/kmod-a_6.12.1-r2_x86_64.ipk", "opkg/kmod-a_6.12.1-r1_x86_64.ipk");
        assert_eq!(refused(&first, &trust, "5"), "IDX004");
        assert_eq!(merge(&first, &out(&a, "no-feed"), &trust, &new, &out(&a, "6")).unwrap_err().id(), "FEED009");
    }

    #[test]
    fn folders_are_named_as_openwrt_names_them() {
        assert_eq!(folder_name("6.12.94~0123abcd-r1"), "6.12.94-1-0123abcd");
        assert_eq!(folder_name("5.4"), "5.4");
    }
}
