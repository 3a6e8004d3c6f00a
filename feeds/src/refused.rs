//! Copies of a feed that a client must refuse: what the negative scenarios serve.

use camino::Utf8Path;
use formats::depend::{Dependency, Term};
use formats::usign::SecretKey;
use formats::{Limits, Package, ipk};
use model::{Arch, Exit, Failure, Result};

use crate::assemble::{place, publish_index, sign, write};
use crate::{assemble, explain, keys};

/// What is wrong with the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Signed by a key that nobody trusts.
    WrongKey,
    /// One byte of this package's file changed after the index was signed.
    FlippedPackage(&'static str),
    /// One byte of the index changed after it was signed.
    FlippedIndex,
    /// Properly signed, but every kmod depends on a kernel with another configuration hash.
    OtherKernel,
}

/// Fills the empty directory `out` with a spoiled copy of `feed`, signed by `key` where that is not the point.
pub fn spoil(feed: &Utf8Path, spoil: Spoil, architecture: &Arch, key: &SecretKey, out: &Utf8Path) -> Result<()> {
    if spoil == Spoil::OtherKernel {
        return other_kernel(feed, architecture, key, out);
    }
    for entry in entries(feed)? {
        place(&feed.join(&entry), &out.join(&entry))?;
    }
    match spoil {
        Spoil::WrongKey => {
            // Links are shared with the good feed: what changes is removed first.
            remove(&out.join("Packages.sig"))?;
            sign(out, &keys::generate()?)
        }
        Spoil::FlippedIndex => {
            let path = feed.join("Packages");
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read the index", &path, &error))?;
            // The version of the first package: a change that nothing but the signature can notice.
            let changed = text.replacen("-r1\n", "-r2\n", 1);
            if changed == text {
                return Err(nothing_to_spoil(&path, "no version ends with -r1"));
            }
            remove(&out.join("Packages"))?;
            remove(&out.join("Packages.gz"))?;
            publish_index(&changed, out)
        }
        Spoil::FlippedPackage(name) => {
            let file = entries(feed)?
                .into_iter()
                .find(|file| file.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
                .ok_or_else(|| nothing_to_spoil(feed, name))?;
            let path = feed.join(&file);
            let mut bytes = std::fs::read(&path).map_err(|error| Failure::io("read the package", &path, &error))?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x01;
            }
            remove(&out.join(&file))?;
            write(&out.join(&file), &bytes)
        }
        Spoil::OtherKernel => Ok(()),
    }
}

/// The same packages again, as if built for a kernel whose configuration hash differs.
fn other_kernel(feed: &Utf8Path, architecture: &Arch, key: &SecretKey, out: &Utf8Path) -> Result<()> {
    let aside = tempfile::tempdir().map_err(|error| Failure::io("make a temporary folder", "/tmp", &error))?;
    let aside = Utf8Path::from_path(aside.path()).unwrap_or(Utf8Path::new("/tmp"));
    let mut files = Vec::new();
    for name in entries(feed)?.into_iter().filter(|name| name.ends_with(".ipk")) {
        let path = feed.join(&name);
        let bytes = std::fs::read(&path).map_err(|error| Failure::io("read the package", &path, &error))?;
        let read = ipk::read(&bytes[..], &Limits::default()).map_err(|error| explain(Exit::Failed, &path, &error))?;
        let control = read.metadata.control;
        let text = |field: &str| control.stanza.get(field).unwrap_or_default().to_owned();
        let copy = Package {
            name: control.package.clone(),
            version: control.version.clone(),
            architecture: control.architecture.clone(),
            depends: control.depends.iter().map(of_other_kernel).collect(),
            description: text("Description"),
            license: text("License"),
            section: text("Section"),
            files: read.entries,
            ..Package::default()
        };
        let target = aside.join(&name);
        write(&target, &ipk::to_vec(&copy).map_err(|error| explain(Exit::Bug, &path, &error))?)?;
        files.push(target);
    }
    let listed = assemble(&files, architecture, key, out)?;
    if listed.iter().any(|package| package.control.depends.iter().any(names_kernel)) {
        return Ok(());
    }
    Err(nothing_to_spoil(feed, "no package depends on a kernel"))
}

fn names_kernel(dependency: &Dependency) -> bool {
    dependency.alternatives.iter().any(|term| term.name == "kernel")
}

