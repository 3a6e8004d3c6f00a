//! Reads a folder of a published feed, and checks its index's signature and its files' digests.

use std::fs::File;
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};
use formats::adb::Adb;
use formats::apk::index::Index;
use formats::md5::Md5;
use formats::packages::{self, Listed};
use formats::usign::Signature;
use formats::{Format, Limits, ec, usign};
use model::{Exit, Failure, Problem, Result};

use crate::entry::Entry as _;
use crate::trust::Trust;
use crate::{apk, explain, opkg};

/// A package file that the index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) file: Utf8PathBuf,
    /// Such as `x86_64`; `None` for one that fits every router.
    pub(crate) architecture: Option<String>,
    /// The version of the package `kernel` that it depends on, if any.
    pub(crate) kernel: Option<String>,
}

/// Reads a folder: its signature, its index, and all bytes of every listed file.
///
/// # Errors
/// `FEED008` when no trusted key signed the index; errors about the index or a file.
pub(crate) fn open(folder: &Utf8Path, format: Format, trust: &Trust) -> Result<Vec<Item>> {
    match format {
        Format::Ipk => open_opkg(folder, &trust.usign),
        Format::Apk => open_apk(folder, &trust.ec),
    }
}

fn open_opkg(folder: &Utf8Path, keys: &[usign::PublicKey]) -> Result<Vec<Item>> {
    let path = folder.join(opkg::INDEX);
    let index = read(&path, Limits::default().index)?;
    let signature = String::from_utf8_lossy(&read(&folder.join(opkg::SIGNATURE), 4096)?).into_owned();
    let signature = Signature::parse(&signature).map_err(|error| explain(Exit::Mismatch, &path, &error))?;
    usign::verify(&index, &signature, keys).map_err(|error| untrusted(&path, &error.to_string()))?;
    let refuse = |error: &formats::Error| explain(Exit::Mismatch, &path, error);
    let item = |listed: &Listed| {
        let file = folder.join(&listed.filename);
        let found: Listed = Listed::list(&file)?;
        let md5 = || File::open(&file).and_then(Md5::of_reader);
        listed.check_file(found.size, found.sha256, md5).map_err(|error| refuse(&error))?;
        let kernel = listed.kernel().map(str::to_owned);
        let architecture = Some(listed.control.architecture.clone()).filter(|arch| arch != Listed::ANYWHERE);
        Ok(Item { file, architecture, kernel })
    };
    packages::read(&index, &Limits::default()).map_err(|error| refuse(&error))?.iter().map(item).collect()
}

fn open_apk(folder: &Utf8Path, keys: &[ec::PublicKey]) -> Result<Vec<Item>> {
    use formats::apk::index::Listed;

    let path = folder.join(apk::INDEX);
    let refuse = |error: formats::Error| explain(Exit::Mismatch, &path, &error);
    let adb = Adb::read(&read(&path, Limits::default().index)?[..], &Limits::default()).map_err(refuse)?;
    adb.verify(keys).map_err(|error| untrusted(&path, &error.to_string()))?;
    let index = Index::from_adb(&adb, &Limits::default()).map_err(refuse)?;
    let item = |listed: &Listed| {
        let file = folder.join(index.file_name(listed).map_err(refuse)?);
        let _every_byte: Listed = Listed::list(&file)?;
        let (adb, size) = apk::open(&file)?;
        listed.check_file(&adb, size, &Limits::default()).map_err(refuse)?;
        let kernel = listed.kernel().map(str::to_owned);
        let architecture = Some(listed.info.arch.clone()).filter(|arch| arch != Listed::ANYWHERE);
        Ok(Item { file, architecture, kernel })
    };
    index.packages.iter().map(item).collect()
}

fn read(path: &Utf8Path, limit: u64) -> Result<Vec<u8>> {
    let io = |error: std::io::Error| Failure::io("read the published feed", path, &error);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(explain(Exit::Mismatch, path, &formats::Error::IndexTooLarge { limit }));
    }
    Ok(bytes)
}

pub(crate) fn untrusted(path: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "FEED008",
        what: "no trusted key signed the published index",
        why: format!("{why}; signing its content again would vouch for somebody else's packages"),
        fix: "if a key of yours signed it, give its public half with --key",
    })
    .at(path)
}
