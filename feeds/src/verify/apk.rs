//! The part for apk: everything that decides on the host whether apk can install a package.
//!
//! Read are the index, through its signature, and each package that it lists, down to the digest of every
//! file; then each dependency is looked up. Nothing is installed.

use std::fs::File;
use std::io::BufReader;

use camino::Utf8Path;
use formats::apk::index::Index;
use formats::apk::{self, Info};
use formats::{Limits, Package, ec};
use model::{Arch, Exit, Failure, KernelId, Result};

use crate::apk::{INDEX, open};
use crate::explain;

/// Name and version of every package, by name.
pub(super) fn verify(
    folder: &Utf8Path,
    architecture: &Arch,
    kernel: &KernelId,
    keys: &[ec::PublicKey],
) -> Result<Vec<(String, String)>> {
    let limits = Limits::default();
    let path = folder.join(INDEX);
    let (adb, _) = open(&path)?;
    adb.verify(keys).map_err(|error| explain(Exit::Mismatch, &path, &error))?;
    let index = Index::from_adb(&adb, &limits).map_err(|error| explain(Exit::Failed, &path, &error))?;
    for listed in &index.packages {
        let name = index.file_name(listed).map_err(|error| explain(Exit::Failed, &path, &error))?;
        let path = folder.join(name);
        let mismatch = |error| explain(Exit::Mismatch, &path, &error);
        let file = File::open(&path).map_err(|error| Failure::io("read the package", &path, &error))?;
        let size = file.metadata().map_err(|error| Failure::io("read the package", &path, &error))?.len();
        let trusted = |adb: &formats::adb::Adb| listed.check_file(adb, size, &limits);
        apk::inspect(BufReader::new(file), &limits, trusted).map_err(mismatch)?;
    }
    let infos: Vec<&Info> = index.packages.iter().map(|listed| &listed.info).collect();
    can_be_installed(&infos, architecture, kernel).map_err(|failure| failure.at(&path))?;
    Ok(infos.into_iter().map(|info| (info.name.clone(), info.version.clone())).collect())
}

/// Whether a router with this kernel and nothing else finds all that the packages need among them.
fn can_be_installed(infos: &[&Info], architecture: &Arch, kernel: &KernelId) -> Result<()> {
    let kernel = Info { name: Package::KERNEL.into(), version: kernel.package_version(), ..Info::default() };
    for info in infos {
        let refused = |why: String| {
            Failure::new(
                Exit::Failed,
                "FEED006",
                format!("{} could not be installed by apk", info.file_name()),
                why,
                "build the packages for this router again, all of them: cargo xtask feed",
            )
        };
        if info.arch != architecture.0 && info.arch != "noarch" {
            return Err(refused(format!("it is for {}, and the router is {architecture}", info.arch)));
        }
        for dependency in &info.depends {
            let mut others = infos.iter().copied().filter(|other| other.name != info.name).chain([&kernel]);
            let holds = match dependency.is_conflict() {
                true => others.all(|other| other.satisfies(dependency)),
                false => others.any(|other| other.satisfies(dependency)),
            };
            if !holds {
                let has = if dependency.name == kernel.name { kernel.file_name() } else { "no such package".into() };
                return Err(refused(format!("it needs {dependency}; the feed and its router have {has}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_needs_must_be_there() {
        let kernel = KernelId { version: "6.12.1".into(), config_hash: "aa".into(), release: 1 };
        let info = |name: &str, arch: &str, depends: &[&str]| Info {
            name: name.into(),
            version: "1-r1".into(),
            arch: arch.into(),
            depends: depends.iter().map(|text| text.parse().unwrap()).collect(),
            ..Info::default()
        };
        let check = |infos: &[Info]| {
            let infos: Vec<&Info> = infos.iter().collect();
            can_be_installed(&infos, &Arch("x86_64".into()), &kernel).map_err(|failure| failure.id())
        };
        let below = || info("below", "noarch", &[]);
        assert_eq!(check(&[info("a", "x86_64", &["kernel=6.12.1~aa-r1", "below>=1", "!gone"]), below()]), Ok(()));
        for (arch, depends) in [
            ("all", &[][..]),
            ("mips_24kc", &[]),
            ("x86_64", &["kernel=6.12.1~bb-r1"]),
            ("x86_64", &["below>1-r1"]),
            ("x86_64", &["missing"]),
            ("x86_64", &["!below"]),
            ("x86_64", &["a"]),
        ] {
            assert_eq!(check(&[info("a", arch, depends), below()]), Err("FEED006"), "{arch} {depends:?}");
        }
    }
}
