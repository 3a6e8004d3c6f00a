//! Puts packages into a feed directory, writes its indexes and signs them.

use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};
use formats::packages::{self, Listed};
use formats::sha256::Digest;
use formats::usign::SecretKey;
use formats::{Limits, ipk};
use model::{Arch, Exit, Failure, Result};

use crate::explain;

/// Fills the empty directory `out` with a feed of the given packages; returns what it lists.
///
/// Every package is read and checked. The virtual package `kernel` belongs to an image: its file is
/// kept out of the feed, as OpenWrt's indexes leave it out. The same input gives the same bytes.
pub fn assemble(files: &[Utf8PathBuf], architecture: &Arch, key: &SecretKey, out: &Utf8Path) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for file in files {
        let package = list(file)?;
        if !matches!(package.control.architecture.as_str(), own if own == architecture.0 || own == "all") {
            return Err(Failure::new(
                Exit::Failed,
                "FEED002",
                format!("{} is for {}", package.control.package, package.control.architecture),
                format!("a feed of {architecture} with it would offer routers what they can't install"),
                "build the package for this target, or leave it out",
            )
            .at(file));
        }
        if package.control.package == "kernel" {
            continue;
        }
        if let Some(twin) = listed.iter().find(|other: &&Listed| other.control.package == package.control.package) {
            return Err(Failure::new(
                Exit::Failed,
                "FEED003",
                format!("{} is there twice: {} and {}", package.control.package, twin.filename, package.filename),
                "which of them a router installs would be chance",
                "keep one of the files",
            )
            .at(file));
        }
        place(file, &out.join(&package.filename))?;
        listed.push(package);
    }
    listed.sort_by(|a, b| a.filename.cmp(&b.filename));

    let manifest = packages::manifest(&listed);
    let index = packages::packages(&manifest);
    write(&out.join("Packages.manifest"), manifest.as_bytes())?;
    write(&out.join("index.json"), packages::index_json(&architecture.0, &listed).as_bytes())?;
    publish_index(&index, out)?;
    sign(out, key)?;
    Ok(listed)
}

/// Writes `Packages` and `Packages.gz`; a signature has to follow.
pub(crate) fn publish_index(index: &str, feed: &Utf8Path) -> Result<()> {
    let bug = |error| explain(Exit::Bug, feed, &error);
    write(&feed.join("Packages"), index.as_bytes())?;
    write(&feed.join("Packages.gz"), &packages::compressed(index).map_err(bug)?)
}

/// Signs `Packages` of a feed directory, as usign does it.
pub fn sign(feed: &Utf8Path, key: &SecretKey) -> Result<()> {
    let path = feed.join("Packages");
    let index = std::fs::read(&path).map_err(|error| Failure::io("read the index", &path, &error))?;
    let signature = key.sign(&index);
    // Never publish what can't be verified: a key with a wrong public half would sign rubbish.
    key.public().verify(&index, &signature).map_err(|error| explain(Exit::Bug, &path, &error))?;
    write(&feed.join("Packages.sig"), signature.to_text().as_bytes())
}

/// What an index says about a package file.
pub(crate) fn list(path: &Utf8Path) -> Result<Listed> {
    let io = |error: &std::io::Error| Failure::io("read the package", path, error);
    let mut file = File::open(path).map_err(|error| io(&error))?;
    let (sha256, size) = Digest::of_reader(&mut file).map_err(|error| io(&error))?;
    let file = File::open(path).map_err(|error| io(&error))?;
    let metadata = ipk::inspect(file, &Limits::default()).map_err(|error| explain(Exit::Failed, path, &error))?;
    let filename = path.file_name().unwrap_or_default().to_owned();
    Ok(Listed { control: metadata.control, filename, size, sha256 })
}

/// A hard link where the file system allows it, else a copy: packages are never changed in place.
pub(crate) fn place(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(drop).map_err(|error| Failure::io("copy the package", to, &error))
}

