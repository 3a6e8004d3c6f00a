//! The downloads that all runs and work trees share, by digest.
//!
//! ```text
//! openwrt-files/<sha256>          a file, named by its digest, read-only
//! openwrt-files/<sha256>.stamp    its size and origin; the stamp's time is that of the last use
//! openwrt-files/<sha256>.lock     held while it is fetched
//! openwrt-files/<sha256>.tmp/     the part that was fetched so far
//! ```
//!
//! The layout is that of a stage of `xtask`, so that `clean` knows what may be removed.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Limits;
use formats::apk::index::Listed;
use host::aside;
use host::files::{create_folder, remove, write};
use host::lock::{Lock, Waiting};
use model::{Digest, Exit, Failure, Problem, Result};

use super::mirror::Part;
use super::resolved::{Artifact, Role};
use super::transfer::{Link, STAGE};
use super::trouble::Trouble;

/// The largest file that is fetched; an SDK has a few hundred megabytes.
const MAX_SIZE: u64 = 8 << 30;

/// The folder of the downloads.
#[derive(Debug, Clone)]
pub(super) struct Store(Utf8PathBuf);

/// The paths that belong to one file.
struct Place {
    file: Utf8PathBuf,
    stamp: Utf8PathBuf,
    lock: Utf8PathBuf,
    temporary: Utf8PathBuf,
}

impl Store {
    /// The store in a cache folder.
    pub(super) fn below(cache: &Utf8Path) -> Self {
        Store(cache.join("openwrt-files"))
    }

    /// The path of a file, if it was fetched before.
    pub(super) fn get(&self, digest: Digest) -> Option<Utf8PathBuf> {
        self.place(digest).finished()
    }

    /// Fetches a file unless it is in the store; completes a part that an earlier run left. Calls `came` with the
    /// number of bytes that are there.
    ///
    /// # Errors
    /// `DIG001` when the bytes do not match the digest, which is never retried; `MIR…`; `CACHE001`.
    pub(super) fn fetch(
        &self,
        link: &Link,
        artifact: &Artifact,
        waiting: &Waiting,
        mut came: impl FnMut(u64),
    ) -> Result<Utf8PathBuf> {
        let place = self.place(artifact.sha256);
        create_folder(&self.0)?;
        let _lock = Lock::take(&place.lock, waiting)?;
        if let Some(file) = place.finished() {
            return Ok(file);
        }
        let address = link.mirror.address(&artifact.path);
        let mut transfer = || {
            place.transfer(link, artifact, &mut came).map_err(|trouble| {
                if place.known_part().is_none() {
                    let _nothing_to_complete = remove(&place.temporary);
                }
                trouble.failure(&address, &link.patience)
            })
        };
        let mut got = transfer()?;
        if got.joined && got.digest != artifact.sha256 {
            // The old part may be wrong, and it is ours: fetch the whole file from the mirror once more.
            link.events.line(STAGE, format!("{}: the completed part does not fit; starting over", artifact.path));
            remove(&place.temporary)?;
            got = transfer()?;
        }
        if got.digest != artifact.sha256 {
            remove(&place.temporary)?;
            return Err(other_bytes(artifact, got.digest, &address));
        }
        place.finish(got.size, &address)
    }

    fn place(&self, digest: Digest) -> Place {
        let sibling = |ending: &str| self.0.join(format!("{digest}.{ending}"));
        Place {
            file: self.0.join(digest.to_string()),
            stamp: sibling("stamp"),
            lock: sibling("lock"),
            temporary: sibling("tmp"),
        }
    }
}

/// The result of a transfer.
struct Got {
    digest: Digest,
    size: u64,
    /// Whether a part came from an earlier run.
    joined: bool,
}

impl Place {
    /// The file, if it was verified and still has its size; updates the time of use.
    fn finished(&self) -> Option<Utf8PathBuf> {
        let stamp = std::fs::read_to_string(&self.stamp).ok()?;
        let size: u64 = stamp.lines().next()?.parse().ok()?;
        if std::fs::metadata(&self.file).ok()?.len() != size {
            return None;
        }
        if let Ok(file) = File::options().append(true).open(&self.stamp) {
            let _read_only_cache = file.set_modified(SystemTime::now());
        }
        Some(self.file.clone())
    }

    fn part(&self) -> Utf8PathBuf {
        self.temporary.join("part")
    }

    fn validator(&self) -> Utf8PathBuf {
        self.temporary.join("validator")
    }

