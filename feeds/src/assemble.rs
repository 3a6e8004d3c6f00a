//! Puts packages into a feed directory, a folder for each package manager.

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use formats::apk::index::Index;
use formats::packages::Listed;
use model::{Arch, Failure, Result};

use crate::entry::admit;
use crate::keys::Keys;
use crate::layout::{Kernel, folder};
use crate::{apk, opkg};

/// The packages that a feed lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// opkg's packages, by file name.
    pub opkg: Vec<Listed>,
    /// apk's packages, by file name.
    pub apk: Index,
}

/// Fills the empty directory `out` with a feed of the given packages, for routers with this kernel; returns what it
/// lists.
///
/// Every package is read and checked. The virtual package `kernel` belongs to an image: its file is left out, as in
/// OpenWrt's indexes. The same input gives the same bytes.
///
/// # Errors
/// `FEED002` for a package of another architecture, `FEED003` for two files of one package, `FEED012` for a package of
/// another kernel, and errors about a package that cannot be read.
pub fn assemble(
    files: &[Utf8PathBuf],
    architecture: &Arch,
    kernel: &Kernel,
    keys: &Keys,
    out: &Utf8Path,
) -> Result<Contents> {
    let mut contents = Contents::default();
    for format in Format::ALL {
        let is_of = |file: &&Utf8PathBuf| file.file_name().and_then(Format::of_file_name) == Some(format);
        let files: Vec<&Utf8Path> = files.iter().filter(is_of).map(Utf8PathBuf::as_path).collect();
        if files.is_empty() {
            continue;
        }
        let folder = folder(out, format, kernel);
        std::fs::create_dir_all(&folder).map_err(|error| Failure::io("make a folder of the feed", &folder, &error))?;
        match format {
            Format::Ipk => {
                let admitted = admit(&files, architecture)?.only_for(Some(kernel))?;
                contents.opkg = opkg::fill(admitted, architecture, &keys.opkg, &folder)?;
            }
            Format::Apk => {
                let admitted = admit(&files, architecture)?.only_for(Some(kernel))?;
                contents.apk = apk::fill(admitted, architecture, &keys.apk, &folder)?;
            }
        }
    }
    Ok(contents)
}

#[cfg(test)]
pub(crate) mod tests {
    use formats::Package;

    use super::*;
    use crate::keys::Pair;
    use formats::depend::Dependency;
    use formats::{Content, ec, usign};

    /// Keys that are the same in every test.
    pub(crate) fn keys(seed: u8) -> Keys {
        let (opkg, apk) = (usign::SecretKey::from_random([seed; 40]), ec::SecretKey::from_random([seed; 32]).unwrap());
        Keys { opkg: Pair { current: opkg, next: None }, apk: Pair { current: apk, next: None } }
    }

    /// A folder with three packages in both formats: `kernel`, a kmod that needs it, and one of libc for every
    /// architecture.
    pub(crate) fn packages(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
        let plan = |name: &str, architecture: &str, depends| Package {
            name: name.into(),
            version: "6.12.1-r1".into(),
            architecture: architecture.into(),
            description: name.into(),
            section: "kernel".into(),
            depends,
            files: vec![formats::Entry::file(format!("lib/{name}"), 0o644, Content::from(name))],
            ..Package::default()
        };
        let kernel = Dependency::exactly("kernel", "6.12.1~aa-r1");
        let plans = [
            Package { version: "6.12.1~aa-r1".into(), ..plan("kernel", "x86_64", vec![]) },
            plan("kmod-nft-offload", "x86_64", vec![kernel]),
            plan("notes", "all", vec![Dependency::on("libc")]),
        ];
        let put = |(format, plan): (Format, &Package)| {
            let path = folder.join(plan.file_name(format));
            plan.write(format, std::fs::File::create(&path).unwrap()).unwrap();
            path
        };
        Format::ALL.into_iter().flat_map(|format| plans.iter().map(move |plan| (format, plan))).map(put).collect()
    }

