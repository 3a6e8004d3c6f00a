//! The feed as opkg reads it: `Packages` in three forms, and its signature in a separate file.

use std::fs::File;

use camino::Utf8Path;
use formats::packages::{self, Listed};
use formats::usign::SecretKey;
use formats::version::Operator;
use formats::{Limits, Package, ipk};
use model::sha256::HashingReader;
use model::{Arch, Exit, Failure, Result};

use crate::entry::{About, Admitted, Entry, write};
use crate::explain;
use crate::keys::Pair;

/// Name of the index; the signature covers its uncompressed form.
pub(crate) const INDEX: &str = "Packages";
/// Name of the signature file.
pub(crate) const SIGNATURE: &str = "Packages.sig";

/// Fills an empty folder with the packages and their index, signed by the current key: the signature file has room for
/// one.
pub(crate) fn fill(
    admitted: Admitted<'_, Listed>,
    architecture: &Arch,
    keys: &Pair<SecretKey>,
    out: &Utf8Path,
) -> Result<Vec<Listed>> {
    admitted.place(out, |mut listed: Vec<Listed>| {
        listed.sort_by(|a, b| a.filename.cmp(&b.filename));
        let manifest = packages::manifest(&listed);
        write(&out.join("Packages.manifest"), manifest.as_bytes())?;
        write(&out.join("index.json"), packages::index_json(&architecture.0, &listed).as_bytes())?;
        publish(&packages::packages(&manifest), out)?;
        sign(out, &keys.current)?;
        Ok(listed)
    })
}

/// Writes `Packages` and `Packages.gz`; the caller signs them.
pub(crate) fn publish(index: &str, folder: &Utf8Path) -> Result<()> {
    let bug = |error| explain(Exit::Bug, folder, &error);
    write(&folder.join(INDEX), index.as_bytes())?;
    write(&folder.join("Packages.gz"), &packages::compressed(index).map_err(bug)?)
}

/// Signs `Packages` as usign does.
pub(crate) fn sign(folder: &Utf8Path, key: &SecretKey) -> Result<()> {
    let path = folder.join(INDEX);
    let index = std::fs::read(&path).map_err(|error| Failure::io("read the index", &path, &error))?;
    let signature = key.sign(&index);
    // Never publish what cannot be verified: the public half of the key may not match the secret one.
    key.public().verify(&index, &signature).map_err(|error| explain(Exit::Bug, &path, &error))?;
    write(&folder.join(SIGNATURE), signature.to_text().as_bytes())
}

impl Entry for Listed {
    const ANYWHERE: &str = "all";

    fn list(path: &Utf8Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Failure::io("read the package", path, &error))?;
        let mut file = HashingReader::new(file);
        let read = ipk::inspect(&mut file, &Limits::default());
        let metadata = read.map_err(|error| explain(Exit::Failed, path, &error))?;
        // The reader checks that nothing follows the package, so the digest covers the whole file.
        let (_file, sha256, size) = file.finish();
        let filename = path.file_name().unwrap_or_default().to_owned();
        Ok(Listed { control: metadata.control, filename, size, sha256 })
    }

    fn name(&self) -> &str {
        &self.control.package
    }

    fn architecture(&self) -> &str {
        &self.control.architecture
    }

    fn about(&self) -> About {
        About {
            file: self.filename.clone(),
            name: self.control.package.clone(),
            version: self.control.version.clone(),
            license: self.control.stanza.get("License").unwrap_or_default().to_owned(),
        }
    }

    fn kernel(&self) -> Option<&str> {
        let bound = self.control.depends.iter().flat_map(|dependency| &dependency.alternatives);
        let bound = bound.filter(|term| term.name == Package::KERNEL).find_map(|term| term.constraint.as_ref());
        bound.filter(|bound| bound.operator == Operator::Equal).map(|bound| bound.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, kernel, keys};
    use formats::Format;
    use formats::md5::Md5;
    use formats::usign::Signature;
    use model::Digest;

    #[test]
    fn the_index_lists_what_can_be_installed_and_is_signed() {
        let keys = keys(7);
        let (_guard, feed) = feed(&keys);
        let folder = crate::folder(&feed, Format::Ipk, &kernel());
        let index = std::fs::read(folder.join(INDEX)).unwrap();
        let signature = std::fs::read_to_string(folder.join(SIGNATURE)).unwrap();
        keys.opkg.current.public().verify(&index, &Signature::parse(&signature).unwrap()).unwrap();
        let listed = packages::read(&index, &Limits::default()).unwrap();
        let names: Vec<_> = listed.iter().map(|listed| listed.control.package.as_str()).collect();
        assert_eq!(names, ["kmod-nft-offload", "notes"]);
        let unpacked = packages::decompress(File::open(folder.join("Packages.gz")).unwrap(), &Limits::default());
        assert_eq!(unpacked.unwrap(), index);
        for listed in listed {
            let bytes = std::fs::read(folder.join(&listed.filename)).unwrap();
            listed.check_file(bytes.len() as u64, Digest::of(&bytes), || Ok(Md5::of(&bytes))).unwrap();
        }
    }
}
