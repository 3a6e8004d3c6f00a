//! What a guest writes to its disk: an empty qcow2 file above the read-only base.
//!
//! QEMU opens the file below for reading only, so a base that was verified once stays as it is, and any number of
//! guests share it. The file is four clusters, as QEMU's `docs/interop/qcow2.rst` has them: header, table of
//! reference counts, reference counts, and a first-level table without entries.

use std::fs::File;
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result};

use crate::machine::{Disk, DiskFormat};

const MAGIC: [u8; 4] = *b"QFI\xfb";
const VERSION: u32 = 3;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
/// What one entry of the first-level table stands for: a cluster full of second-level entries, 8 bytes for each
/// cluster of data.
const PER_ENTRY: u64 = (CLUSTER as u64 / 8) * CLUSTER as u64;
/// As many entries as the one cluster of the first-level table holds.
const LARGEST: u64 = (CLUSTER as u64 / 8) * PER_ENTRY;
/// `log2` of the bits of a reference count.
const COUNT_ORDER: u32 = 4;
const HEADER_LENGTH: u32 = 104;
/// Type of the header extension that names the format of the file below.
const BASE_FORMAT: u32 = 0xe279_2aca;
/// QEMU's limit for the name of the file below.
const LONGEST_NAME: usize = 1023;
/// Where the size of the disk is in a header.
const SIZE_AT: usize = 24;

/// Writes an empty overlay for a disk; the file must not exist. The base's path is made absolute.
///
/// # Errors
/// `IO…`, and `VM060` for a base that no overlay can have.
pub fn create(path: &Utf8Path, base: &Disk) -> Result<()> {
    let file =
        base.file.canonicalize_utf8().map_err(|error| Failure::io("find the disk of the guest", &base.file, &error))?;
    let bytes = empty(&file, base.format, size(base)?)?;
    let written = File::create_new(path).and_then(|mut file| std::io::Write::write_all(&mut file, &bytes));
    written.map_err(|error| Failure::io("write the guest's overlay", path, &error))
}

/// The bytes of an empty overlay; they are a function of these.
fn empty(base: &Utf8Path, format: DiskFormat, size: u64) -> Result<Vec<u8>> {
    let name = base.as_str().as_bytes();
    if name.len() > LONGEST_NAME {
        return Err(unfit(base, &format!("its path has {} bytes, and QEMU takes {LONGEST_NAME}", name.len())));
    }
    if !(1..=LARGEST).contains(&size) {
        return Err(unfit(base, &format!("it has {size} bytes")));
    }
    let word = format.word().as_bytes();
    let padding = word.len().next_multiple_of(8) - word.len();
    let name_at = HEADER_LENGTH as usize + 8 + word.len() + padding + 8;
    // All three are small: the checks above see to it.
    let [name_length, word_length, entries] = [name.len() as u64, word.len() as u64, size.div_ceil(PER_ENTRY)]
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());

    let mut bytes = Vec::with_capacity(4 * CLUSTER);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend((name_at as u64).to_be_bytes());
    bytes.extend(name_length);
    bytes.extend(CLUSTER_BITS.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes()); // no encryption
    bytes.extend(entries);
    bytes.extend((3 * CLUSTER as u64).to_be_bytes()); // first-level table
    bytes.extend((CLUSTER as u64).to_be_bytes()); // table of reference counts
    bytes.extend(1_u32.to_be_bytes()); // its clusters
    bytes.extend([0; 4 + 8]); // no snapshots
    bytes.extend([0; 3 * 8]); // no features that a reader must, may or should know
    bytes.extend(COUNT_ORDER.to_be_bytes());
    bytes.extend(HEADER_LENGTH.to_be_bytes());
    bytes.extend(BASE_FORMAT.to_be_bytes());
    bytes.extend(word_length);
    bytes.extend(word);
    bytes.resize(bytes.len() + padding + 8, 0); // and the end of the extensions
    bytes.extend(name);
    bytes.resize(CLUSTER, 0);
    bytes.extend((2 * CLUSTER as u64).to_be_bytes()); // where the counts are
    bytes.resize(2 * CLUSTER, 0);
    bytes.extend([0, 1].repeat(4)); // each of the four clusters is used once
    bytes.resize(4 * CLUSTER, 0);
    Ok(bytes)
}

