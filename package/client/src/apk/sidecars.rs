//! The files beside the database: `scripts.tar.gz` and `triggers`.
//!
//! Both refer to packages by identity, so entries of versions that are gone are ignored. They are written before the
//! database, which decides.

use std::collections::BTreeMap;
use std::io;

use formats::apk::Script;
use formats::gzip;
use formats::tar::{Reader, Writer};
use formats::{Content, Entry, Limits};
use model::Hex;

use super::installed::Installed;
use crate::error::{Error, Result};
use crate::root::{Access, Root};

pub(super) const SCRIPTS: &str = "/lib/apk/db/scripts.tar.gz";
const TRIGGERS: &str = "/lib/apk/db/triggers";
/// The largest size of either file, also when unpacked.
const MAX_BYTES: u64 = 64 << 20;

/// The name under which a package's scripts are stored: `NAME-VERSION.X1HEX`.
fn key(package: &Installed) -> String {
    let identity = package.info.unique_id.map(|id| Hex(&id).to_string()).unwrap_or_default();
    format!("{}.X1{identity}", package.title())
}

/// Adds scripts and triggers to the packages of the database.
pub(super) fn load(root: &Root, packages: &mut BTreeMap<String, Installed>) -> Result<()> {
    let bad = |error: formats::Error| Error::State { path: SCRIPTS.into(), problem: error.to_string() };
    let mut scripts = match root.read(SCRIPTS.into(), MAX_BYTES)? {
        Some(bytes) => read_scripts(&bytes).map_err(bad)?,
        None => BTreeMap::new(),
    };
    let triggers = root.read(TRIGGERS.into(), MAX_BYTES)?.unwrap_or_default();
    let triggers = String::from_utf8_lossy(&triggers).into_owned();
    let watched: BTreeMap<&str, &str> = triggers.lines().filter_map(|line| line.split_once(' ')).collect();
    for package in packages.values_mut() {
        package.scripts = scripts.remove(&key(package)).unwrap_or_default();
        let patterns = watched.get(package.identity().as_str()).copied().unwrap_or_default();
        package.triggers = patterns.split_ascii_whitespace().map(str::to_owned).collect();
    }
    Ok(())
}

fn read_scripts(bytes: &[u8]) -> Result<BTreeMap<String, BTreeMap<Script, Vec<u8>>>, formats::Error> {
    let limits = Limits::default();
    let text = gzip::decompress(bytes, MAX_BYTES)?;
    let mut archive = Reader::new(&text[..], &limits);
    let mut scripts: BTreeMap<String, BTreeMap<Script, Vec<u8>>> = BTreeMap::new();
    while let Some(member) = archive.next_member()? {
        let Some((package, kind)) = member.entry.path.rsplit_once('.') else { continue };
        if let Some(script) = Script::ALL.into_iter().find(|script| script.name() == kind) {
            scripts.entry(package.to_owned()).or_default().insert(script, archive.bytes()?);
        }
    }
    Ok(scripts)
}

/// Writes the scripts and triggers of the database's packages.
pub(super) fn save(root: &Root, packages: &BTreeMap<String, Installed>) -> Result<()> {
    let failed = |error: formats::Error| Error::io("write", SCRIPTS)(io::Error::from(error));
    let scripts = write_scripts(packages).map_err(failed)?;
    root.make_parents(SCRIPTS.into())?;
    root.write(SCRIPTS.into(), Access::root(0o644), true, &mut &scripts[..])?;
    let watching = packages.values().filter(|package| !package.triggers.is_empty());
    let lines: String =
        watching.map(|package| format!("{} {}\n", package.identity(), package.triggers.join(" "))).collect();
    root.write(TRIGGERS.into(), Access::root(0o644), true, &mut lines.as_bytes())
}

fn write_scripts(packages: &BTreeMap<String, Installed>) -> Result<Vec<u8>, formats::Error> {
    let mut archive = Writer::new(Vec::new(), 0);
    for package in packages.values() {
        for (script, text) in &package.scripts {
            let path = format!("{}.{}", key(package), script.name());
            archive.entry(&Entry::file(path, 0o755, Content::from(text.clone())))?;
        }
    }
    gzip::compress(&archive.finish()?.0, gzip::Level::Default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_archive_of_scripts_is_no_shorter_one() {
        let mut package = Installed::kernel("6.12-r1", "x86_64");
        package.scripts =
            [(Script::PostInstall, b"#!/bin/sh\n".to_vec()), (Script::Trigger, b"exit\n".to_vec())].into();
        let good = write_scripts(&[("kernel".to_owned(), package)].into()).unwrap();
        assert_eq!(read_scripts(&good).unwrap().len(), 1);
        for length in 0..good.len() {
            assert!(read_scripts(&good[..length]).is_err(), "cut at {length}");
        }
        let bomb = gzip::compress(&vec![0; (64 << 20) + 1], gzip::Level::Default).unwrap();
        assert_eq!(read_scripts(&bomb).unwrap_err().id(), "GZ006");
    }

    proptest::proptest! {
        #[test]
        fn no_archive_of_scripts_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
            let _refused = read_scripts(&bytes);
            let _refused = read_scripts(&gzip::compress(&bytes, gzip::Level::Default).unwrap());
        }
    }

    #[test]
    fn scripts_are_filed_as_apk_files_them() {
        let listing = include_str!("../../../formats/tests/golden/apk/installed-scripts-tar.txt");
        let id = "f7093881d81638e984db45ff5b7cab45a6f08f23";
        let mut package = Installed::kernel("1.2.3-r4", "noarch");
        package.info.name = "hello".into();
        package.info.unique_id = Some(model::unhex(id).unwrap());
        assert!(listing.contains(&format!(" {}.post-install\n", key(&package))), "{}", key(&package));
    }
}
