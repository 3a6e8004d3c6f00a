//! Decompresses a release's disk image for QEMU, once; it is never written to again.
//!
//! OpenWrt compresses with gzip and may append metadata for its own upgrades (`fwtool`) after the end of the stream,
//! which gzip(1) reports as garbage. All-zero parts become holes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;
use flate2::bufread::GzDecoder;
use model::{Cancel, Events, Exit, Failure, Problem, Result};

/// The stage's name in events.
pub const STAGE: &str = "openwrt-image";

/// Version of what [`unpack`] makes from the same archive: the disk, byte by byte; saved states depend on it.
pub const UNPACKED: u32 = 1;

/// The largest disk that is unpacked; a release's has some hundred MiB.
const LARGEST: u64 = 8 << 30;

/// Blocks of this many zero bytes become holes.
const BLOCK: usize = 64 << 10;

/// The smallest disk, in bytes.
const SECTOR: u64 = 512;

/// Unpacks a disk into the file `out`, which must not exist, and makes it read-only. Returns its size in bytes.
///
/// # Errors
/// `SDK070` for a file that is not a compressed disk, `IO…`, `RUN001` when the user interrupted.
pub fn unpack(packed: &Utf8Path, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<u64> {
    let open = |error: io::Error| Failure::io("open the image", packed, &error);
    let file = File::open(packed).map_err(open)?;
    let mut disk = File::create_new(out).map_err(|error| Failure::io("write the unpacked image", out, &error))?;
    let unpacked = copy(BufReader::with_capacity(1 << 20, file), &mut disk, events, cancel);
    cancel.check()?;
    let size = unpacked.map_err(|error| match error.raw_os_error() {
        Some(_) => Failure::io("write the unpacked image", out, &error),
        None => no_disk(packed, &error.to_string()),
    })?;
    if size < SECTOR {
        return Err(no_disk(packed, &format!("it has {size} bytes after decompression")));
    }
    disk.set_permissions(PermissionsExt::from_mode(0o444))
        .and_then(|()| disk.sync_all())
        .map_err(|error| Failure::io("write the unpacked image", out, &error))?;
    Ok(size)
}

fn copy(packed: impl io::BufRead, disk: &mut File, events: &Events, cancel: &Cancel) -> io::Result<u64> {
    let mut reader = GzDecoder::new(packed);
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        let count = fill(&mut reader, &mut block)?;
        let Some(bytes) = block.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        size += bytes.len() as u64;
        if size > LARGEST || cancel.is_cancelled() {
            return Err(io::Error::other(format!("it has more than {LARGEST} bytes after decompression")));
        }
        if bytes.iter().all(|&byte| byte == 0) {
            disk.seek(SeekFrom::Start(size))?;
        } else {
            disk.write_all(bytes)?;
        }
        events.progress(STAGE, size >> 20, None);
    }
    disk.set_len(size)?;
    Ok(size)
}

/// Reads until the block is full or the stream ends.
fn fill(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = block.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn no_disk(packed: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "SDK070",
        what: "the release's image is not a compressed disk",
        why: format!("{why}; the file's signed digest is right"),
        fix: "correct the target's images in feeds/matrix.yaml, or use another release",
    })
    .at(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::os::unix::fs::MetadataExt;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks these bytes; the folder contains the result as `disk`.
    fn unpacked(bytes: &[u8], cancel: &Cancel) -> (tempfile::TempDir, Utf8PathBuf, Result<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Utf8Path::from_path(folder.path()).unwrap().join(name);
        std::fs::write(path("packed"), bytes).unwrap();
        let disk = path("disk");
        let outcome = unpack(&path("packed"), &disk, &Events::discard(), cancel);
        (folder, disk, outcome)
    }

    #[test]
    fn a_disk_comes_out_whole_with_holes_and_cannot_be_written() {
        let mut content = vec![7; 100_000];
        content.resize(3_000_000, 0);
        content.extend([9; 70_000]);
        content.resize(4_000_000, 0);
        let (_folder, disk, size) = unpacked(&gzip(&content), &Cancel::default());
        assert_eq!(size, Ok(4_000_000));
        assert!(std::fs::read(&disk).unwrap() == content);
        let meta = std::fs::metadata(&disk).unwrap();
        assert!(meta.blocks() * 512 < 1_000_000, "{} blocks", meta.blocks());
        assert!(meta.permissions().readonly());
    }

    #[test]
    fn what_is_appended_for_upgrades_is_not_part_of_the_disk() {
        let content = vec![5; 1024];
        for appended in [&b"{\"metadata_version\": \"1.1\"}\0\0FWx0"[..], &[0; 512], &gzip(b"more")] {
            let (_folder, disk, size) = unpacked(&[&gzip(&content), appended].concat(), &Cancel::default());
            assert_eq!((size, std::fs::read(disk).unwrap() == content), (Ok(1024), true));
        }
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let whole = gzip(&vec![1; 100_000]);
        let mut damaged = whole.clone();
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        for bytes in [&b"<html>"[..], b"", &whole[..whole.len() / 2], &whole[..whole.len() - 1], &damaged, &gzip(b"x")]
        {
            let (_folder, _, outcome) = unpacked(bytes, &Cancel::default());
            let failure = outcome.unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK070", Exit::Upstream));
        }
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(unpacked(&whole, &cancel).2.unwrap_err().exit(), Exit::Interrupted);
        assert_eq!(unpack("/no".into(), "/no/disk".into(), &Events::discard(), &cancel).unwrap_err().id(), "IO004");
    }
}
