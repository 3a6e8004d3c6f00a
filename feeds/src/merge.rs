//! Merges a new feed into a published one, keeping the folders of other kernels.
//!
//! So a router with another kernel still finds its packages when a newer kernel is published. Only what a trusted key
//! signed is kept. Every index is signed again, so a key rotation reaches the older folders too.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Exit, Failure, Problem, Result};

use crate::entry::{About, Entry, admit};
use crate::keys::Keys;
use crate::layout::{Kernel, Place, folder, places};
use crate::published::{self, Item};
use crate::trust::Trust;
use crate::{apk, opkg};

/// A folder of the merged feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmods {
    /// The format of its packages.
    pub format: Format,
    /// The kernel that it is for.
    pub kernel: Kernel,
    /// How many packages it has.
    pub packages: usize,
    /// Whether it was taken from the published feed.
    pub kept: bool,
}

/// Makes the merged feed in the empty folder `out`; the other folders are only read.
///
/// # Errors
/// `FEED008` when no trusted key signed an index, `FEED009` when the new feed has no index, `FEED012` for a kmod in the
/// folder of another kernel; errors about a package.
pub fn merge(published: &Utf8Path, new: &Utf8Path, trust: &Trust, keys: &Keys, out: &Utf8Path) -> Result<Vec<Kmods>> {
    let new_places = places(new)?;
    if new_places.is_empty() {
        return Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "FEED009",
            what: format!("{new} is not a feed"),
            why: "a feed to publish has a folder opkg/kmods/KERNEL or apk/kmods/KERNEL with an index in it",
            fix: "name the folder that `cargo xtask feed` prints",
        })
        .at(new));
    }
    let mut merged = Vec::new();
    for format in Format::ALL {
        let mut kernels: BTreeMap<Kernel, (bool, Vec<Item>)> = BTreeMap::new();
        if new_places.iter().any(|place| place.format == format) {
            kernels.extend(older(published, format, trust)?.into_iter().map(|(kernel, items)| (kernel, (true, items))));
        }
        // A new folder replaces the published one for the same kernel.
        for Place { kernel, folder, .. } in new_places.iter().filter(|place| place.format == format) {
            kernels.insert(kernel.clone(), (false, published::open(folder, format, trust)?));
        }
        let architecture = architecture(kernels.values().flat_map(|(_, items)| items));
        for (kernel, (kept, items)) in kernels {
            let files: Vec<Utf8PathBuf> = items.into_iter().map(|item| item.file).collect();
            fill(format, &files, &architecture, Some(&kernel), keys, &folder(out, format, &kernel))?;
            merged.push(Kmods { format, kernel, packages: files.len(), kept });
        }
    }
    Ok(merged)
}

/// The published packages, by kernel. In an old feed, whose index is beside the folder `kmods`, every kernel gets its
/// own kmods and the programs for all.
fn older(published: &Utf8Path, format: Format, trust: &Trust) -> Result<BTreeMap<Kernel, Vec<Item>>> {
    let mut kernels: BTreeMap<Kernel, Vec<Item>> = BTreeMap::new();
    for place in places(published)?.into_iter().filter(|place| place.format == format) {
        kernels.insert(place.kernel, published::open(&place.folder, format, trust)?);
    }
    let beside = published.join(format.manager());
    let index = match format {
        Format::Ipk => opkg::INDEX,
        Format::Apk => apk::INDEX,
    };
    if beside.join(index).is_file() {
        let (bound, free): (Vec<_>, Vec<_>) =
            published::open(&beside, format, trust)?.into_iter().partition(|item| item.kernel.is_some());
        let mut groups: BTreeMap<Kernel, Vec<Item>> = BTreeMap::new();
        for item in bound {
            let kernel = Kernel::of_package(item.kernel.as_deref().unwrap_or_default());
            groups.entry(kernel).or_insert_with(|| free.clone()).push(item);
        }
        kernels.extend(groups);
    }
    Ok(kernels)
}

/// Checks that these packages can share one folder.
///
/// # Errors
/// `FEED…` for the first that does not belong there, and errors about a package.
pub(crate) fn fits(format: Format, files: &[&Utf8Path], architecture: &Arch, kernel: &Kernel) -> Result<()> {
    match format {
        Format::Ipk => admit::<formats::packages::Listed>(files, architecture)?.only_for(Some(kernel)).map(drop),
        Format::Apk => admit::<formats::apk::index::Listed>(files, architecture)?.only_for(Some(kernel)).map(drop),
    }
}