    /// The kernel that the test feed is for.
    pub(crate) fn kernel() -> Kernel {
        Kernel::of_package("6.12.1~aa-r1")
    }

    /// A signed feed below a new folder.
    pub(crate) fn feed(keys: &Keys) -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        let feed = root.join("feed");
        std::fs::create_dir(&feed).unwrap();
        let files = packages(&root);
        assemble(&files, &Arch("x86_64".into()), &kernel(), keys, &feed).unwrap();
        (guard, feed)
    }

    /// Path and content of every file in a feed.
    pub(crate) fn snapshot(feed: &Utf8Path) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![feed.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.into_path());
                    continue;
                }
                let name = entry.path().strip_prefix(feed).unwrap().to_string();
                files.push((name, std::fs::read(entry.path()).unwrap()));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn the_same_packages_give_the_same_feed() {
        let keys = keys(7);
        let ((_a, one), (_b, two)) = (feed(&keys), feed(&keys));
        let (one, two) = (snapshot(&one), snapshot(&two));
        assert!(one == two);
        let names: Vec<_> = one.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "apk/kmods/6.12.1-1-aa/index.json",
                "apk/kmods/6.12.1-1-aa/kmod-nft-offload-6.12.1-r1.apk",
                "apk/kmods/6.12.1-1-aa/notes-6.12.1-r1.apk",
                "apk/kmods/6.12.1-1-aa/packages.adb",
                "opkg/kmods/6.12.1-1-aa/Packages",
                "opkg/kmods/6.12.1-1-aa/Packages.gz",
                "opkg/kmods/6.12.1-1-aa/Packages.manifest",
                "opkg/kmods/6.12.1-1-aa/Packages.sig",
                "opkg/kmods/6.12.1-1-aa/index.json",
                "opkg/kmods/6.12.1-1-aa/kmod-nft-offload_6.12.1-r1_x86_64.ipk",
                "opkg/kmods/6.12.1-1-aa/notes_6.12.1-r1_all.ipk",
            ]
        );
    }

    #[test]
    fn a_feed_of_one_format_has_one_folder() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let files: Vec<_> = packages(root).into_iter().filter(|file| file.extension() == Some("apk")).collect();
        let out = root.join("feed");
        std::fs::create_dir(&out).unwrap();
        let contents = assemble(&files, &Arch("x86_64".into()), &kernel(), &keys(7), &out).unwrap();
        assert_eq!((contents.opkg.len(), contents.apk.packages.len()), (0, 2));
        assert_eq!(
            crate::layout::places(&out).unwrap().iter().map(|place| place.format).collect::<Vec<_>>(),
            [Format::Apk]
        );
    }

    #[test]
    fn foreign_and_doubled_packages_are_refused() {
        for format in Format::ALL {
            let guard = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(guard.path()).unwrap();
            let keys = keys(7);
            let mut files = packages(root);
            files.retain(|file| file.extension() == Some(format.extension()));
            let refuse_for = |files: &[Utf8PathBuf], arch: &str, of: &str| {
                let of = Kernel::of_package(of);
                let out = tempfile::tempdir().unwrap();
                let out = Utf8Path::from_path(out.path()).unwrap();
                assemble(files, &Arch(arch.into()), &of, &keys, out).unwrap_err().id()
            };
            let refuse = |files: &[Utf8PathBuf], arch: &str| refuse_for(files, arch, "6.12.1~aa-r1");
            assert_eq!(refuse(&files, "mips_24kc"), "FEED002");
            assert_eq!(refuse_for(&files, "x86_64", "6.12.1~bb-r1"), "FEED012");
            let twin = root.join(format!("again.{format}"));
            std::fs::copy(&files[1], &twin).unwrap();
            files.push(twin);
            assert_eq!(refuse(&files, "x86_64"), "FEED003");
            std::fs::write(&files[1], "not a package").unwrap();
            let id = if format == Format::Ipk { "GZ001" } else { "ADB001" };
            assert_eq!(refuse(&files, "x86_64"), id);
        }
    }
}
