//! The feed as apk reads it: `packages.adb`, signed inside.

use std::fs::File;

use camino::Utf8Path;
use formats::adb::{Adb, Compression};
use formats::apk::index::{Index, Listed};
use formats::ec::SecretKey;
use formats::{Limits, Package};
use model::{Arch, Exit, Failure, Result};

use crate::entry::{About, Admitted, Entry, write};
use crate::explain;
use crate::keys::Pair;

/// File name of the index, as in OpenWrt's feeds.
pub(crate) const INDEX: &str = "packages.adb";

/// Fills an empty folder with the packages and their index, which is signed by the current key and the next one, if
/// there is one.
pub(crate) fn fill(
    admitted: Admitted<'_, Listed>,
    architecture: &Arch,
    keys: &Pair<SecretKey>,
    out: &Utf8Path,
) -> Result<Index> {
    admitted.place(out, |packages| {
        let index = Index { packages, ..Index::default() };
        write(&out.join("index.json"), index.index_json(&architecture.0).as_bytes())?;
        let adb = index.to_adb().map_err(|error| explain(Exit::Failed, out, &error))?;
        let keys: Vec<&SecretKey> = keys.all().map(|(key, _)| key).collect();
        publish(adb, &keys, out)?;
        Ok(index)
    })
}

/// Signs an index with each of the keys and writes it.
pub(crate) fn publish(mut adb: Adb, keys: &[&SecretKey], folder: &Utf8Path) -> Result<()> {
    for key in keys {
        adb.sign(key).map_err(|error| explain(Exit::Bug, folder, &error))?;
    }
    store(&adb, folder)
}

/// Writes an index without signing it.
pub(crate) fn store(adb: &Adb, folder: &Utf8Path) -> Result<()> {
    let mut bytes = Vec::new();
    adb.write(&mut bytes, Compression::Deflate).map_err(|error| explain(Exit::Bug, folder, &error))?;
    write(&folder.join(INDEX), &bytes)
}

/// The metadata of a package or index file, and the file's length. The caller decides whom to trust.
pub(crate) fn open(path: &Utf8Path) -> Result<(Adb, u64)> {
    let io = |error: std::io::Error| Failure::io("read the file", path, &error);
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let adb = Adb::read(file, &Limits::default());
    Ok((adb.map_err(|error| explain(Exit::Failed, path, &error))?, size))
}

impl Entry for Listed {
    const ANYWHERE: &str = "noarch";

    /// Reads every byte of the file.
    fn list(path: &Utf8Path) -> Result<Self> {
        let io = |error: std::io::Error| Failure::io("read the package", path, &error);
        let file = File::open(path).map_err(io)?;
        let file_size = file.metadata().map_err(io)?.len();
        Listed::of_file(file, file_size, &Limits::default()).map_err(|error| explain(Exit::Failed, path, &error))
    }

    fn name(&self) -> &str {
        &self.info.name
    }

    fn architecture(&self) -> &str {
        &self.info.arch
    }

    fn about(&self) -> About {
        About {
            file: self.info.file_name(),
            name: self.info.name.clone(),
            version: self.info.version.clone(),
            license: self.info.license.clone(),
        }
    }

    fn kernel(&self) -> Option<&str> {
        let bound = self.info.depends.iter().find(|need| need.name == Package::KERNEL && !need.is_conflict());
        bound.and_then(|bound| bound.version.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, kernel, keys};
    use crate::keys::Keys;
    use formats::Format;

    fn index(keys: &Keys) -> (tempfile::TempDir, camino::Utf8PathBuf, Adb) {
        let (guard, feed) = feed(keys);
        let folder = crate::folder(&feed, Format::Apk, &kernel());
        let (adb, _) = open(&folder.join(INDEX)).unwrap();
        (guard, folder, adb)
    }

    #[test]
    fn the_index_lists_what_can_be_installed_and_is_signed() {
        let keys = keys(7);
        let (_guard, folder, adb) = index(&keys);
        adb.verify(&[keys.apk.current.public()]).unwrap();
        let index = Index::from_adb(&adb, &Limits::default()).unwrap();
        let names: Vec<_> = index.packages.iter().map(|listed| listed.info.file_name()).collect();
        assert_eq!(names, ["kmod-nft-offload-6.12.1-r1.apk", "notes-6.12.1-r1.apk"]);
        assert_eq!(index.packages[1].info.arch, "noarch");
        for listed in &index.packages {
            let (adb, size) = open(&folder.join(index.file_name(listed).unwrap())).unwrap();
            listed.check_file(&adb, size, &Limits::default()).unwrap();
        }
    }

    #[test]
    fn the_next_key_signs_too() {
        let mut both = keys(7);
        both.apk.next = Some(keys(8).apk.current);
        let (_guard, _folder, adb) = index(&both);
        assert_eq!(adb.signatures.len(), 2);
        for (key, _) in both.apk.all() {
            adb.verify(&[key.public()]).unwrap();
        }
        assert_eq!(adb.verify(&[keys(9).apk.current.public()]).unwrap_err().id(), "ADB009");
    }
}