/// `kernel (=6.12.1~abc-r1)` becomes `kernel (=6.12.1~bcd-r1)`: every hex digit one further.
fn of_other_kernel(dependency: &Dependency) -> Dependency {
    let mut copy = dependency.clone();
    for Term { name, constraint } in &mut copy.alternatives {
        let Some(constraint) = constraint.as_mut().filter(|_| name == "kernel") else { continue };
        let Some((version, rest)) = constraint.version.split_once('~') else { continue };
        let (hash, release) = rest.split_once('-').unwrap_or((rest, ""));
        let next = |digit: char| digit.to_digit(16).and_then(|value| char::from_digit((value + 1) % 16, 16));
        let hash: String = hash.chars().map(|digit| next(digit).unwrap_or(digit)).collect();
        constraint.version = format!("{version}~{hash}-{release}");
    }
    copy
}

fn entries(feed: &Utf8Path) -> Result<Vec<String>> {
    let io = |error: &std::io::Error| Failure::io("list the feed", feed, error);
    let mut names = Vec::new();
    for entry in feed.read_dir_utf8().map_err(|error| io(&error))? {
        names.push(entry.map_err(|error| io(&error))?.file_name().to_owned());
    }
    names.sort();
    Ok(names)
}

fn remove(path: &Utf8Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| Failure::io("replace a file of the copy", path, &error))
}

fn nothing_to_spoil(place: &Utf8Path, why: &str) -> Failure {
    Failure::new(
        Exit::Bug,
        "FEED004",
        "the feed has nothing to spoil for a negative scenario",
        why,
        "the scenario would prove nothing: adapt it to what the feed holds",
    )
    .at(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::feed;
    use formats::packages;
    use formats::usign::Signature;

    fn spoiled(kind: Spoil) -> (SecretKey, tempfile::TempDir, camino::Utf8PathBuf, Result<()>) {
        let key = SecretKey::from_random([7; 40]);
        let (guard, good) = feed(&key);
        let before = snapshot(&good);
        let out = good.with_file_name("spoiled");
        std::fs::create_dir(&out).unwrap();
        let result = spoil(&good, kind, &Arch("x86_64".into()), &key, &out);
        assert_eq!(snapshot(&good), before, "the good feed must stay as it is");
        (key, guard, out, result)
    }

    fn snapshot(feed: &Utf8Path) -> Vec<(String, Vec<u8>)> {
        let names = entries(feed).unwrap();
        names.into_iter().map(|name| (name.clone(), std::fs::read(feed.join(name)).unwrap())).collect()
    }

    fn signature_holds(key: &SecretKey, feed: &Utf8Path) -> bool {
        let text = std::fs::read_to_string(feed.join("Packages.sig")).unwrap();
        let index = std::fs::read(feed.join("Packages")).unwrap();
        key.public().verify(&index, &Signature::parse(&text).unwrap()).is_ok()
    }

    #[test]
    fn each_copy_is_wrong_in_its_own_way_only() {
        for (kind, signed, files_match) in [
            (Spoil::WrongKey, false, true),
            (Spoil::FlippedIndex, false, true),
            (Spoil::FlippedPackage("kmod-nft-offload"), true, false),
            (Spoil::OtherKernel, true, true),
        ] {
            let (key, _guard, out, result) = spoiled(kind);
            result.unwrap();
            assert_eq!(signature_holds(&key, &out), signed, "{kind:?}");
            let index = std::fs::read(out.join("Packages")).unwrap();
            let all_match = packages::read(&index, &Limits::default()).unwrap().iter().all(|listed| {
                let bytes = std::fs::read(out.join(&listed.filename)).unwrap();
                listed.check_file(bytes.len() as u64, formats::sha256::Digest::of(&bytes)).is_ok()
            });
            assert_eq!(all_match, files_match, "{kind:?}");
        }
    }

    #[test]
    fn another_kernel_differs_in_the_hash_only() {
        let (_key, _guard, out, result) = spoiled(Spoil::OtherKernel);
        result.unwrap();
        let index = std::fs::read_to_string(out.join("Packages")).unwrap();
        assert!(index.contains("kernel (= 6.12.1~bb-r1)") || index.contains("kernel (=6.12.1~bb-r1)"), "{index}");
    }

    #[test]
    fn a_feed_without_the_package_can_not_be_spoiled() {
        let (_key, _guard, _out, result) = spoiled(Spoil::FlippedPackage("kmod-absent"));
        assert_eq!(result.unwrap_err().id(), "FEED004");
    }
}