/// Size of a disk as its guest sees it, in bytes.
fn size(disk: &Disk) -> Result<u64> {
    let failed = |error: std::io::Error| Failure::io("read the disk of the guest", &disk.file, &error);
    let mut file = File::open(&disk.file).map_err(failed)?;
    match disk.format {
        DiskFormat::Raw => Ok(file.metadata().map_err(failed)?.len()),
        DiskFormat::Qcow2 => {
            let mut head = [0; SIZE_AT + 8];
            file.read_exact(&mut head).map_err(failed)?;
            match (head.strip_prefix(&MAGIC), head.last_chunk::<8>()) {
                (Some(_), Some(size)) => Ok(u64::from_be_bytes(*size)),
                _ => Err(unfit(&disk.file, "it is no qcow2 file")),
            }
        }
    }
}

/// Where the disk that belongs to a saved state is kept.
pub fn beside(state: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{state}.disk"))
}

fn unfit(base: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "VM060",
        what: "no guest can run above this disk",
        why,
        fix: "remove it from the cache with `cargo xtask clean`; the next run makes it again",
    })
    .at(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn an_overlay_is_as_large_as_its_base_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Utf8Path::from_path(folder.path()).unwrap().join(name);
        std::fs::write(path("base"), vec![7; 1_000_000]).unwrap();
        let raw = Disk { file: path("base"), format: DiskFormat::Raw };
        create(&path("one"), &raw).unwrap();
        let bytes = std::fs::read(path("one")).unwrap();
        assert_eq!((bytes.len(), number(&bytes, SIZE_AT)), (4 * CLUSTER, 1_000_000));
        let name_at = usize::try_from(number(&bytes, 8)).unwrap();
        let base = path("base").canonicalize_utf8().unwrap();
        assert!(bytes[name_at..].starts_with(base.as_str().as_bytes()));
        assert!(bytes[112..].starts_with(b"raw\0"), "the format is told, not guessed");
        assert_eq!(bytes[HEADER_LENGTH as usize..][..4], BASE_FORMAT.to_be_bytes());

        let above = Disk { file: path("one"), format: DiskFormat::Qcow2 };
        create(&path("two"), &above).unwrap();
        assert_eq!(number(&std::fs::read(path("two")).unwrap(), SIZE_AT), 1_000_000);
        assert_eq!(create(&path("two"), &above).unwrap_err().id(), "IO001", "nothing is written over");
        assert_eq!(std::fs::read(path("base")).unwrap(), vec![7; 1_000_000]);
    }

    #[test]
    fn a_large_disk_has_more_entries() {
        for (size, entries) in [(1, 1), (PER_ENTRY, 1), (PER_ENTRY + 1, 2), (LARGEST, 8192)] {
            let bytes = empty("/b".into(), DiskFormat::Raw, size).unwrap();
            assert_eq!(bytes[36..40], u32::to_be_bytes(entries), "{size}");
        }
    }

    #[test]
    fn what_cannot_be_a_base_is_refused() {
        for (path, size) in [("/b".to_owned(), 0), ("/b".to_owned(), LARGEST + 1), (format!("/{:01023}", 0), 1)] {
            let failure = empty(path.as_str().into(), DiskFormat::Raw, size).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("VM060", Exit::Host), "{size}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("base");
        let disk = Disk { file: file.clone(), format: DiskFormat::Qcow2 };
        assert_eq!(create("/no/overlay".into(), &disk).unwrap_err().id(), "IO004");
        std::fs::write(&file, [0; 200]).unwrap();
        assert_eq!(create(&file.with_extension("new"), &disk).unwrap_err().id(), "VM060");
    }
}