pub(crate) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Failure::io("write the feed", path, &error))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use formats::depend::Dependency;
    use formats::{Content, Entry, Package};

    /// A folder with three packages: `kernel`, a kmod that needs it, and one for every architecture.
    pub(crate) fn packages(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
        let plan = |name: &str, architecture: &str, depends| Package {
            name: name.into(),
            version: "6.12.1-r1".into(),
            architecture: architecture.into(),
            description: name.into(),
            section: "kernel".into(),
            depends,
            files: vec![Entry::file(format!("lib/{name}"), 0o644, Content::from(name))],
            ..Package::default()
        };
        let kernel = Dependency::exactly("kernel", "6.12.1~aa-r1");
        let plans = [
            Package { version: "6.12.1~aa-r1".into(), ..plan("kernel", "x86_64", vec![]) },
            plan("kmod-nft-offload", "x86_64", vec![kernel]),
            plan("notes", "all", vec![]),
        ];
        let put = |plan: &Package| {
            let path = folder.join(ipk::file_name(plan));
            std::fs::write(&path, ipk::to_vec(plan).unwrap()).unwrap();
            path
        };
        plans.iter().map(put).collect()
    }

    /// A signed feed below a new folder.
    pub(crate) fn feed(key: &SecretKey) -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        let feed = root.join("feed");
        std::fs::create_dir(&feed).unwrap();
        let files = packages(&root);
        assemble(&files, &Arch("x86_64".into()), key, &feed).unwrap();
        (guard, feed)
    }

    #[test]
    fn a_feed_lists_what_can_be_installed_and_is_signed() {
        let key = SecretKey::from_random([7; 40]);
        let (_guard, feed) = feed(&key);
        let index = std::fs::read(feed.join("Packages")).unwrap();
        let signature = std::fs::read_to_string(feed.join("Packages.sig")).unwrap();
        let signature = formats::usign::Signature::parse(&signature).unwrap();
        key.public().verify(&index, &signature).unwrap();
        let listed = packages::read(&index, &Limits::default()).unwrap();
        let names: Vec<_> = listed.iter().map(|listed| listed.control.package.as_str()).collect();
        assert_eq!(names, ["kmod-nft-offload", "notes"]);
        let unpacked = packages::decompress(File::open(feed.join("Packages.gz")).unwrap(), &Limits::default());
        assert_eq!(unpacked.unwrap(), index);
        assert!(!feed.join("kernel_6.12.1~aa-r1_x86_64.ipk").exists());
        for listed in listed {
            let bytes = std::fs::read(feed.join(&listed.filename)).unwrap();
            listed.check_file(bytes.len() as u64, Digest::of(&bytes)).unwrap();
        }
    }

    #[test]
    fn the_same_packages_give_the_same_feed() {
        let key = SecretKey::from_random([7; 40]);
        let ((_a, one), (_b, two)) = (feed(&key), feed(&key));
        let mut count = 0;
        for entry in one.read_dir_utf8().unwrap() {
            let name = entry.unwrap().file_name().to_owned();
            assert_eq!(std::fs::read(one.join(&name)).unwrap(), std::fs::read(two.join(&name)).unwrap(), "{name}");
            count += 1;
        }
        assert_eq!(count, 7);
    }

    #[test]
    fn foreign_and_doubled_packages_are_refused() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap();
        let key = SecretKey::from_random([7; 40]);
        let mut files = packages(root);
        let refuse = |files: &[Utf8PathBuf], arch: &str| {
            let out = tempfile::tempdir().unwrap();
            let out = Utf8Path::from_path(out.path()).unwrap();
            assemble(files, &Arch(arch.into()), &key, out).unwrap_err().id()
        };
        assert_eq!(refuse(&files, "mips_24kc"), "FEED002");
        let twin = root.join("again.ipk");
        std::fs::copy(&files[1], &twin).unwrap();
        files.push(twin);
        assert_eq!(refuse(&files, "x86_64"), "FEED003");
        std::fs::write(&files[1], "not a package").unwrap();
        assert_eq!(refuse(&files, "x86_64"), "GZ001");
    }
}