    /// Fetches into the part, resuming where it ended, and hashes the result.
    fn transfer(&self, link: &Link, artifact: &Artifact, came: &mut impl FnMut(u64)) -> Result<Got, Trouble> {
        create_folder(&self.temporary).map_err(Trouble::Ended)?;
        let limit = artifact.size.unwrap_or(MAX_SIZE);
        let before = self.known_part().map_or(0, |(length, _)| length);
        let mut told = before;
        let mut joined = before > 0;
        came(before);
        if before > 0 && artifact.size == Some(before) {
            // An earlier run ended between the last byte and the check.
            return self.hashed(true, artifact);
        }
        link.persist(&artifact.path, || {
            let known = self.known_part();
            let part = known.as_ref().map(|(length, validator)| Part { length: *length, validator });
            let stream = match link.mirror.open(&artifact.path, part) {
                Err(Trouble::OtherRange) => {
                    remove(&self.temporary).and_then(|()| create_folder(&self.temporary)).map_err(Trouble::Ended)?;
                    return Err(Trouble::OtherRange);
                }
                opened => opened?,
            };
            joined &= stream.begins > 0;
            let mut file = self.open_part(stream.begins, stream.validator.as_deref()).map_err(Trouble::Ended)?;
            // Bytes that must be fetched again were reported before.
            let mut place = stream.begins;
            link.copy(stream, &mut file, &self.part(), limit, |length| {
                place += length;
                came(place.saturating_sub(told.max(place - length)));
                told = told.max(place);
            })
        })?;
        self.hashed(joined, artifact)
    }

    /// Reads every byte. An apk package is known by its metadata, which has the digests of all else.
    fn hashed(&self, joined: bool, artifact: &Artifact) -> Result<Got, Trouble> {
        let path = self.part();
        let io = |error: std::io::Error| Trouble::Ended(Failure::io("read the download", &path, &error));
        let mut file = File::open(&path).map_err(io)?;
        let (digest, size) = Digest::of_reader(&mut file).map_err(io)?;
        if artifact.role != Role::ApkPackage {
            return Ok(Got { digest, size, joined });
        }
        file.rewind().map_err(io)?;
        let read = Listed::of_file(BufReader::new(file), size, &Limits::default());
        let fits = artifact.size.is_none_or(|expected| expected == size);
        // What is no whole package has no such digest; that of its bytes fits no index.
        let digest = read.ok().filter(|_| fits).map_or(digest, |listed| listed.sha256);
        Ok(Got { digest, size, joined })
    }

    /// How many bytes of which version are there; `None` if the version is not known.
    fn known_part(&self) -> Option<(u64, String)> {
        let length = std::fs::metadata(self.part()).ok()?.len();
        let validator = std::fs::read_to_string(self.validator()).ok()?;
        (length > 0).then_some((length, validator))
    }

    /// Opens the part to continue at `begins`. The version is written before its first byte.
    fn open_part(&self, begins: u64, validator: Option<&str>) -> Result<File> {
        let path = self.part();
        let io = |error: std::io::Error| Failure::io("write the download", &path, &error);
        if begins == 0 {
            let _absent = std::fs::remove_file(self.validator());
        }
        let mut file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io)?;
        file.set_len(begins).map_err(io)?;
        file.seek(SeekFrom::Start(begins)).map_err(io)?;
        if let Some(validator) = validator.filter(|_| begins == 0) {
            write(&self.validator(), validator.as_bytes())?;
        }
        Ok(file)
    }

    /// Renames the verified part to its final name, then writes the stamp.
    fn finish(&self, size: u64, address: &str) -> Result<Utf8PathBuf> {
        let io = |error: std::io::Error| Failure::io("keep the download", &self.file, &error);
        let part = self.part();
        let file = File::open(&part).map_err(io)?;
        file.set_permissions(PermissionsExt::from_mode(0o444)).map_err(io)?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&part, &self.file).map_err(io)?;
        aside::write(&self.stamp, format!("{size}\n{address}\n"))?;
        remove(&self.temporary)?;
        Ok(self.file.clone())
    }
}

fn other_bytes(artifact: &Artifact, found: Digest, address: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "DIG001",
        what: format!("{} has other bytes than those that were signed", artifact.path.file_name().unwrap_or_default()),
        why: format!("its sha256 should be {}\nand is            {found}", artifact.sha256),
        fix: "do not use it. The mirror may have a damaged copy: name another one with --mirror, and tell the owner \
              of this one",
    })
    .at(address)
}