/// Fills a folder with packages and their index; refuses those of another kernel than `only`. Returns what it lists.
pub(crate) fn fill(
    format: Format,
    files: &[Utf8PathBuf],
    architecture: &Arch,
    only: Option<&Kernel>,
    keys: &Keys,
    out: &Utf8Path,
) -> Result<Vec<About>> {
    std::fs::create_dir_all(out).map_err(|error| Failure::io("make a folder of the feed", out, &error))?;
    let files: Vec<&Utf8Path> = files.iter().map(Utf8PathBuf::as_path).collect();
    match format {
        Format::Ipk => {
            let admitted = admit(&files, architecture)?.only_for(only)?;
            Ok(opkg::fill(admitted, architecture, &keys.opkg, out)?.iter().map(Entry::about).collect())
        }
        Format::Apk => {
            let admitted = admit(&files, architecture)?.only_for(only)?;
            Ok(apk::fill(admitted, architecture, &keys.apk, out)?.packages.iter().map(Entry::about).collect())
        }
    }
}

/// The architecture of the packages that are not for every router.
fn architecture<'a>(mut items: impl Iterator<Item = &'a Item>) -> Arch {
    Arch(items.find_map(|item| item.architecture.clone()).unwrap_or_else(|| "all".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{keys, snapshot};
    use crate::verify::Router;
    use formats::depend::Dependency;
    use formats::{Content, Package};
    use tempfile::TempDir;

    /// Packages of both formats: a kmod for a kernel, and a tool for any.
    fn packages(root: &Utf8Path, hash: &str, version: &str) -> Vec<Utf8PathBuf> {
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
        Format::ALL.into_iter().flat_map(|format| plans.iter().map(move |plan| (format, plan))).map(put).collect()
    }

    /// A signed feed with those packages.
    fn feed(hash: &str, version: &str, keys: &Keys) -> (TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        let files = packages(&root, hash, version);
        let out = root.join("feed");
        std::fs::create_dir(&out).unwrap();
        let kernel = Kernel::of_package(&format!("6.12.1~{hash}-r1"));
        crate::assemble(&files, &Arch("x86_64".into()), &kernel, keys, &out).unwrap();
        (guard, out)
    }

    fn out(guard: &TempDir, name: &str) -> Utf8PathBuf {
        let out = Utf8Path::from_path(guard.path()).unwrap().join(name);
        std::fs::create_dir(&out).unwrap();
        out
    }

    #[test]
    fn older_kernels_keep_their_folders() {
        let keys = keys(7);
        let trust = Trust::of(&keys);
        let ((a, first), (_b, second)) = (feed("aa", "6.12.1-r1", &keys), feed("bb", "6.12.1-r2", &keys));
        let once = out(&a, "once");
        let kmods = merge(&first, &second, &trust, &keys, &once).unwrap();
        let shown: Vec<_> = kmods.iter().map(|kmods| (kmods.kernel.as_str(), kmods.packages, kmods.kept)).collect();
        assert_eq!(shown, [("6.12.1-1-aa", 2, true), ("6.12.1-1-bb", 2, false)].repeat(2));
        let both = [snapshot(&first), snapshot(&second)].concat();
        let both: BTreeMap<_, _> = both.into_iter().collect();
        assert!(both.into_iter().collect::<Vec<_>>() == snapshot(&once), "each folder is what it was alone");

        // A third kernel, and the second one again.
        let (_c, third) = feed("cc", "6.12.1-r3", &keys);
        let twice = out(&a, "twice");
        assert_eq!(merge(&once, &third, &trust, &keys, &twice).unwrap().len(), 6);
        let again = out(&a, "again");
        let kmods = merge(&twice, &third, &trust, &keys, &again).unwrap();
        assert_eq!(kmods.iter().filter(|kmods| kmods.kept).count(), 4);
        assert!(snapshot(&again) == snapshot(&twice), "the same input gives the same bytes");
        // The very first feed has nothing to keep.
        assert_eq!(merge(&out(&a, "none"), &third, &trust, &keys, &out(&a, "first")).unwrap().len(), 2);
        // Only the addresses of kernels hold an index.
        let has_kernel =
            |path: &String| path.starts_with("opkg/kmods/6.12.1-1-") || path.starts_with("apk/kmods/6.12.1-1-");
        assert!(snapshot(&twice).iter().all(|(path, _)| has_kernel(path)));
    }

    #[test]
    fn a_feed_from_before_kernels_had_addresses_is_taken_apart() {
        let keys = keys(7);
        let trust = Trust::of(&keys);
        let ((a, first), (_b, second)) = (feed("aa", "6.12.1-r1", &keys), feed("bb", "6.12.1-r2", &keys));
        let old = out(&a, "old");
        for format in Format::ALL {
            let from = folder(&first, format, &Kernel::of_folder("6.12.1-1-aa"));
            std::fs::rename(from, old.join(format.manager())).unwrap();
        }
        let merged = out(&a, "merged");
        let kmods = merge(&old, &second, &trust, &keys, &merged).unwrap();
        let kept: Vec<_> = kmods.iter().filter(|kmods| kmods.kept).map(|kmods| kmods.packages).collect();
        assert_eq!(kept, [2, 2], "the kmod and the tool");
        assert!(!merged.join("opkg/Packages").exists() && !merged.join("apk/packages.adb").exists());
    }

    /// What routers see, with the client of either manager: their line names their kernel, and a newer kernel is
    /// published.
    #[test]
    fn a_router_stays_fine_when_a_newer_kernel_is_published() {
        let keys = keys(7);
        let trust = Trust::of(&keys);
        let ((a, older), (_b, newer)) = (feed("aa", "6.12.1-r1", &keys), feed("bb", "6.12.1-r2", &keys));
        let merged = out(&a, "merged");
        merge(&older, &newer, &trust, &keys, &merged).unwrap();
        let mixed = out(&a, "mixed");
        for format in Format::ALL {
            let line = |feed: &Utf8Path| folder(feed, format, &Kernel::of_folder("6.12.1-1-aa"));
            let router = || Router::new(format, &Arch("x86_64".into()), "6.12.1~aa-r1", &[], &trust).unwrap();
            let reads = |router: &Router, place: &Utf8Path| {
                router.reads(&format!("file://{place}")).unwrap();
                router.update().unwrap();
            };
            let (kmod, tool) = (["kmod-a".to_owned()], ["tool".to_owned()]);
            let installed = |name: &str| (name.to_owned(), "6.12.1-r1".to_owned());
            let old = router();
            reads(&old, &line(&older));
            old.install(&kmod).unwrap();
            reads(&old, &line(&merged));
            old.upgrade().unwrap();
            old.install(&tool).unwrap();
            assert_eq!(old.installed().unwrap(), [installed("kmod-a"), installed("tool")], "{format}");

            // The control: kmods of both kernels at one address, as it was once.
            let place = mixed.join(format.manager());
            let newer = folder(&newer, format, &Kernel::of_folder("6.12.1-1-bb"));
            let files: Vec<_> = newer.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect();
            let files: Vec<_> = files.into_iter().filter(|file| file.extension() == Some(format.extension())).collect();
            fill(format, &files, &Arch("x86_64".into()), None, &keys, &place).unwrap();
            reads(&old, &place);
            let fresh = router();
            reads(&fresh, &place);
            assert!(fresh.install(&kmod).is_err(), "{format}");
            if format == Format::Apk {
                assert!(old.upgrade().is_err());
            }
        }
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
            let kept = folder(&merged, format, &Kernel::of_folder("6.12.1-1-aa"));
            assert_eq!(published::open(&kept, format, &Trust::of(&new)).unwrap().len(), 2, "signed by today's key");
        }
        // A file that differs from the signed one.
        let swap = |from: &str, to: &str| std::fs::copy(second.join(from), first.join(to)).unwrap();
        swap("apk/kmods/6.12.1-1-bb/kmod-a-6.12.1-r2.apk", "apk/kmods/6.12.1-1-aa/kmod-a-6.12.1-r1.apk");
        assert_eq!(refused(&first, &trust, "4"), "IDX004");
        swap(
            "opkg/kmods/6.12.1-1-bb/kmod-a_6.12.1-r2_x86_64.ipk",
            "opkg/kmods/6.12.1-1-aa/kmod-a_6.12.1-r1_x86_64.ipk",
        );
        assert_eq!(refused(&first, &trust, "5"), "IDX004");
        assert_eq!(merge(&first, &out(&a, "no-feed"), &trust, &new, &out(&a, "6")).unwrap_err().id(), "FEED009");
    }
}
